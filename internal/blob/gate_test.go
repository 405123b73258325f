package blob

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gate is a proxy before MinIO. It records the requests and may answer some of them itself.
type gate struct {
	*httptest.Server
	sent atomic.Int64 // bytes of bodies that MinIO answered

	mu   sync.Mutex
	keep func(w http.ResponseWriter, r *http.Request) bool
	seen []string
}

// openGate returns a gate before the options' endpoint, and a store that uses it.
func openGate(t testing.TB, opts S3Options, limits timeouts) (*gate, *S3) {
	t.Helper()
	target, err := url.Parse(opts.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host // the Host header stays, since it is signed
		},
		Transport: transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
	}
	g := new(gate)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if keep := g.note(r); keep != nil && keep(w, r) {
			return
		}
		proxy.ServeHTTP(countingWriter{w, &g.sent}, r)
	}))
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(g.Close)
	opts.Endpoint = g.URL
	s := openS3(t, opts, limits)
	s.stopSweeping()
	<-s.swept
	g.requests()
	return g, s
}

func (g *gate) note(r *http.Request) func(http.ResponseWriter, *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method == http.MethodGet && r.URL.Query().Has("uploads") {
		return g.keep // the sweeper's, which may arrive after it was stopped
	}
	g.seen = append(g.seen, strings.TrimSpace(r.Method+" "+r.Header.Get("Range")))
	return g.keep
}

// requests returns the requests since its last call.
func (g *gate) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() { g.seen = nil }()
	return g.seen
}

// intercept sets the function that decides which requests MinIO doesn't get.
func (g *gate) intercept(keep func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keep = keep
}

type countingWriter struct {
	http.ResponseWriter
	count *atomic.Int64
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.count.Add(int64(n))
	return n, err
}

func (w countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// beSilent reads everything that the client sends and doesn't answer until it hangs up.
func beSilent(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // net/http notices the hanging up only afterwards
	<-r.Context().Done()
}

// quick returns the timeouts of a store that will be kept waiting.
func quick() timeouts {
	limits := defaultTimeouts()
	limits.header, limits.progress = 400*time.Millisecond, 500*time.Millisecond
	limits.setup, limits.ping = 2*time.Second, time.Second
	limits.pause = time.Millisecond
	return limits
}
