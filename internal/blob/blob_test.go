package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tim/internal/testserver"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

func TestMain(m *testing.M) {
	code := testserver.Main(m, "TestS3.*", "TestNewS3.*")
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = 1
	}
	os.Exit(code)
}

// noise returns size bytes that depend on the seed and don't repeat.
func noise(seed string, size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", seed)))).Read(data)
	return data
}

// put stores content and fails the test on an error.
func put(t testing.TB, s Store, key string, content []byte) {
	t.Helper()
	size, err := s.Put(t.Context(), key, bytes.NewReader(content))
	if err != nil || size != int64(len(content)) {
		t.Fatalf("Put(%q) of %d bytes = %d, %v", key, len(content), size, err)
	}
}

// get returns the file under key, "" and false if there is none.
func get(t testing.TB, s Store, key string) ([]byte, bool) {
	t.Helper()
	object, err := s.Open(t.Context(), key)
	if errors.Is(err, ErrNotFound) {
		return nil, false
	}
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	content, err := io.ReadAll(object)
	if err = errors.Join(err, object.Close()); err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	if object.Size != int64(len(content)) {
		t.Errorf("Size of %q = %d, but it has %d bytes", key, object.Size, len(content))
	}
	return content, true
}

// wantFile fails the test unless key has this content.
func wantFile(t testing.TB, s Store, key string, content []byte) {
	t.Helper()
	if got, found := get(t, s, key); !found || !bytes.Equal(got, content) {
		t.Errorf("%q: found %t, %d bytes, the same %t; want %d bytes", key, found, len(got), bytes.Equal(got, content), len(content))
	}
}

// source yields content and then returns err. It calls do when it reaches a byte.
type source struct {
	content []byte
	err     error
	reached int
	do      func()

	read int
}

func (s *source) Read(p []byte) (int, error) {
	if s.read >= s.reached && s.do != nil {
		s.do()
		s.do = nil
	}
	if s.read == len(s.content) {
		return 0, s.err
	}
	n := copy(p, s.content[s.read:])
	s.read += n
	return n, nil
}

func TestValidKey(t *testing.T) {
	t.Parallel()
	for _, key := range goodKeys() {
		if !validKey(key) {
			t.Errorf("validKey(%q) = false", key)
		}
	}
	for _, key := range hostileKeys() {
		if validKey(key) {
			t.Errorf("validKey(%q) = true", key)
		}
	}
}

func goodKeys() []string {
	return []string{
		"avatar/123", "avatar/张三", "avatar/a@b.c", "avatar/.hidden", "avatar/-", "avatar/...",
		"picture/2022-02-26:01:34:05", "audio/2022-02-26:01:34:05-AbCdEfGhIjKlMnOpQrStUv",
		"video/a b+c%20d?e#f&g=h\"i'j<k>l;m:n*o|p~q", "video/🎬",
		"video/" + strings.Repeat("x", 255),
	}
}

func hostileKeys() []string {
	return []string{
		"", "/", "x", "avatar", "avatar/", "/avatar/x", "avatar//x", "avatar/./x", "avatar/x/", "avatar/x/y",
		"avatar/.", "avatar/..", "avatar/../x", "../avatar/x", "avatar/../../etc/passwd", "/etc/passwd", "./avatar/x",
		`avatar\x`, `avatar/..\x`, `avatar/x\y`, "avatar/x\x00", "avatar/x\n", "avatar/\x7f", "avatar/\u0085",
		"avatar/\xff", "avatar/x\xc3", "avatar/" + strings.Repeat("x", 256), "avatar/" + strings.Repeat("张", 86),
		"Avatar/x", "other/x", ".tmp/x", "avatar/.tmp", "avatar/.tmp/x", "C:/x",
	}
}

// cancelled returns a context that has ended.
func cancelled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
