package rest

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
)

// leftovers decides what happens to the part of a request's body that no handler has read when the answer goes out. net/http
// would read it before it sends the answer's header, for as long as the connection's deadline allows. So a request that only
// announces a body would wait for its answer, although the operation takes no body.
type leftovers struct {
	grace  time.Duration // how long an answer waits for a body that is on its way, so that the connection can be used again
	linger time.Duration // how long the rest is read behind the answer, so that a client that is still sending can read it
}

// defaultLeftovers: a body that is sent together with its header is there within the grace.
func defaultLeftovers() leftovers {
	return leftovers{grace: 20 * time.Millisecond, linger: 2 * time.Second}
}

// maxLeftover is how much of a body is read for nothing, in bytes; of a larger one the connection is closed. net/http has the
// same bound.
const maxLeftover = 256 << 10

// watch settles a request's body before the answer's header goes out. HTTP/2 needs nothing of it: there a body is a stream of
// its own.
//
// The connection closes after every chunked body. RFC 9112 section 6.1 demands that where a Content-Length stood beside it,
// since a proxy in front may have taken that length for the body's end, and what follows for another request. net/http deletes
// such a Content-Length unseen, so every chunked body counts as such. It closes after every request of HTTP/1.0 for the same
// reason: there net/http deletes a Transfer-Encoding unseen.
func (l leftovers) watch(c echo.Context) {
	r := c.Request()
	if r.ProtoMajor != 1 {
		return
	}
	ends := r.ProtoMinor == 0 || len(r.TransferEncoding) > 0
	var body *watchedBody
	if r.ContentLength != 0 {
		body = &watchedBody{ReadCloser: r.Body, asked: strings.EqualFold(r.Header.Get("Expect"), "100-continue")}
		r.Body = body
	}
	if !ends && body == nil {
		return
	}
	c.Response().Before(func() {
		if !l.settled(c.Response(), body, ends) || ends {
			c.Response().Header().Set("Connection", "close")
		}
	})
}

// settled reports whether nothing of a body is left. It waits for what is on its way, but no longer than the grace, and
// not at all where the connection ends anyway.
func (l leftovers) settled(w http.ResponseWriter, body *watchedBody, ends bool) bool {
	if body == nil || body.ended.Load() {
		return true
	}
	connection := http.NewResponseController(w)
	// Reading would ask a client for a body that waits to be asked.
	if !ends && !body.asked && !body.failed.Load() {
		if connection.SetReadDeadline(time.Now().Add(l.grace)) != nil { // a test's recorder
			return true
		}
		if _, err := io.CopyN(io.Discard, body, maxLeftover); err == io.EOF { //nolint:errorlint // an io.EOF that is wrapped says that more should have come
			return true // from here on net/http has no deadline for reading
		}
	}
	_ = connection.SetReadDeadline(time.Now().Add(l.linger)) // fails on a connection that has ended
	return false
}

// watchedBody is a request's body that notes how its reading ended. Safe for concurrent use as far as the body is.
type watchedBody struct {
	io.ReadCloser

	asked         bool // the client waits for 100 Continue before it sends the body
	ended, failed atomic.Bool
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.ended.Store(true)
	case err != nil:
		b.failed.Store(true)
	}
	return n, err
}

// Bodiless is for handlers that take no body: a request that announces one is answered at once, and its connection closes.
func Bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 || r.ProtoMajor == 1 && r.ProtoMinor == 0 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(defaultLeftovers().linger)) // fails on a test's recorder
		}
		next.ServeHTTP(w, r)
	})
}
