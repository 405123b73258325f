// Package files owns the rules of uploads and downloads: which bytes make which kind of file, how large it may be, its name,
// and who may fetch an avatar without a token. It stores files in package blob.
//
// The database has a row for each file, made when the upload has arrived: whose it is, and how large. Sums of these rows make the
// quota of an account and the metrics. A message whose body contains the random part of a file's name, in whatever spelling, is
// written down as a use of the file, in the transaction of the send; package chat does that. A sweep deletes a file that no message
// names for a grace. A use in a group that was dissolved counts for nothing. A file without a row, of before there were rows, is
// never collected, and neither is an avatar, which is replaced in its place.
//
//	files.go   kinds of files, storing, opening
//	links.go   links to avatars
//	types.go   which bytes make a picture or a video
//	mp3.go     which bytes make music
//	form.go    reading the file out of an upload's form
//	intake.go  what an upload goes through on its way to the store
//	record.go  the rows of files, and the sums of their bytes
//	sweep.go   deleting what nobody refers to
package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"time"

	"tim/internal/blob"
	"tim/internal/fault"
	"tim/internal/store"
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
	DB      *store.DB      // knows who has stored what, and which messages name it
	Log     *slog.Logger
	// The limits are in bytes.
	AvatarLimit, PictureLimit, AudioLimit, VideoLimit int64
	// AccountLimit bounds the bytes of all files of one account.
	AccountLimit int64
	// MinFree is how many bytes stay free on the disk that holds the files; at most a tenth of the disk.
	MinFree int64
	// Grace is how long a file stays that no message names.
	Grace time.Duration
}

// Files stores and opens files. All its methods are safe for concurrent use.
type Files struct{ Options }

// New returns a Files. It needs no closing.
func New(o Options) *Files { return &Files{o} }

// sniffed is the number of bytes by which a file's type is told.
const sniffed = 3072

// Save stores an account's file and returns its new name, which nobody can guess. A file of another type, over its limit or the
// account's, or whose reader fails is refused and leaves nothing behind.
func (f *Files) Save(ctx context.Context, account string, k Kind, r io.Reader) (string, error) {
	file := f.newRecord(account, k)
	if err := f.put(ctx, file, r); err != nil {
		return "", err
	}
	return file.name, nil
}

// SaveAvatar stores an account's avatar and replaces the one before. Otherwise it is like Save.
func (f *Files) SaveAvatar(ctx context.Context, account string, r io.Reader) error {
	name := avatarName(account)
	return f.put(ctx, &record{id: name, name: name, owner: account, kind: Avatar()}, r)
}

func (f *Files) put(ctx context.Context, file *record, r io.Reader) error {
	left, err := f.remaining(ctx, file)
	if err != nil {
		return err
	}
	source := &intake{
		r: r, limit: f.limit(file.kind), left: left, judge: file.kind.judge(), room: f.checkRoom,
		admit: func(size int64) error { return f.admit(ctx, file, size) },
	}
	head := make([]byte, sniffed)
	n, _ := io.ReadFull(source, head) // its error is source's, or says that the file is shorter than head
	if source.err != nil {
		return source.err
	}
	_, err = f.Store.Put(ctx, file.key(), io.MultiReader(bytes.NewReader(head[:n]), source))
	switch {
	case err == nil:
		return nil
	case source.err != nil: // the failure is the reader's, not the store's
		return source.err
	}
	if undoErr := f.withdraw(ctx, file); undoErr != nil {
		f.Log.WarnContext(ctx, "a file that wasn't stored stays counted", "file", file.key(), "err", undoErr)
	}
	if errors.Is(err, blob.ErrFull) {
		return fault.Wrap(fault.StorageFull, fmt.Errorf("store file: %w", err))
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("store file: %w", err))
}

// minFreeShare bounds Options.MinFree: on a small disk it is the disk's size divided by this number.
const minFreeShare = 10

// checkRoom refuses to store more where little is free: messages need the rest.
func (f *Files) checkRoom() error {
	if state, room := f.Room(); state != RoomEnough {
		return fault.Wrap(fault.StorageFull, fmt.Errorf("the disk that holds the files has %d of %d bytes free", room.Free, room.Total))
	}
	return nil
}

// RoomState says how much may still be stored on the disk.
type RoomState int

// The states of a disk. Where the store can't tell, there is enough room.
const (
	RoomEnough RoomState = iota
	RoomLow              // uploads are refused
	RoomNone             // nothing can be written
)

// noRoom is the number of free bytes below which a database can't go on.
const noRoom = 256 << 10

// Room tells the state of the disk that holds the files.
func (f *Files) Room() (RoomState, blob.Room) {
	room, known := f.Store.Room()
	switch {
	case !known || room.Total == 0:
		return RoomEnough, room
	case room.Free < noRoom:
		return RoomNone, room
	case f.MinFree > 0 && room.Free < min(f.MinFree, room.Total/minFreeShare):
		return RoomLow, room
	}
	return RoomEnough, room
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
	object, err := f.open(ctx, blob.Avatar+"/"+avatarName(account), fault.NoAvatar)
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

// avatarName returns the name under which an account's avatar is stored. It is a hash, so no character of the account reaches a
// path.
func avatarName(account string) string {
	sum := sha256.Sum256([]byte(account))
	return "account-" + hex.EncodeToString(sum[:16])
}
