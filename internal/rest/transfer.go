package rest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"tim/internal/fault"
)

// transfers bounds how slowly a file may be sent or read. A client may pause for as long as stall, when it was faster than the
// rate before; one that is always slower is cut off. So a bad line loses nothing, and a byte now and then holds no connection
// for ever.
type transfers struct {
	rate  float64 // bytes a second; 0 for none
	stall time.Duration
}

// stall is how long a transfer may make no progress.
const stall = 30 * time.Second

// maxBuffered is how many bytes of a download may count as read although they are in the buffers between here and the client.
const maxBuffered = 1 << 20

// credit is how long a transfer may still wait for its client. One goroutine uses it at a time.
type credit struct {
	transfers

	left time.Duration
}

func (t transfers) credit() credit { return credit{t, t.stall} }

// worth is how long n bytes take at the lowest rate.
func (t transfers) worth(n int) time.Duration {
	if t.rate <= 0 {
		return t.stall
	}
	return time.Duration(float64(n) / t.rate * float64(time.Second))
}

// moved counts n bytes for which the client needed some time.
func (c *credit) moved(n int, took time.Duration) {
	c.left -= took
	if n > 0 {
		c.left = min(max(c.left, 0)+c.worth(n), c.stall)
	}
}

// slowBody reads an upload. The time that the store needs isn't the client's, so only reading counts.
type slowBody struct {
	io.ReadCloser

	connection *http.ResponseController
	credit     credit
}

// Read implements io.Reader.
func (b *slowBody) Read(p []byte) (int, error) {
	start := time.Now()
	// A connection without deadlines is a test's recorder; there is nothing to wait for.
	_ = b.connection.SetReadDeadline(start.Add(b.credit.left))
	n, err := b.ReadCloser.Read(p)
	end := time.Now()
	b.credit.moved(n, end.Sub(start))
	_ = b.connection.SetWriteDeadline(end.Add(2 * stall)) // of the answer, once the store is done
	return n, tooSlow(err)
}

// tooSlow is RequestTimeout for a request that didn't come in time, and other errors as they are.
func tooSlow(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fault.Wrap(fault.RequestTimeout, err)
	}
	return err
}

// slowWriter writes a download.
type slowWriter struct {
	http.ResponseWriter

	connection *http.ResponseController
	credit     credit
	written    int
}

// Write implements io.Writer. What has been written may be in buffers which the client is still reading.
func (w *slowWriter) Write(p []byte) (int, error) {
	start := time.Now()
	buffered := w.credit.worth(min(w.written, maxBuffered) + len(p))
	_ = w.connection.SetWriteDeadline(start.Add(w.credit.left + buffered)) // as above
	n, err := w.ResponseWriter.Write(p)
	w.credit.moved(n, time.Since(start))
	w.written += n
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
