package doors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// Listen returns a listener of those connections that are within the limits.
func (d *Doors) Listen(l net.Listener) net.Listener { return listener{l, d} }

// Context is for http.Server.ConnContext: it lets Authenticated find the connection.
func (d *Doors) Context(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

type listener struct {
	net.Listener

	doors *Doors
}

// Accept implements net.Listener. net/http goes on after an error that there are no descriptors left.
func (l listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		l.doors.accepted(err)
		if err != nil {
			return nil, err
		}
		if c := l.doors.admit(accepted); c != nil {
			return c, nil
		}
		l.doors.refuse(accepted)
	}
}

// admit counts a connection. It returns nil if a limit refuses it.
func (d *Doors) admit(accepted net.Conn) *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Connections > 0 && d.open >= d.Connections {
		d.refuseAll()
		return nil
	}
	c := &conn{Conn: accepted, doors: d}
	if d.PerAddress > 0 {
		if peer, err := netip.ParseAddrPort(accepted.RemoteAddr().String()); err == nil && !d.Trusted(peer.Addr().Unmap()) {
			a := d.wait(peer.Addr())
			if a == nil {
				return nil
			}
			c.address.Store(a)
		}
	}
	d.open++
	d.openGauge.Inc()
	return c
}

// refusal is the answer to whatever comes on a connection that a limit refuses.
func refusal(message string) []byte {
	body, err := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}{500, message, "too_many_connections"})
	if err != nil { // strings and numbers can always be written
		return nil
	}
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"+
		"Connection: close\r\nRetry-After: 5\r\nContent-Length: %d\r\n\r\n%s\n", len(body)+1, body)
}

// refuseWithin bounds the write of a refusal, which fits into a new connection's buffer.
const refuseWithin = 100 * time.Millisecond

// refuse answers a connection before anything of it is read, and closes it. A client that has sent its request already may
// see a reset instead: waiting for that would cost what the limit is there to save.
func (d *Doors) refuse(c net.Conn) {
	if c.SetDeadline(time.Now().Add(refuseWithin)) == nil {
		_, _ = c.Write(d.refusal) // or there is nobody to tell
	}
	_ = c.Close() // the same
}

// conn is a connection that counts. An idle socket holds one, so it is small.
type conn struct {
	net.Conn

	doors   *Doors
	address atomic.Pointer[address] // nil if it doesn't count for one
	ended   atomic.Bool
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if !c.ended.Swap(true) {
		c.authenticated()
		c.doors.ended()
	}
	return c.Conn.Close()
}

// authenticated ends what the connection counts for its address.
func (c *conn) authenticated() {
	if c.address.Load() == nil { // as for every request but the first
		return
	}
	if a := c.address.Swap(nil); a != nil {
		c.doors.mu.Lock()
		defer c.doors.mu.Unlock()
		c.doors.leave(a)
	}
}

// ended counts a connection out.
func (d *Doors) ended() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	d.openGauge.Dec()
	d.room()
}

// SyscallConn implements syscall.Conn: sockets look for the peer's end behind what they have read.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if below, ok := c.Conn.(syscall.Conn); ok {
		return below.SyscallConn() //nolint:wrapcheck // it is what the connection says
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite lets a peer see the end of what is written while it is still read.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
