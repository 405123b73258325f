package blob

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

const (
	// tempFolder lies in each prefix's folder, so that a rename out of it never crosses file systems, even if one of the
	// folders is a mount point.
	tempFolder = ".tmp"

	// writeBytes is the size of one write.
	writeBytes = 128 << 10

	folderMode = 0o700
	fileMode   = 0o600
)

// Dir is a Store in a directory. A file that Put has stored survives a power failure.
type Dir struct {
	root   *os.Root
	folder string
}

// NewDir opens the store in a folder, which belongs to this process alone. It creates the folder if need be, for this user only
// (0700, files 0600), removes incomplete files of an earlier process, and returns an error if it can't write there.
func NewDir(folder string) (*Dir, error) {
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return nil, fmt.Errorf("blob: folder for files: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("blob: folder for files: %w", err)
	}
	d := &Dir{root: root, folder: folder}
	for _, prefix := range []string{Avatar, Picture, Audio, Video} {
		err = errors.Join(err, d.emptyTemp(prefix))
	}
	if err == nil {
		err = d.Ping(context.Background())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob: folder %s: %w", folder, err), root.Close())
	}
	return d, nil
}

// emptyTemp removes and recreates the prefix's folder for temporary files.
func (d *Dir) emptyTemp(prefix string) error {
	temp := path.Join(prefix, tempFolder)
	if err := d.root.RemoveAll(temp); err != nil {
		return fmt.Errorf("remove temporary files: %w", err)
	}
	return d.makeFolder(prefix)
}

// makeFolder creates the prefix's folders and makes them durable.
func (d *Dir) makeFolder(prefix string) error {
	if err := d.root.MkdirAll(path.Join(prefix, tempFolder), folderMode); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	return errors.Join(d.sync(prefix), d.sync("."))
}

// sync makes the entries of a folder durable.
func (d *Dir) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if !validKey(key) {
		return 0, failed("put", key, ErrInvalidKey)
	}
	size, err := d.put(ctx, key, r)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return 0, failed("put", key, err)
	}
	return size, nil
}

func (d *Dir) put(ctx context.Context, key string, r io.Reader) (size int64, err error) {
	prefix, _, _ := strings.Cut(key, "/")
	temp := path.Join(prefix, tempFolder, rand.Text())
	f, err := d.create(prefix, temp)
	if err != nil {
		return 0, err
	}
	renamed := false
	defer func() { // also if r panics
		if !renamed {
			err = errors.Join(err, ignore(f.Close(), os.ErrClosed), d.root.Remove(temp))
		}
	}()
	w := bufio.NewWriterSize(struct{ io.Writer }{f}, writeBytes) // the file itself would write each piece that is read
	if size, err = io.Copy(w, untilDone{ctx, r}); err != nil {
		return 0, err
	}
	if err = errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err = ctx.Err(); err != nil {
		return 0, err
	}
	if err = d.root.Rename(temp, key); err != nil {
		return 0, err
	}
	renamed = true
	return size, d.sync(prefix)
}

// create creates a temporary file, and its folder if somebody has removed it.
func (d *Dir) create(prefix, temp string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := d.root.OpenFile(temp, flags, fileMode)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := d.makeFolder(prefix); err != nil {
		return nil, err
	}
	return d.root.OpenFile(temp, flags, fileMode)
}

// Open implements Store. The Object's inner reader is an *os.File, which net/http can send without copying. Open ignores ctx.
func (d *Dir) Open(_ context.Context, key string) (*Object, error) {
	if !validKey(key) {
		return nil, failed("open", key, ErrNotFound)
	}
	f, err := d.root.Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failed("open", key, ErrNotFound)
	}
	if err != nil {
		return nil, failed("open", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		return nil, failed("open", key, errors.Join(err, f.Close()))
	}
	return &Object{
		ReadSeekCloser: f,
		Size:           info.Size(),
		ModTime:        info.ModTime(),
		ETag:           etagOf(info),
	}, nil
}

// etagOf names a version of a file. Two versions may be of one size and have one time, which counts in milliseconds on some file
// systems, but a file that takes another's place was made while that one was there, and so has another number.
func etagOf(info fs.FileInfo) string {
	var number uint64
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		number = stat.Ino
	}
	return fmt.Sprintf(`"%x-%x-%x"`, info.ModTime().UnixNano(), info.Size(), number)
}

// Delete implements Store.
func (d *Dir) Delete(_ context.Context, key string) error {
	if !validKey(key) {
		return nil
	}
	prefix, _, _ := strings.Cut(key, "/")
	err := d.root.Remove(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.sync(prefix)
	}
	if err != nil {
		return failed("delete", key, err)
	}
	return nil
}

// Ping implements Store. It writes a small file and removes it.
func (d *Dir) Ping(_ context.Context) error {
	temp := path.Join(Avatar, tempFolder, rand.Text())
	f, err := d.create(Avatar, temp)
	if err == nil {
		_, err = f.WriteString("ping")
		err = errors.Join(err, f.Close(), d.root.Remove(temp))
	}
	if err != nil {
		return fmt.Errorf("blob: folder for files is not writable: %w", err)
	}
	return nil
}

// Room implements Store, for the file system of the folder.
func (d *Dir) Room() (room Room, known bool) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(d.folder, &stat); err != nil {
		return Room{}, false
	}
	block := int64(stat.Bsize)                                                             //nolint:unconvert // the type differs between systems
	return Room{Free: int64(stat.Bavail) * block, Total: int64(stat.Blocks) * block}, true //nolint:gosec // no disk has 8 EiB
}

// Close implements Store. Open Objects remain readable.
func (d *Dir) Close() error {
	return ignore(d.root.Close(), os.ErrClosed)
}

// ignore returns err, or nil if err is the expected one.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
