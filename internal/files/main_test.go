package files

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/blob"
	"tim/internal/fault"
	"tim/internal/store"
	"tim/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// onBoth runs a test on the embedded engine and, where there are servers, on MariaDB.
func onBoth(t *testing.T, test func(t *testing.T, onEngine func(*Options))) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, func(*Options) {})
	})
	if testserver.Available() {
		t.Run("mariadb", func(t *testing.T) {
			t.Parallel()
			d, err := store.OpenMySQL(t.Context(), testserver.Database(t), 12)
			must(t, err)
			t.Cleanup(func() { must(t, d.Close()) })
			_, err = d.Migrate(t.Context())
			must(t, err)
			test(t, func(o *Options) { o.DB = d })
		})
	}
}

// shelf is a Files over a folder.
type shelf struct {
	*Files

	folder string
}

func newShelf(t testing.TB, change ...func(*Options)) *shelf {
	t.Helper()
	folder := t.TempDir()
	dir, err := blob.NewDir(folder)
	must(t, err)
	t.Cleanup(func() { must(t, dir.Close()) })
	o := Options{Store: dir, DB: database(t), Log: slog.New(slog.DiscardHandler), Zone: time.FixedZone("east", 8*3600), LinkKey: []byte("a key for links, of more than 32 bytes")}
	for _, c := range change {
		c(&o)
	}
	return &shelf{New(o), folder}
}

// database opens an embedded one.
func database(t testing.TB) *store.DB {
	t.Helper()
	d, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "tim.db"))
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	_, err = d.Migrate(context.Background())
	must(t, err)
	return d
}

// stored lists every file in the folder, incomplete ones too.
func (s *shelf) stored(t testing.TB) []string {
	t.Helper()
	var paths []string
	must(t, filepath.WalkDir(s.folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			path, err = filepath.Rel(s.folder, path)
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

// copyIn writes a file where an operator copies the original server's files.
func (s *shelf) copyIn(t testing.TB, key string, content []byte) {
	t.Helper()
	_, err := s.Store.Put(context.Background(), key, bytes.NewReader(content))
	must(t, err)
}

func contentOf(t testing.TB, o *blob.Object) []byte {
	t.Helper()
	content, err := io.ReadAll(o)
	must(t, errors.Join(err, o.Close()))
	return content
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, reason fault.Reason) {
	t.Helper()
	if !fault.Is(err, reason) {
		t.Errorf("got %v, want %s", err, reason)
	}
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func drawn() *image.Paletted {
	return image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})
}

func encoded(t testing.TB, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, encode(&b, drawn()))
	return b.Bytes()
}

func pngFile(t testing.TB) []byte { return encoded(t, png.Encode) }

func jpegFile(t testing.TB) []byte {
	return encoded(t, func(w io.Writer, i image.Image) error { return jpeg.Encode(w, i, nil) })
}

func gifFile(t testing.TB) []byte {
	return encoded(t, func(w io.Writer, i image.Image) error { return gif.Encode(w, i, nil) })
}

// bmpFile is one white pixel.
func bmpFile() []byte {
	b := append([]byte("BM"), binary.LittleEndian.AppendUint32(nil, 58)...)
	for _, field := range []uint32{0, 54, 40, 1, 1, 1 | 24<<16, 0, 4, 0, 0, 0, 0, 0x00ffffff} {
		b = binary.LittleEndian.AppendUint32(b, field)
	}
	return b
}

// mp4File returns the beginning of a file with a brand.
func mp4File(brand string) []byte {
	return []byte("\x00\x00\x00\x18ftyp" + brand + "\x00\x00\x02\x00" + brand + "mp41" + "\x00\x00\x00\x08free")
}

// brandsFile returns the beginning of a file that declares brands of four bytes each: its own one, and those with which it is
// compatible.
func brandsFile(size int, own, version string, compatible ...string) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(size))
	return []byte(string(head) + "ftyp" + own + version + strings.Join(compatible, "") + "\x00\x00\x00\x08free\x00\x00\x00\x08mdat")
}

// mp3File returns silence, with or without a tag before it.
func mp3File(tag string) []byte {
	return []byte(tag + strings.Repeat("\xff\xfb\x90\x00"+strings.Repeat("\x00", 413), 3))
}

const id3 = "ID3\x03\x00\x00\x00\x00\x00\x00"

func nullString() sql.NullString { return sql.NullString{} }

func nullInt(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: true} }

// await waits until something holds, and fails the test if it doesn't within a minute.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
