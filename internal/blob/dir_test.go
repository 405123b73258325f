package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func newDirSubject(t testing.TB) subject {
	folder := filepath.Join(t.TempDir(), "files")
	d := newTestDir(t, folder)
	return subject{
		Store:    d,
		contents: func(t testing.TB) []string { return filesIn(t, folder) },
		plant: func(t testing.TB, key string, content []byte) {
			if err := os.WriteFile(filepath.Join(folder, key), content, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func newTestDir(t testing.TB, folder string) *Dir {
	t.Helper()
	d, err := NewDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// filesIn lists everything below folder except folders.
func filesIn(t testing.TB, folder string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDirModes(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data", "files")
	put(t, newTestDir(t, folder), "avatar/x", []byte("x"))
	for path, want := range map[string]fs.FileMode{"": 0o700, "avatar": 0o700, "avatar/.tmp": 0o700, "avatar/x": 0o600} {
		info, err := os.Stat(filepath.Join(folder, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

// TestDirReopened: incomplete files of a killed process are removed, all others stay.
func TestDirReopened(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first := newTestDir(t, folder)
	put(t, first, "video/x", []byte("x"))
	for _, left := range []string{"video/.tmp/ABC", "avatar/.tmp/DEF"} {
		if err := os.WriteFile(filepath.Join(folder, left), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantFile(t, newTestDir(t, folder), "video/x", []byte("x"))
	if diff := cmp.Diff([]string{"video/x"}, filesIn(t, folder)); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
}

// TestDirSymlinks: no symbolic link leads out of the folder.
func TestDirSymlinks(t *testing.T) {
	t.Parallel()
	outside, folder := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newTestDir(t, folder)
	if err := errors.Join(
		os.Symlink(secret, filepath.Join(folder, "avatar", "file")),
		os.RemoveAll(filepath.Join(folder, "audio")),
		os.Symlink(outside, filepath.Join(folder, "audio")),
	); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"avatar/file", "audio/secret"} {
		if object, err := d.Open(t.Context(), key); err == nil {
			t.Errorf("Open(%q) = %v", key, object)
		}
	}
	if _, err := d.Put(t.Context(), "audio/new", strings.NewReader("x")); err == nil {
		t.Error("Put through a link to a folder worked")
	}
	if err := d.Delete(t.Context(), "audio/secret"); err == nil {
		t.Error("Delete through a link to a folder worked")
	}
	put(t, d, "avatar/file", []byte("mine")) // replaces the link, not the file that it points to
	wantFile(t, d, "avatar/file", []byte("mine"))
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("outside: %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"secret"}, filesIn(t, outside)); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	if _, err := NewDir(folder); err == nil {
		t.Error("NewDir is content with a link that leads out")
	}
}

// TestDirFolderTaken: a prefix's folder that somebody has deleted is created again.
func TestDirFolderTaken(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newTestDir(t, folder)
	if err := os.RemoveAll(filepath.Join(folder, "avatar")); err != nil {
		t.Fatal(err)
	}
	if _, found := get(t, d, "avatar/x"); found {
		t.Error("found")
	}
	if err := d.Delete(t.Context(), "avatar/x"); err != nil {
		t.Error(err)
	}
	put(t, d, "avatar/x", []byte("x"))
	wantFile(t, d, "avatar/x", []byte("x"))
}

func TestDirNoRegularFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newTestDir(t, folder)
	if err := os.MkdirAll(filepath.Join(folder, "avatar", "folder", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, found := get(t, d, "avatar/folder"); found {
		t.Error("a folder is found")
	}
	if _, err := d.Put(t.Context(), "avatar/folder", strings.NewReader("x")); err == nil {
		t.Error("a folder is replaced")
	}
	if err := d.Delete(t.Context(), "avatar/folder"); err == nil {
		t.Error("a full folder is deleted")
	}
	if got := filesIn(t, folder); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestDirUnusable(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "x")} {
		if _, err := NewDir(path); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("NewDir(%q): %v", path, err)
		}
	}
	d := newTestDir(t, filepath.Join(folder, "files"))
	if err := os.RemoveAll(filepath.Join(folder, "files")); err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context()); err == nil {
		t.Error("Ping is content without a folder")
	}
	if _, err := d.Put(t.Context(), "avatar/x", strings.NewReader("x")); err == nil {
		t.Error("Put is content without a folder")
	}
}

// A device that is full fails a write as a disk does.
func TestFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d, err := NewDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, why := full.WriteString("x")
	_ = full.Close()
	if _, err := d.Put(t.Context(), Picture+"/x", iotest.ErrReader(why)); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	room, known := d.Room()
	if !known || room.Total <= 0 || room.Free < 0 || room.Free > room.Total {
		t.Errorf("%+v, %t", room, known)
	}
}
