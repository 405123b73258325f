package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// subject is an empty store under test, with access to what it stores.
type subject struct {
	Store
	// contents lists everything that is stored: files, temporary files, uploads that were begun.
	contents func(t testing.TB) []string
	// plant stores a file as another tool would.
	plant func(t testing.TB, key string, content []byte)
}

func TestDirConformance(t *testing.T) {
	t.Parallel()
	testConformance(t, newDirSubject)
}

func TestS3Conformance(t *testing.T) {
	t.Parallel()
	testConformance(t, newS3Subject)
}

// testConformance tests what Store promises.
func testConformance(t *testing.T, open func(testing.TB) subject) {
	for name, test := range map[string]func(*testing.T, subject){
		"sizes":            testSizes,
		"names":            testNames,
		"planted":          testPlanted,
		"replace":          testReplace,
		"reader fails":     testReaderFails,
		"reader panics":    testReaderPanics,
		"context ends":     testContextEnds,
		"concurrent puts":  testConcurrentPuts,
		"reads while puts": testReadsWhilePuts,
		"seek":             testSeek,
		"close while read": testCloseWhileRead,
		"serve":            testServe,
		"serve validators": testServeValidators,
		"delete":           testDelete,
		"not found":        testNotFound,
		"hostile keys":     testHostileKeys,
		"ping":             testPing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func testSizes(t *testing.T, s subject) {
	for _, size := range []int{0, 1, 511, 512, 513, blockSize, partSize - 1, partSize, partSize + 1, 2 * partSize, 17 * mib} {
		key := fmt.Sprintf("video/%d", size)
		content := noise(key, size)
		put(t, s, key, content)
		wantFile(t, s, key, content)
	}
	if got := len(s.contents(t)); got != 11 {
		t.Errorf("11 files were put, %d things are there", got)
	}
}

func testNames(t *testing.T, s subject) {
	for _, key := range goodKeys() {
		put(t, s, key, []byte("content of "+key))
	}
	for _, key := range goodKeys() {
		wantFile(t, s, key, []byte("content of "+key))
	}
}

func testPlanted(t *testing.T, s subject) {
	const key = "audio/2022-02-26:01:34:05"
	s.plant(t, key, []byte("from elsewhere"))
	wantFile(t, s, key, []byte("from elsewhere"))
}

func testReplace(t *testing.T, s subject) {
	const key = "avatar/123"
	for i, size := range []int{10, 6 * mib, 0, 7, partSize} {
		content := noise(fmt.Sprint(i), size)
		put(t, s, key, content)
		wantFile(t, s, key, content)
	}
	if diff := cmp.Diff([]string{key}, s.contents(t)); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
}

type limitError struct{ limit int }

func (e *limitError) Error() string { return fmt.Sprintf("over the limit of %d", e.limit) }

func testReaderFails(t *testing.T, s subject) {
	put(t, s, "avatar/old", []byte("old"))
	broken := errors.New("client broke off")
	content := noise("x", 6*mib)
	keys := []string{"avatar/old", "avatar/new"}
	for i, size := range []int{0, 100, partSize - 1, partSize, len(content)} {
		for k, want := range []error{broken, io.ErrUnexpectedEOF, fmt.Errorf("form: %w", io.EOF), &limitError{size}} {
			n, err := s.Put(t.Context(), keys[(i+k)%2], &source{content: content[:size], err: want})
			if !errors.Is(err, want) || n != 0 {
				t.Errorf("Put of %d bytes and %q = %d, %v", size, want, n, err)
			}
			if asked := new(limitError); errors.As(want, &asked) && !errors.As(err, &asked) {
				t.Errorf("Put: %v isn't found as %T", err, asked)
			}
		}
	}
	wantFile(t, s, "avatar/old", []byte("old"))
	if diff := cmp.Diff([]string{"avatar/old"}, s.contents(t)); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
}

func testReaderPanics(t *testing.T, s subject) {
	for _, size := range []int{0, 6 * mib} {
		func() {
			defer func() {
				if got := recover(); got != "reader" {
					t.Errorf("recovered %v", got)
				}
			}()
			from := &source{content: noise("x", size), reached: size, do: func() { panic("reader") }}
			_, err := s.Put(t.Context(), "video/x", from)
			t.Errorf("Put returned %v", err)
		}()
	}
	if got := s.contents(t); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func testContextEnds(t *testing.T, s subject) {
	content := noise("x", 12*mib)
	for _, size := range []int{0, 100, partSize, 6 * mib, 11 * mib} {
		ctx, cancel := context.WithCancel(t.Context())
		from := &source{content: content, err: io.EOF, reached: size, do: cancel}
		if n, err := s.Put(ctx, "video/x", from); !errors.Is(err, context.Canceled) || n != 0 {
			t.Errorf("Put, cancelled at %d = %d, %v", size, n, err)
		}
	}
	if n, err := s.Put(cancelled(t), "video/x", strings.NewReader("x")); !errors.Is(err, context.Canceled) || n != 0 {
		t.Errorf("Put, cancelled before = %d, %v", n, err)
	}
	if got := s.contents(t); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func testConcurrentPuts(t *testing.T, s subject) {
	const key = "picture/x"
	var group sync.WaitGroup
	contents := make([][]byte, 6)
	for i := range contents {
		contents[i] = noise(fmt.Sprint(i), partSize+i)
		group.Go(func() {
			if _, err := s.Put(t.Context(), key, bytes.NewReader(contents[i])); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	group.Wait()
	got, _ := get(t, s, key)
	if i := len(got) - partSize; i < 0 || i >= len(contents) || !bytes.Equal(got, contents[i]) {
		t.Errorf("%d bytes are stored that nobody put", len(got))
	}
	if diff := cmp.Diff([]string{key}, s.contents(t)); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
}

// testReadsWhilePuts: a reader gets one whole version or, from S3 only, an error.
func testReadsWhilePuts(t *testing.T, s subject) {
	const key = "avatar/x"
	versions := [][]byte{noise("a", 300*kib), noise("b", 300*kib)}
	put(t, s, key, versions[0])
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := s.Put(t.Context(), key, bytes.NewReader(versions[i%2])); err != nil {
				t.Errorf("Put: %v", err)
			}
		}
	})
	_, mayFail := s.Store.(*S3)
	for range 30 {
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Errorf("Open: %v", err)
			break
		}
		got, err := io.ReadAll(object)
		_ = object.Close()
		whole := bytes.Equal(got, versions[0]) || bytes.Equal(got, versions[1])
		if (err != nil && !mayFail) || (err == nil && !whole) {
			t.Errorf("read %d bytes, a whole version: %t, error: %v", len(got), whole, err)
		}
	}
	stop()
	group.Wait()
}

func testSeek(t *testing.T, s subject) {
	const size = partSize + 100*kib
	content := noise("seek", size)
	put(t, s, "video/x", content)
	object, err := s.Open(t.Context(), "video/x")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	for _, step := range []struct {
		offset int64
		whence int
		want   int64
	}{
		{0, io.SeekEnd, size}, {0, io.SeekStart, 0}, {100, io.SeekStart, 100}, {0, io.SeekStart, 0}, {600, io.SeekStart, 600},
		{500, io.SeekStart, 500}, {50 * kib, io.SeekCurrent, 50*kib + 500 + 20}, {-7, io.SeekEnd, size - 7},
		{4 * mib, io.SeekStart, 4 * mib}, {-10, io.SeekCurrent, 4*mib + 20 - 10}, {5, io.SeekEnd, size + 5},
	} {
		at, err := object.Seek(step.offset, step.whence)
		if err != nil || at != step.want {
			t.Fatalf("Seek(%d, %d) = %d, %v; want %d", step.offset, step.whence, at, err, step.want)
		}
		got := make([]byte, 20)
		n, err := io.ReadFull(object, got)
		want := content[min(at, size):min(at+20, size)]
		if !bytes.Equal(got[:n], want) || (n == 20) != (err == nil) {
			t.Errorf("at %d: %x, %v; want %x", at, got[:n], err, want)
		}
	}
	if at, err := object.Seek(-1, io.SeekStart); err == nil {
		t.Errorf("Seek(-1) = %d", at)
	}
	if at, err := object.Seek(0, 9); err == nil {
		t.Errorf("Seek whence 9 = %d", at)
	}
}

func testCloseWhileRead(t *testing.T, s subject) {
	content := noise("close", 2*mib)
	put(t, s, "video/x", content)
	object, err := s.Open(t.Context(), "video/x")
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	done := make(chan error)
	go func() {
		if _, err := object.Read(make([]byte, 1)); err != nil {
			t.Errorf("Read: %v", err)
		}
		close(begun)
		_, err := io.Copy(io.Discard, object)
		done <- err
	}()
	<-begun
	if err := object.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-done // it may have ended before
	if n, err := object.Read(make([]byte, 1)); err == nil {
		t.Errorf("Read after Close = %d", n)
	}
}

// served stores a file and returns the address that serves it.
func served(t testing.TB, s Store, content []byte, header http.Header) string {
	t.Helper()
	put(t, s, "video/served", content)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		object, err := s.Open(r.Context(), "video/served")
		if err != nil {
			t.Errorf("Open: %v", err)
			return
		}
		maps.Copy(w.Header(), header)
		if err := errors.Join(object.Serve(w, r), object.Close()); err != nil && r.Context().Err() == nil {
			t.Errorf("Serve: %v", err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// fetch requests url. Header lines are given as "Name: value".
func fetch(t testing.TB, method, url string, lines ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s %q: %v", method, url, lines, err)
	}
	return response, body
}

func testServe(t *testing.T, s subject) {
	const size = partSize + 1000
	content := noise("serve", size)
	url := served(t, s, content, http.Header{"Content-Type": {"video/mp4"}})
	for _, test := range []struct {
		ranges      string
		status      int
		first, last int
	}{
		{"", http.StatusOK, 0, size - 1},
		{"bytes=0-0", http.StatusPartialContent, 0, 0},
		{"bytes=0-", http.StatusPartialContent, 0, size - 1},
		{"bytes=100-70000", http.StatusPartialContent, 100, 70000},
		{fmt.Sprintf("bytes=%d-", partSize), http.StatusPartialContent, partSize, size - 1},
		{"bytes=-7", http.StatusPartialContent, size - 7, size - 1},
		{"bytes=9-99999999", http.StatusPartialContent, 9, size - 1},
		{"bytes=" + strings.Repeat("1-1,", maxRanges) + "5-5", http.StatusOK, 0, size - 1},
		{"items=0-1", http.StatusOK, 0, size - 1},
		{"BYTES=0-1", http.StatusPartialContent, 0, 1},
		{"bytes=-0,3-4", http.StatusPartialContent, 3, 4},
		{"bytes=-99999999999999999999", http.StatusPartialContent, 0, size - 1},
		{"bytes=7-99999999999999999999", http.StatusPartialContent, 7, size - 1},
	} {
		response, body := fetch(t, http.MethodGet, url, "Range: "+test.ranges)
		want := content[test.first : test.last+1]
		if response.StatusCode != test.status || !bytes.Equal(body, want) {
			t.Errorf("%q: %s, %d bytes, want %d of them", test.ranges, response.Status, len(body), len(want))
		}
		wantRange := ""
		if test.status == http.StatusPartialContent {
			wantRange = fmt.Sprintf("bytes %d-%d/%d", test.first, test.last, size)
		}
		if got := response.Header.Get("Content-Range"); got != wantRange {
			t.Errorf("%q: Content-Range %q, want %q", test.ranges, got, wantRange)
		}
	}
	for _, none := range []string{fmt.Sprintf("%d-", size), "-0", "99999999999999999999-", "x", "5-4"} {
		response, _ := fetch(t, http.MethodGet, url, "Range: bytes="+none)
		if response.StatusCode != http.StatusRequestedRangeNotSatisfiable || response.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) {
			t.Errorf("%s: %s %v", none, response.Status, response.Header)
		}
	}
	if response, _ := fetch(t, http.MethodHead, url, "Range: bytes=0-1"); response.StatusCode != http.StatusOK || response.ContentLength != size {
		t.Errorf("HEAD with a range: %s, %d bytes", response.Status, response.ContentLength)
	}
	testMultiRange(t, url, content)
}

func testMultiRange(t *testing.T, url string, content []byte) {
	response, body := fetch(t, http.MethodGet, url, "Range: bytes=0-9,5000000-5000009,-5")
	_, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || response.StatusCode != http.StatusPartialContent {
		t.Fatalf("many ranges: %s, %v", response.Status, err)
	}
	parts := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for _, want := range [][]byte{content[:10], content[5_000_000:5_000_010], content[len(content)-5:]} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, want) || part.Header.Get("Content-Type") != "video/mp4" {
			t.Errorf("part %v: %x, %v; want %x", part.Header, got, err, want)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last part: %v", err)
	}
}

func testServeValidators(t *testing.T, s subject) {
	before := time.Now().Add(-time.Second).Truncate(time.Second)
	content := append([]byte("\x89PNG\x0D\x0A\x1A\x0A"), noise("png", 2000)...)
	url := served(t, s, content, nil)
	response, body := fetch(t, http.MethodGet, url)
	if got := response.Header.Get("Content-Type"); got != "image/png" || !bytes.Equal(body, content) {
		t.Errorf("sniffed type %q, body the same: %t", got, bytes.Equal(body, content))
	}
	etag, modified := response.Header.Get("ETag"), response.Header.Get("Last-Modified")
	when, err := http.ParseTime(modified)
	if err != nil || when.Before(before) || when.After(time.Now().Add(time.Second)) {
		t.Errorf("Last-Modified: %q, %v", modified, err)
	}
	if len(etag) < 3 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		t.Errorf("ETag: %s", etag)
	}
	for _, test := range []struct {
		method, line string
		status, size int
	}{
		{http.MethodHead, "X: y", http.StatusOK, 0},
		{http.MethodGet, "If-None-Match: " + etag, http.StatusNotModified, 0},
		{http.MethodGet, "If-Modified-Since: " + modified, http.StatusNotModified, 0},
		{http.MethodGet, `If-None-Match: "other"`, http.StatusOK, len(content)},
	} {
		response, body := fetch(t, test.method, url, test.line)
		if response.StatusCode != test.status || len(body) != test.size {
			t.Errorf("%s %s: %s, %d bytes", test.method, test.line, response.Status, len(body))
		}
	}
	if response, body = fetch(t, http.MethodGet, url, "If-Range: "+etag, "Range: bytes=1-3"); string(body) != "PNG" {
		t.Errorf("If-Range: %s, %d bytes", response.Status, len(body))
	}
	put(t, s, "video/served", content[:1000])
	if response, body = fetch(t, http.MethodGet, url, "If-Range: "+etag, "Range: bytes=1-3"); len(body) != 1000 {
		t.Errorf("If-Range of an old version: %s, %d bytes", response.Status, len(body))
	}
	if response, body = fetch(t, http.MethodGet, url, "If-Range: "+etag, "Range: bytes=9999-"); len(body) != 1000 { // not 416
		t.Errorf("If-Range of an old version, past the end: %s, %d bytes", response.Status, len(body))
	}
}

func testDelete(t *testing.T, s subject) {
	put(t, s, "avatar/a", []byte("a"))
	put(t, s, "avatar/b", []byte("b"))
	for range 3 {
		if err := s.Delete(t.Context(), "avatar/a"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, found := get(t, s, "avatar/a"); found {
		t.Error("deleted, but still found")
	}
	if diff := cmp.Diff([]string{"avatar/b"}, s.contents(t)); diff != "" {
		t.Errorf("what is there (-want +got):\n%s", diff)
	}
}

func testNotFound(t *testing.T, s subject) {
	for _, key := range goodKeys() {
		if object, err := s.Open(t.Context(), key); !errors.Is(err, ErrNotFound) || object != nil {
			t.Errorf("Open(%q) = %v, %v", key, object, err)
		}
	}
}

func testHostileKeys(t *testing.T, s subject) {
	for _, key := range hostileKeys() {
		if n, err := s.Put(t.Context(), key, strings.NewReader("x")); !errors.Is(err, ErrInvalidKey) || n != 0 {
			t.Errorf("Put(%q) = %d, %v", key, n, err)
		}
		if object, err := s.Open(t.Context(), key); !errors.Is(err, ErrNotFound) || object != nil {
			t.Errorf("Open(%q) = %v, %v", key, object, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	if got := s.contents(t); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func testPing(t *testing.T, s subject) {
	for range 2 {
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("Ping: %v", err)
		}
	}
	if got := s.contents(t); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}
