package blob

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestS3RangeIsCheap: a range of a large object doesn't fetch the rest of it.
func TestS3RangeIsCheap(t *testing.T) {
	t.Parallel()
	const size = 64 * mib
	g, s := openGate(t, testOptions(t), defaultTimeouts())
	address := served(t, s, noise("large", size), http.Header{"Content-Type": {"video/mp4"}})
	fetch(t, http.MethodGet, address, "Range: bytes=0-0")
	fetch(t, http.MethodGet, address, "Range: bytes=-1")
	g.Close() // waits for what is still being sent
	t.Logf("for 2 bytes %d were sent", g.sent.Load())
	if sent := g.sent.Load(); sent > size/3 {
		t.Errorf("for 2 bytes %d were sent", sent)
	}
}

// TestS3BodyBreaksOff: the reader doesn't notice.
func TestS3BodyBreaksOff(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	content := noise("breaks", 3*mib)
	put(t, openS3(t, opts, defaultTimeouts()), "video/x", content)
	g, s := openGate(t, opts, quick())
	g.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		from := r.Header.Get("Range")
		switch {
		case r.Method == http.MethodGet && from == "": // cut
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Length", "3145728")
			_, _ = w.Write(content[:mib])
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodGet && from == "bytes=1048576-": // stalled
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Range", "bytes 1048576-3145727/3145728")
			w.Header().Set("Content-Length", "2097152")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(content[mib : 2*mib])
			_ = http.NewResponseController(w).Flush()
			beSilent(r)
			return true
		}
		return false
	})
	wantFile(t, s, "video/x", content)
	if diff := cmp.Diff([]string{"HEAD", "GET", "GET bytes=1048576-", "GET bytes=2097152-"}, g.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestS3BodyFails: a body that can't be resumed ends with an error, in time, and Serve returns it.
func TestS3BodyFails(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	put(t, openS3(t, opts, defaultTimeouts()), "video/x", noise("fails", 3*mib))
	for name, test := range map[string]struct {
		spoil func(w http.ResponseWriter, r *http.Request)
		want  string
	}{
		"silent": {func(_ http.ResponseWriter, r *http.Request) { beSilent(r) }, "timeout"},
		"stalled": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_ = http.NewResponseController(w).Flush()
			beSilent(r)
		}, "timeout"},
		"empty": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		}, "unexpected EOF"},
		"gone":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, ErrNotFound.Error()},
		"replaced": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPreconditionFailed) }, "another version"},
		"denied":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "Access Denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, s := openGate(t, opts, quick())
			g.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					test.spoil(w, r)
				}
				return r.Method == http.MethodGet
			})
			object, err := s.Open(t.Context(), "video/x")
			if err != nil {
				t.Fatal(err)
			}
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			err = object.Serve(httptest.NewRecorder(), request)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Serve: %v, want %q", err, test.want)
			}
			if err := object.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestS3ReplacedMeanwhile: a reader doesn't continue in another version.
func TestS3ReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	s := openS3(t, testOptions(t), defaultTimeouts())
	for _, read := range []int64{0, 10} {
		put(t, s, "avatar/x", noise("old", 200*kib))
		object, err := s.Open(t.Context(), "avatar/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, object, read); err != nil {
			t.Fatal(err)
		}
		put(t, s, "avatar/x", noise("new", 200*kib))
		if _, err := object.Seek(100*kib, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := object.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "another version") {
			t.Errorf("Read = %d, %v", n, err)
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestS3RangeIgnored: bytes from another offset are not returned.
func TestS3RangeIgnored(t *testing.T) {
	t.Parallel()
	g, s := openGate(t, testOptions(t), defaultTimeouts())
	put(t, s, "video/x", noise("x", mib))
	g.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range") // the header isn't signed
		return false
	})
	object, err := s.Open(t.Context(), "video/x")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if _, err := object.Seek(1000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if n, err := object.Read(make([]byte, 10)); err == nil || n != 0 {
		t.Errorf("Read = %d, %v", n, err)
	}
}

// TestS3OpenContextEnds: the context's end ends the reading too.
func TestS3OpenContextEnds(t *testing.T) {
	t.Parallel()
	s := openS3(t, testOptions(t), defaultTimeouts())
	put(t, s, "video/x", noise("x", 16*mib))
	ctx, cancel := context.WithCancel(t.Context())
	object, err := s.Open(ctx, "video/x")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if _, err := object.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, object); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %d bytes, %v", n, err)
	}
}
