package rest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tim/internal/fault"
)

// halfTime is how long a request may take on the server of the tests below.
const halfTime = 2 * time.Second

// listening is a site on a socket, whose clients have little time.
func listening(t *testing.T, change ...func(*Options)) (s *site, address string) {
	t.Helper()
	s = newSite(t, change...)
	server := httptest.NewUnstartedServer(s)
	server.Config.ReadTimeout, server.Config.ReadHeaderTimeout = halfTime, halfTime
	server.Start()
	t.Cleanup(server.Close)
	return s, server.Listener.Addr().String()
}

// rawConn is a raw connection to a server.
type rawConn struct {
	net.Conn

	r *bufio.Reader
}

func dial(t *testing.T, address string) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return &rawConn{c, bufio.NewReader(c)}
}

// answer reads an answer to a request of a method, and returns its status and body.
func (w *rawConn) answer(t *testing.T, method string) (status int, body string) {
	t.Helper()
	r, err := http.ReadResponse(w.r, &http.Request{Method: method})
	must(t, err)
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return r.StatusCode, string(b)
}

// hearing reads all that comes until the end of a connection. It returns a function that waits for that: from then on the rawConn
// reads what has come. The function returns how long the first byte took, and how long the end.
func (w *rawConn) hearing() (heard func() (first, end time.Duration)) {
	start := time.Now()
	var first, end time.Duration
	var all bytes.Buffer
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.r.Peek(1) // if that fails, the next fails too
		first = time.Since(start)
		_, err = io.Copy(&all, w.r)
		end = time.Since(start)
	}()
	return func() (time.Duration, time.Duration) {
		<-done
		w.r = bufio.NewReader(io.MultiReader(&all, iotest.ErrReader(cmp.Or(err, io.EOF))))
		return first, end
	}
}

// ended waits for the end of the connection.
func (w *rawConn) ended(t *testing.T) {
	t.Helper()
	n, err := io.Copy(io.Discard, w.r)
	if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection goes on: %d bytes, %v", n, err)
	}
}

// A request that never comes to its end is answered, and its connection ends. One whose operation takes no body is answered at
// once.
func TestHalfRequests(t *testing.T) {
	t.Parallel()
	s, address := listening(t)
	token := s.login(t, "alice")
	const json, form = "Content-Type: application/json\r\n", "Content-Type: multipart/form-data; boundary=x\r\n"
	const length, chunks = "Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"
	good := "token: " + token + "\r\n"
	for name, tt := range map[string]struct {
		request string
		status  int
		waits   bool
	}{
		"half a request line":              {"GET /healt", 400, true},
		"half a header":                    {"GET /healthz HTTP/1.1\r\nHost: x\r\nA", 400, true},
		"no body where none is taken":      {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + length, 200, false},
		"half of it":                       {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + length + "12345", 200, false},
		"no chunk of it":                   {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + chunks, 200, false},
		"half a chunk of it":               {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + chunks + "a\r\n12", 200, false},
		"no end of its chunks":             {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + chunks + "1\r\n1\r\n", 200, false},
		"half a trailer":                   {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + chunks + "0\r\nA: b", 200, false},
		"a large one":                      {"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", 200, false},
		"of HTTP/1.0":                      {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n" + length, 200, false},
		"of a page":                        {"GET /docs HTTP/1.1\r\nHost: x\r\n" + length, 200, false},
		"of a redirect":                    {"GET / HTTP/1.1\r\nHost: x\r\n" + length, 302, false},
		"of parameters":                    {"POST /Tim/createGroup?CreateUserAccount=alice&GroupName=half HTTP/1.1\r\nHost: x\r\n" + good + length, 200, false},
		"a body that waits to be asked":    {"POST /Tim/joinGroup HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + length, 401, false},
		"an unknown route":                 {"POST /unknown HTTP/1.1\r\nHost: x\r\n" + length, 404, false},
		"an unknown route in chunks":       {"POST /unknown HTTP/1.1\r\nHost: x\r\n" + chunks, 404, false},
		"a wrong method":                   {"DELETE /Tim/UserLogin HTTP/1.1\r\nHost: x\r\n" + length, 405, false},
		"a preflight":                      {"OPTIONS /Tim/UserLogin HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n" + length, 204, false},
		"a wrong content type":             {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n" + length, 415, false},
		"a wrong token":                    {"POST /Tim/sendMessage HTTP/1.1\r\nHost: x\r\n" + json + length, 401, false},
		"a wrong token of an upload":       {"POST /uploadchatpic HTTP/1.1\r\nHost: x\r\n" + form + length, 401, false},
		"a wrong parameter":                {"POST /Tim/joinGroup HTTP/1.1\r\nHost: x\r\n" + good + length, 400, false},
		"a wrong form":                     {"POST /uploadchatpic HTTP/1.1\r\nHost: x\r\n" + good + json + length, 415, false},
		"a body":                           {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\n" + json + length, 408, true},
		"half a body":                      {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\n" + json + length + `{"acc`, 408, true},
		"the first chunk":                  {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\n" + json + chunks, 408, true},
		"the last chunk":                   {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\n" + json + chunks + "2\r\n{}\r\n", 408, true},
		"a body that was asked for":        {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + json + length, 100, true},
		"the second of two, in one packet": {"GET /Tim/x HTTP/1.1\r\nHost: x\r\n\r\nPOST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\n" + json + length, 404, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			_, err := io.WriteString(c, tt.request)
			must(t, err)
			heard := c.hearing()
			t.Parallel() // from here on: all connections wait at the same time, and not as many as there are processors
			first, end := heard()
			method, _, _ := strings.Cut(tt.request, " ")
			if status, body := c.answer(t, method); status != tt.status {
				t.Errorf("got %d %s, want %d", status, body, tt.status)
			}
			if !tt.waits && first > halfTime {
				t.Errorf("the answer took %v", first)
			}
			if tt.status == 100 || strings.HasSuffix(name, "in one packet") {
				if status, body := c.answer(t, method); status != 408 || !strings.Contains(body, string(fault.RequestTimeout)) {
					t.Errorf("then: %d %s, want 408", status, body)
				}
			}
			if c.ended(t); end > 20*time.Second {
				t.Errorf("the end took %v", end)
			}
		})
	}
}

// A body that nobody reads, but that comes, leaves the connection usable; one in chunks never does, since a Content-Length
// may have stood beside it.
func TestConnectionsThatGoOn(t *testing.T) {
	t.Parallel()
	_, address := listening(t)
	for name, tt := range map[string]struct {
		request string
		goesOn  bool
	}{
		"no body":            {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", true},
		"a body":             {"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", true},
		"of 100 kB":          {"POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), true},
		"that is read":       {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", true},
		"of 1 MB":            {"POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1_000_000), false},
		"in chunks":          {"POST /unknown HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		"with two lengths":   {"POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		"the other way":      {"POST /unknown HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", false},
		"which is read":      {"POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", false},
		"HTTP/1.0":           {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
		"HTTP/1.0 in chunks": {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, address)
			go func() { _, _ = io.WriteString(c, tt.request) }() // of 1 MB not all is taken
			method, _, _ := strings.Cut(tt.request, " ")
			c.answer(t, method)
			if !tt.goesOn {
				c.ended(t)
				return
			}
			_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			must(t, err)
			if status, _ := c.answer(t, "GET"); status != http.StatusOK {
				t.Errorf("the next answer: %d", status)
			}
		})
	}
}

// An upload goes on for as long as it isn't slower than the lowest rate, and no longer.
func TestSlowUploads(t *testing.T) {
	t.Parallel()
	const stall, rate = time.Second, 20_000
	s, address := listening(t, func(o *Options) { o.TransferRate, o.stall = rate, stall })
	token := s.login(t, "alice")
	for name, tt := range map[string]struct {
		piece  int
		every  time.Duration
		pieces int
		status int
	}{
		"a byte now and then": {1, stall / 10, 1000, http.StatusRequestTimeout},
		"nothing":             {0, stall / 10, 1000, http.StatusRequestTimeout},
		"half the rate":       {rate / 20, stall / 10, 1000, http.StatusRequestTimeout},
		"four times the rate": {2 * rate / 5, stall / 10, 25, http.StatusOK}, // for 2.5 s
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, address)
			form, media := formOf(t, pngFile+strings.Repeat("x", tt.piece*tt.pieces))
			_, err := fmt.Fprintf(c, "POST /uploadchatpic HTTP/1.1\r\nHost: x\r\ntoken: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", token, media, len(form))
			must(t, err)
			go func() {
				next := time.NewTicker(tt.every)
				defer next.Stop()
				begin := time.Now()
				for sent := 0; sent < len(form) && tt.piece > 0; <-next.C { // what is due by the clock, so that a busy machine makes nobody slower
					due := min(len(form), tt.piece*(1+int(time.Since(begin)/tt.every)))
					if _, err := io.WriteString(c, form[sent:due]); err != nil {
						return
					}
					sent = due
				}
			}()
			if status, body := c.answer(t, "POST"); status != tt.status {
				t.Errorf("got %d %s, want %d", status, body, tt.status)
			}
		})
	}
}
