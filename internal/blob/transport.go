package blob

import (
	"context"
	"net"
	"net/http"
	"time"
)

// timeouts bound every wait for the network. Tests shorten them.
type timeouts struct {
	dial     time.Duration // to connect, and as much again for TLS
	header   time.Duration // from the end of the request to the header of the answer
	progress time.Duration // without a single byte in either direction
	ping     time.Duration // a whole Ping
	setup    time.Duration // a whole NewS3
	call     time.Duration // a whole request without a large body, with its attempts
	part     time.Duration // one attempt to send a part
	sweep    time.Duration // one search for abandoned uploads
	pause    time.Duration // before a part is sent again
}

func defaultTimeouts() timeouts {
	return timeouts{
		dial:     5 * time.Second,
		header:   20 * time.Second,
		progress: 30 * time.Second, // more than header, since net/http itself repeats a GET whose connection fails
		ping:     5 * time.Second,
		setup:    20 * time.Second,
		call:     time.Minute,
		part:     5 * time.Minute,
		sweep:    2 * time.Minute,
		pause:    200 * time.Millisecond,
	}
}

const (
	maxIdleConns   = 32
	connBufferSize = 32 << 10
)

// newTransport returns a transport whose every wait is bounded. It speaks HTTP/1.1 only, since progressConn needs one
// connection for each transfer.
func newTransport(t timeouts) *http.Transport {
	dialer := &net.Dialer{Timeout: t.dial, KeepAlive: t.progress}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return progressConn{conn, t.progress}, nil
		},
		TLSHandshakeTimeout:   t.dial,
		ResponseHeaderTimeout: t.header,
		IdleConnTimeout:       t.progress,
		MaxIdleConns:          maxIdleConns,
		MaxIdleConnsPerHost:   maxIdleConns,
		ReadBufferSize:        connBufferSize,
		WriteBufferSize:       connBufferSize,
		DisableCompression:    true, // an object that is stored gzipped must come out as it is
	}
}

// progressConn is a connection on which no Read or Write waits longer than limit. Each extends the deadline of both: while
// net/http writes a request's body, it also waits in a Read for the answer.
type progressConn struct {
	net.Conn
	limit time.Duration
}

func (c progressConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c progressConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
