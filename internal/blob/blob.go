// Package blob stores files by key: in a directory of this machine, or in an S3 bucket.
//
// A key is prefix/name. It is the object's name in the bucket, behind the bucket's folder if one is set, and the file's path in the directory, so files
// copied in with any other tool are found under the same key.
//
//	blob.go       Store, the contract both stores keep; Object, a stored file being read; which keys are good
//	ranges.go     which parts of a file a request asks for
//	dir.go        Dir, the store in a directory
//	s3.go         S3, the store in a bucket: opening, asking, deleting, sweeping
//	s3put.go      … writing: parts of 5 MiB through one buffer
//	s3read.go     … reading: nothing is fetched before it is read
//	transport.go  … the HTTP connections, none of which can hang
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The prefixes of keys: one per kind of file.
const (
	Avatar  = "avatar"
	Picture = "picture"
	Audio   = "audio"
	Video   = "video"
)

var (
	// ErrNotFound is wrapped by Open's error when no file is stored under the key, or the key isn't valid.
	ErrNotFound = errors.New("no such file")
	// ErrFull is wrapped by Put's error when there is no space left, or a quota of the store is used up.
	ErrFull = errors.New("no space left")
	// ErrInvalidKey is wrapped by Put's error when the key isn't valid; see Store.
	ErrInvalidKey = errors.New("invalid key")
)

// Store keeps files by key. Dir and S3 implement it and pass one conformance suite. All methods but Close are safe for
// concurrent use.
//
// A valid key is one of the four prefixes, a slash and a name of 1 to 255 bytes of UTF-8. The name has no slash, backslash or
// control character and is neither "." nor "..". For any other key Open returns ErrNotFound, Put returns ErrInvalidKey, and
// Delete does nothing.
type Store interface {
	// Put stores what r yields until io.EOF under key, replaces an earlier file, and returns the size in bytes. Readers see the
	// old file or the new one, never a mixture. The memory used doesn't depend on the size.
	//
	// Only io.EOF itself (not io.ErrUnexpectedEOF, not a wrapped io.EOF) ends a file. After any other error of r, or when ctx
	// ends first, nothing changes and nothing is left behind. errors.Is and errors.As find r's error in the returned one. Put
	// can't interrupt a Read that blocks: r must end with ctx by itself, as a request's body does. An error after the end of r
	// may leave the new file stored.
	Put(ctx context.Context, key string, r io.Reader) (size int64, err error)

	// Open returns the file for reading, or an error that wraps ErrNotFound. ctx bounds the reading too: after its end the
	// Object may return errors. The caller must close the Object.
	Open(ctx context.Context, key string) (*Object, error)

	// Delete removes the file. It succeeds if there is no file. An Object that is open can still be read from a directory; from
	// S3 its Read may fail. The same holds for a file that Put replaces.
	Delete(ctx context.Context, key string) error

	// Ping returns nil if the store can be used now. It takes some seconds at most.
	Ping(ctx context.Context) error

	// Room returns how much space there is. known is false where the store can't tell, as S3 can't.
	Room() (room Room, known bool)

	// Close frees the store's resources and waits for its goroutines. It is called once, after all other calls have returned.
	Close() error
}

var (
	_ Store = (*Dir)(nil)
	_ Store = (*S3)(nil)
)

// Room is the space of a disk in bytes, as far as this process may use it.
type Room struct{ Free, Total int64 }

// Object is a stored file that is open for reading. Seek doesn't access the store. One goroutine at a time may use it. Close
// may be called while another goroutine reads, whose Read then returns an error.
type Object struct {
	io.ReadSeekCloser
	// Size returns the file's length in bytes.
	Size int64
	// ModTime returns when the file was stored.
	ModTime time.Time
	// ETag identifies this version of the file. It includes the quotes that HTTP demands, or is empty.
	ETag string
}

// Serve answers a GET or HEAD request with the file. It uses http.ServeContent, which handles ranges, If-Range, If-None-Match
// and the like. The caller sets the headers (without Content-Type the content is sniffed) and closes the Object. The error says
// why the answer broke off. It is for the log, since the answer's header has been sent; for a file in a directory it is nil.
func (o *Object) Serve(w http.ResponseWriter, r *http.Request) error {
	if o.ETag != "" {
		w.Header().Set("ETag", o.ETag)
	}
	if lines := r.Header["Range"]; lines != nil {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		if plain := plainRange(lines, o.Size); plain != "" && r.Method == http.MethodGet { // no other method has ranges
			r.Header.Set("Range", plain)
		}
	}
	// The inner reader: net/http lets the kernel send an *os.File.
	http.ServeContent(w, r, "", o.ModTime, o.ReadSeekCloser)
	if body, ok := o.ReadSeekCloser.(*s3Reader); ok {
		return body.failure()
	}
	return nil
}

const maxNameLength = 255

// validKey reports whether key is valid. It keeps hostile names out of both stores. For a directory os.Root is a second
// protection.
func validKey(key string) bool {
	prefix, name, _ := strings.Cut(key, "/")
	switch prefix {
	case Avatar, Picture, Audio, Video:
	default:
		return false
	}
	switch name {
	case "", ".", "..", tempFolder:
		return false
	}
	return len(name) <= maxNameLength && utf8.ValidString(name) && !strings.ContainsFunc(name, badInName)
}

func badInName(r rune) bool {
	return r == '/' || r == '\\' || unicode.IsControl(r)
}

// failed wraps an error with the operation and the key.
func failed(verb, key string, err error) error {
	return fmt.Errorf("blob: %s %q: %w", verb, key, err)
}

// untilDone is a reader that returns ctx's error once ctx has ended.
type untilDone struct {
	ctx context.Context //nolint:containedctx // it is used by one call alone
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
