// Package files owns the rules of uploads and downloads: which bytes make which kind of file, how large it may be, its name,
// and who may fetch an avatar without a token. It stores files in package blob.
//
//	files.go  kinds of files, storing, opening
//	links.go  links to avatars
//	form.go   reading the file out of an upload's form
package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"tim/internal/blob"
	"tim/internal/fault"
)

// Kind is a kind of file.
type Kind struct {
	prefix    string   // of the keys
	types     []string // the media types, by the content
	Extension string   // the extension of downloads
}

// Avatar is the kind of an account's picture: jpg, png or bmp. SaveAvatar stores it, OpenAvatar opens it.
func Avatar() Kind { return Kind{blob.Avatar, pictures(), "jpg"} }

// Picture is the kind of pictures in chats: jpg, png or bmp.
func Picture() Kind { return Kind{blob.Picture, pictures(), "jpg"} }

// Audio is the kind of music: mp3.
func Audio() Kind { return Kind{blob.Audio, []string{"audio/mpeg"}, "mp3"} }

// Video is the kind of videos: mp4.
func Video() Kind { return Kind{blob.Video, []string{"video/mp4", "video/x-m4v"}, "mp4"} }

func pictures() []string { return []string{"image/jpeg", "image/png", "image/bmp"} }

// is reports whether a file that begins with head is of the kind. After an ID3 tag, which any content may follow, there must be
// music. A video in a device's own format counts as an mp4 if it says that it is compatible.
func (k Kind) is(head []byte) bool {
	if k.prefix == blob.Audio && bytes.HasPrefix(head, []byte("ID3")) {
		return isTaggedMP3(head)
	}
	if k.prefix == blob.Video && isCompatibleMP4(head) {
		return true
	}
	return slices.ContainsFunc(k.types, mimetype.Detect(head).Is)
}

// isCompatibleMP4 reports whether a file begins with the file type box (ISO/IEC 14496-12, section 4.3) of a phone or of a Sony
// device, with mp4 among the compatible brands. Music and pictures may name that brand, too, but with other brands of their
// own.
func isCompatibleMP4(head []byte) bool {
	const brand, first = 4, 16 // bytes of a brand; where the compatible ones begin, after size, type, own brand and version
	if len(head) < first || string(head[4:8]) != "ftyp" {
		return false
	}
	size := int(binary.BigEndian.Uint32(head))
	if own := string(head[8:12]); own != "MSNV" && own[:3] != "3gp" || size > len(head) {
		return false
	}
	for at := first; at+brand <= size; at += brand {
		if name := string(head[at : at+brand]); name == "mp41" || name == "mp42" {
			return true
		}
	}
	return false
}

// isTaggedMP3 reports whether an ID3v2 tag (id3.org/id3v2.4.0-structure, section 3.1) is followed by an MPEG frame. If the tag
// ends beyond head, it assumes so.
func isTaggedMP3(head []byte) bool {
	const header = 10
	if len(head) < header || head[3] == 0xff || head[4] == 0xff {
		return false
	}
	size := 0
	for _, b := range head[6:header] {
		if b > 0x7f {
			return false
		}
		size = size<<7 | int(b)
	}
	if header+size >= sniffed {
		return true
	}
	if header+size > len(head) {
		return false
	}
	music := bytes.TrimLeft(head[header+size:], "\x00")
	return len(music) > 1 && music[0] == 0xff && music[1]&0xe0 == 0xe0
}

// Options of New. Every field is needed. In a limit, 0 means none.
type Options struct {
	Store   blob.Store
	Zone    *time.Location // of the time in stored names
	LinkKey []byte         // the key that signs links to avatars
	// The limits are in bytes.
	AvatarLimit, PictureLimit, AudioLimit, VideoLimit int64
}

// Files stores and opens files. All its methods are safe for concurrent use.
type Files struct{ Options }

// New returns a Files. It needs no closing.
func New(o Options) *Files { return &Files{o} }

// sniffed is the number of bytes by which a file's type is told.
const sniffed = 3072

// Save stores a file and returns its new name, which nobody can guess. A file of another type, over its limit, or whose reader
// fails is refused and leaves nothing behind.
func (f *Files) Save(ctx context.Context, k Kind, r io.Reader) (string, error) {
	name := time.Now().In(f.Zone).Format(nameTime) + "-" + rand.Text()
	if err := f.put(ctx, k, k.prefix+"/"+name, r); err != nil {
		return "", err
	}
	return name, nil
}

// SaveAvatar stores an account's avatar and replaces the one before. Otherwise it is like Save.
func (f *Files) SaveAvatar(ctx context.Context, account string, r io.Reader) error {
	return f.put(ctx, Avatar(), avatarKey(account), r)
}

func (f *Files) put(ctx context.Context, k Kind, key string, r io.Reader) error {
	source := &limited{r: r, limit: f.limit(k)}
	head := make([]byte, sniffed)
	n, _ := io.ReadFull(source, head) // its error is source's, or says that the file is shorter than head
	if source.err != nil {
		return source.err
	}
	head = head[:n]
	if !k.is(head) {
		return fault.New(fault.UnsupportedFileType)
	}
	_, err := f.Store.Put(ctx, key, io.MultiReader(bytes.NewReader(head), source))
	if err == nil {
		return nil
	}
	if source.err != nil { // the failure is the reader's, not the store's
		return source.err
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("store file: %w", err))
}

func (f *Files) limit(k Kind) int64 {
	switch k.prefix {
	case blob.Avatar:
		return f.AvatarLimit
	case blob.Picture:
		return f.PictureLimit
	case blob.Audio:
		return f.AudioLimit
	default:
		return f.VideoLimit
	}
}

// nameTime is the layout of a stored name's beginning. The original server's names consist of nothing else.
const nameTime = "2006-01-02:15:04:05"

var storedName = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}:\d{2}:\d{2}:\d{2}(-[A-Za-z0-9]{22,64})?$`)

// Open opens a file by the name that Save, or the original server, gave it. The caller must close it.
func (f *Files) Open(ctx context.Context, k Kind, name string) (*blob.Object, error) {
	if !storedName.MatchString(name) {
		return nil, fault.New(fault.UnknownFile)
	}
	return f.open(ctx, k.prefix+"/"+name, fault.UnknownFile)
}

// OpenAvatar opens an account's avatar and returns its media type. If the account has none, it looks for the one that the
// original server stored under the display name username, unless that is "". The caller must close the file.
func (f *Files) OpenAvatar(ctx context.Context, account, username string) (*blob.Object, string, error) {
	object, err := f.open(ctx, avatarKey(account), fault.NoAvatar)
	if fault.Is(err, fault.NoAvatar) && username != "" {
		object, err = f.open(ctx, blob.Avatar+"/"+username, fault.NoAvatar)
	}
	if err != nil {
		return nil, "", err
	}
	head := make([]byte, sniffed)
	n, err := io.ReadFull(object, head)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		_, err = object.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, "", fault.Wrap(fault.Unavailable, errors.Join(err, object.Close()))
	}
	kind := mimetype.Detect(head[:n])
	if !slices.ContainsFunc(pictures(), kind.Is) { // copied in by somebody; a page must not be served as a picture
		return nil, "", errors.Join(fault.New(fault.NoAvatar), object.Close())
	}
	return object, kind.String(), nil
}

func (f *Files) open(ctx context.Context, key string, absent fault.Reason) (*blob.Object, error) {
	object, err := f.Store.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fault.New(absent)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, fmt.Errorf("open file: %w", err))
	}
	return object, nil
}

// avatarKey returns the key of an account's avatar. It is a hash, so no character of the account reaches a path.
func avatarKey(account string) string {
	sum := sha256.Sum256([]byte(account))
	return blob.Avatar + "/account-" + hex.EncodeToString(sum[:16])
}
