// Package files owns the rules of uploads and downloads: which bytes make which kind of file, how large it may be, its name,
// and who may fetch an avatar without a token. It stores files in package blob.
//
//	files.go   kinds of files, storing, opening
//	links.go   links to avatars
//	types.go   which bytes make a picture or a video
//	mp3.go     which bytes make music
//	form.go    reading the file out of an upload's form
//	intake.go  what an upload goes through on its way to the store
package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"tim/internal/blob"
	"tim/internal/fault"
)

// Kind is a kind of file.
type Kind struct {
	prefix    string // of the keys
	Extension string // the extension of downloads
}

// Avatar is the kind of an account's picture: jpg, png or bmp. SaveAvatar stores it, OpenAvatar opens it.
func Avatar() Kind { return Kind{blob.Avatar, "jpg"} }

// Picture is the kind of pictures in chats: jpg, png or bmp.
func Picture() Kind { return Kind{blob.Picture, "jpg"} }

// Audio is the kind of music: mp3.
func Audio() Kind { return Kind{blob.Audio, "mp3"} }

// Video is the kind of videos: mp4.
func Video() Kind { return Kind{blob.Video, "mp4"} }

// judge returns a judge of one file.
func (k Kind) judge() judge {
	switch k.prefix {
	case blob.Audio:
		return &mp3Judge{}
	case blob.Video:
		return &headJudge{test: isMP4}
	default:
		return &headJudge{test: func(head []byte) bool { return pictureType(head) != "" }}
	}
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
	source := &intake{r: r, limit: f.limit(k), judge: k.judge()}
	head := make([]byte, sniffed)
	n, _ := io.ReadFull(source, head) // its error is source's, or says that the file is shorter than head
	if source.err != nil {
		return source.err
	}
	_, err := f.Store.Put(ctx, key, io.MultiReader(bytes.NewReader(head[:n]), source))
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
	kind := pictureType(head[:n])
	if kind == "" { // copied in by somebody; a page must not be served as a picture
		return nil, "", errors.Join(fault.New(fault.NoAvatar), object.Close())
	}
	return object, kind, nil
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
