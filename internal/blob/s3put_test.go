package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestS3PutRetries: after a temporary error each part is sent again.
func TestS3PutRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		limits timeouts
		size   int
		refuse func(w http.ResponseWriter, r *http.Request)
	}{
		{"at once", defaultTimeouts(), 3*partSize + 1, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}},
		{"at the end", defaultTimeouts(), 3*partSize + 1, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusInternalServerError)
		}},
		{"broken off", defaultTimeouts(), 3*partSize + 1, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		}},
		{"small", defaultTimeouts(), 100, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTooManyRequests)
		}},
		{"silent", quick(), 100, func(_ http.ResponseWriter, r *http.Request) { beSilent(r) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.limits.pause = time.Millisecond
			g, s := openGate(t, testOptions(t), test.limits)
			var refused sync.Map // the numbers of the parts
			g.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				if _, again := refused.LoadOrStore(r.URL.Query().Get("partNumber"), true); again {
					return false
				}
				test.refuse(w, r)
				return true
			})
			content := noise(test.name, test.size)
			put(t, s, "video/x", content)
			wantFile(t, s, "video/x", content)
		})
	}
}

// TestS3PutRefused: while the server refuses, neither a file nor a part of one is stored.
func TestS3PutRefused(t *testing.T) {
	t.Parallel()
	limits := defaultTimeouts()
	limits.pause = time.Millisecond
	g, s := openGate(t, testOptions(t), limits)
	for _, status := range []int{http.StatusForbidden, http.StatusServiceUnavailable} {
		for _, test := range []struct {
			size    int
			refused func(r *http.Request) bool
		}{
			{100, func(r *http.Request) bool { return r.Method == http.MethodPut }},
			{3 * partSize, func(r *http.Request) bool { return r.URL.Query().Has("uploads") }},                   // begin
			{3 * partSize, func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }},         // a part
			{partSize, func(r *http.Request) bool { return r.Method == http.MethodPost && r.ContentLength > 0 }}, // complete
		} {
			g.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if test.refused(r) {
					w.WriteHeader(status)
				}
				return test.refused(r)
			})
			n, err := s.Put(t.Context(), "video/x", bytes.NewReader(noise("x", test.size)))
			if err == nil || n != 0 || answerIn(err).StatusCode != status {
				t.Errorf("%d bytes, %d: Put = %d, %v", test.size, status, n, err)
			}
		}
	}
	g.intercept(nil)
	if got := objectsIn(t, s); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// TestS3PutCancelledWhileSending: Put returns at once although S3 is silent, and leaves nothing.
func TestS3PutCancelledWhileSending(t *testing.T) {
	t.Parallel()
	g, s := openGate(t, testOptions(t), defaultTimeouts())
	for _, size := range []int{100, 2 * partSize} {
		ctx, cancel := context.WithCancel(t.Context())
		g.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			cancel()
			beSilent(r)
			return true
		})
		begin := time.Now()
		if n, err := s.Put(ctx, "video/x", bytes.NewReader(noise("x", size))); !errors.Is(err, context.Canceled) || n != 0 {
			t.Errorf("Put = %d, %v", n, err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	if got := objectsIn(t, s); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// TestPartBlocks: blocks are used again unless a failed attempt may still read them.
func TestPartBlocks(t *testing.T) {
	t.Parallel()
	s := &S3{timeouts: timeouts{part: time.Minute, pause: time.Millisecond}}
	for _, failures := range []int{0, 1, 2} {
		var p part
		if ended, err := p.fill(zeros{}); ended || err != nil || p.size != partSize {
			t.Fatalf("fill: %t, %v, %d bytes", ended, err, p.size)
		}
		before, attempts := &p.blocks[0][0], 0
		err := s.send(t.Context(), &p, func(context.Context) error {
			if attempts++; attempts <= failures {
				return errors.New("connection broke")
			}
			return nil
		})
		if err != nil || attempts != failures+1 {
			t.Errorf("send: %v, %d attempts", err, attempts)
		}
		if _, err := p.fill(zeros{}); err != nil {
			t.Error(err)
		}
		if reused := before == &p.blocks[0][0]; reused != (failures == 0) {
			t.Errorf("after %d failures the blocks are reused: %t", failures, reused)
		}
	}
}

// TestS3PutMemory: Put allocates little more than one part, however large the file is. It runs alone, since it measures the
// process.
func TestS3PutMemory(t *testing.T) {
	s := openS3(t, testOptions(t), defaultTimeouts())
	put(t, s, "video/warm", noise("x", 100))
	for _, test := range []struct{ size, most int64 }{{100, 256 * kib}, {64 * mib, partSize + 2*mib}} {
		least := int64(math.MaxInt64)
		for range 3 { // the process does other things too, such as opening a connection again; the least is what a Put needs
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			size, err := s.Put(t.Context(), "video/x", io.LimitReader(zeros{}, test.size))
			runtime.ReadMemStats(&after)
			if err != nil || size != test.size {
				t.Fatalf("Put = %d, %v", size, err)
			}
			least = min(least, int64(after.TotalAlloc-before.TotalAlloc))
		}
		if least > test.most {
			t.Errorf("Put of %d bytes allocated %d bytes, want at most %d", test.size, least, test.most)
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
