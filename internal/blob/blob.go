// Package blob stores files by key: in a directory of this machine, or in an S3 bucket.
//
// A key is prefix/name. It is the object's name in the bucket and the file's path in the directory, so files
// copied in with any other tool are found under the same key.
//
//	blob.go       Store, the contract both stores keep; Object, a stored file being read; which keys are good
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
	// ErrNotFound is what Open wraps when nothing is stored under the key, or nothing ever could be.
	ErrNotFound = errors.New("no such file")
	// ErrInvalidKey is what Put wraps when the key can't name a file; see Store.
	ErrInvalidKey = errors.New("invalid key")
)

// Store keeps files by key. Dir and S3 implement it and pass one conformance suite. All methods may be called
// from any goroutine at any time before Close.
//
// A key is one of the four prefixes, a slash and a name of 1 to 255 bytes of UTF-8, without slash, backslash
// or control character, and neither "." nor "..". Under any other key Open finds nothing, Put fails with
// ErrInvalidKey and Delete does nothing.
type Store interface {
	// Put stores what r yields until io.EOF under key, replacing what was there, and returns its size in
	// bytes. Readers see the old file or the new one, never a mixture. Memory does not depend on the size.
	//
	// Unless r ended with io.EOF itself (not io.ErrUnexpectedEOF, not a wrapped one), nothing changes and
	// nothing is left behind; r's error is found in the returned one by errors.Is and errors.As. The same goes
	// for a ctx that ends before r does. Put can't interrupt a Read of r that blocks: r must end with ctx by
	// itself, as a request's body does. An error that comes after r's end may leave the new file stored.
	Put(ctx context.Context, key string, r io.Reader) (size int64, err error)

	// Open returns the file for reading, or an error that wraps ErrNotFound. ctx governs the reading too: once it has
	// ended, the Object may fail. The caller closes the Object.
	Open(ctx context.Context, key string) (*Object, error)

	// Delete removes the file. That nothing was there is no error. Who has it open reads on from a directory, and may
	// fail to from S3; the same goes for a file that Put replaces.
	Delete(ctx context.Context, key string) error

	// Ping reports whether the store can be used just now; it takes some seconds at most.
	Ping(ctx context.Context) error

	// Close frees what the store holds and waits for its goroutines. It is called once, after everything else.
	Close() error
}

var (
	_ Store = (*Dir)(nil)
	_ Store = (*S3)(nil)
)

// Object is a stored file, open for reading. Seek costs nothing by itself. It is for one goroutine at a time, except
// that Close may be called while another one reads, whose Read then fails.
type Object struct {
	io.ReadSeekCloser
	// Size is the file's length in bytes.
	Size int64
	// ModTime is when the file was stored.
	ModTime time.Time
	// ETag identifies this version of the file; it has the quotes that HTTP wants, or is empty.
	ETag string
}

// maxRanges is how many ranges of one request are worth serving apart: each may cost a request to S3.
const maxRanges = 8

// Serve answers a GET or HEAD request with the file, with http.ServeContent: it knows ranges, If-Range,
// If-None-Match and the like. The caller has set the headers that it wants (without Content-Type the content is
// sniffed) and closes the Object afterwards. The error, nil for a directory's file, is why the answer
// broke off; it is for the log, the answer's head is out already.
func (o *Object) Serve(w http.ResponseWriter, r *http.Request) error {
	if o.ETag != "" {
		w.Header().Set("ETag", o.ETag)
	}
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r = r.Clone(r.Context())
		r.Header.Del("Range") // which a server may always ignore
	}
	// The inner reader, because net/http gives an *os.File to the kernel to send.
	http.ServeContent(w, r, "", o.ModTime, o.ReadSeekCloser)
	if body, ok := o.ReadSeekCloser.(*s3Reader); ok {
		return body.failure()
	}
	return nil
}

const maxNameLength = 255

// validKey reports whether key can name a file. It is what keeps hostile names from both stores; that os.Root holds the
// directory's files together is the second lock on that door.
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

// failed says what was done to which key when err happened.
func failed(verb, key string, err error) error {
	return fmt.Errorf("blob: %s %q: %w", verb, key, err)
}

// untilDone ends r's stream with ctx's error once ctx has ended.
type untilDone struct {
	ctx context.Context //nolint:containedctx // it lives no longer than the one call it is made for
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
