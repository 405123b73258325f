package blob

import (
	"context"
	"net"
	"net/http"
	"time"
)

// timeouts bound everything that waits for the network. Tests shorten them.
type timeouts struct {
	dial     time.Duration // to connect, TLS included as much again
	header   time.Duration // from the request's end to the answer's head
	progress time.Duration // without a single byte in either direction
	ping     time.Duration // all of a Ping
	setup    time.Duration // all of NewS3
	call     time.Duration // all of a request without a large body, attempts included
	part     time.Duration // one attempt to send one part
	sweep    time.Duration // one search for abandoned uploads
	pause    time.Duration // before a part is sent again
}

func defaultTimeouts() timeouts {
	return timeouts{
		dial:     5 * time.Second,
		header:   20 * time.Second,
		progress: 30 * time.Second, // more than header, as net/http itself repeats a GET whose connection fails
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

// newTransport returns a transport whose every wait ends. It speaks HTTP/1.1 only, as one connection per
// transfer is what progressConn can judge.
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
		DisableCompression:    true, // an object stored gzipped must come out as it is
	}
}

// progressConn is a connection on which no Read or Write waits longer than limit. Each of them moves the deadline of
// both, since net/http waits in a Read for the answer all the while it writes a request's body.
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
