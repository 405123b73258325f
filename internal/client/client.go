// Package client is a Go client of tim.v1, of the contract's sockets and of the routes around them, written from the specs as
// anybody's client is. The load tool and the delivery checker use it; it shares nothing with the server's own packages.
//
//	client.go    opening a socket, reading it, writing to it, and the ways in which it ends
//	buffered.go  the TCP connection below it, whose writes wait for one another
//	frame.go     reading frames without a JSON decoder, for those who read very many
//	spec.go      reading frames strictly: each is checked against the spec and decoded
//	rest.go      accounts, friends, groups and messages over REST
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tim/gen/frames"
)

const (
	// Protocol is the subprotocol of the modern socket, and Path where it is opened.
	Protocol = "tim.v1"
	Path     = "/websocket"

	closeTimeout = 5 * time.Second // for the answer to a close frame
)

// Dialer opens sockets. Its fields are set before the first use; Dial may then be called from any goroutine.
type Dialer struct {
	Handshake time.Duration // how long opening a socket may take
	Write     time.Duration // how long a write may take
	Silence   time.Duration // a connection breaks when the server says nothing for so long, not even a ping; 0 for never

	ReadBuffer, WriteBuffer int        // in bytes; 0 for gorilla's defaults
	Buffers                 *sync.Pool // write buffers that sockets share; nil for one in each
}

// Endpoint is a socket of the server.
type Endpoint struct {
	Server   string // http://host:port
	Path     string
	Protocol string // the subprotocol; "" on the contract's sockets
	Token    string
	From     net.Addr // where the connection comes from; nil for what the system chooses
}

// Refusal is an answer of the server that says no.
type Refusal struct {
	Status int
	Body   string // its beginning
}

// Error is the status and what the server said.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %.300s", r.Status, r.Body) }

// RefusedWith tells whether an error is the server's refusal with an HTTP status.
func RefusedWith(err error, status int) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	return ok && refusal.Status == status
}

// Dial opens a socket. A refused handshake is a *Refusal. The caller ends the connection, by Close, Reset, or
// CloseCleanly and reading on until Read fails.
func (d *Dialer) Dial(ctx context.Context, e Endpoint) (*Conn, error) {
	dialer := websocket.Dialer{
		HandshakeTimeout: d.Handshake, ReadBufferSize: d.ReadBuffer, WriteBufferSize: d.WriteBuffer, NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{LocalAddr: e.From}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &buffered{Conn: conn, timeout: d.Write}, nil
		},
	}
	if d.Buffers != nil {
		dialer.WriteBufferPool = d.Buffers
	}
	if e.Protocol != "" {
		dialer.Subprotocols = []string{e.Protocol}
	}
	ws, answer, err := dialer.DialContext(ctx, "ws"+e.Server[len("http"):]+e.Path, http.Header{"token": {e.Token}})
	if answer != nil {
		defer answer.Body.Close() //nolint:errcheck // gorilla has read it
	}
	if err != nil {
		if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
			said, _ := io.ReadAll(answer.Body)
			err = &Refusal{answer.StatusCode, string(said)}
		}
		return nil, fmt.Errorf("open %s: %w", e.Path, err)
	}
	below := ws.NetConn()
	if secure, ok := below.(*tls.Conn); ok {
		below = secure.NetConn()
	}
	c := &Conn{ws: ws, below: below.(*buffered), silence: d.Silence} //nolint:forcetypeassert // made above
	ws.SetPingHandler(func(data string) error {
		c.extend()
		err := ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(d.Write))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil // the client has said goodbye, and still reads what the server wrote before its answer
		}
		return err
	})
	return c, nil
}

// Conn is an open socket. One goroutine reads it; all other methods may be called from any goroutine.
type Conn struct {
	ws      *websocket.Conn
	below   *buffered
	silence time.Duration

	in       []byte    // of the reading goroutine: the frame
	deadline time.Time // of the reading goroutine: when silence ends the connection

	writing sync.Mutex // gorilla allows one writer of messages at a time
}

// Read returns the next frame, which holds until the next call. It first writes what was queued. After an error the
// connection is of no more use; [CloseCode] tells what the server said.
func (c *Conn) Read() ([]byte, error) {
	c.extend()
	_, r, err := c.ws.NextReader()
	if err != nil {
		return nil, err
	}
	c.in = c.in[:0]
	for {
		if len(c.in) == cap(c.in) {
			c.in = append(c.in, 0)[:len(c.in)]
		}
		n, err := r.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if errors.Is(err, io.EOF) {
			return c.in, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// extend gives the server more time to say something.
func (c *Conn) extend() {
	if c.silence == 0 {
		return
	}
	// A twelfth of it may be missing, so that not every frame sets a deadline.
	if now := time.Now(); c.deadline.Sub(now) < c.silence-c.silence/12 {
		c.deadline = now.Add(c.silence)
		_ = c.below.SetReadDeadline(c.deadline) // a dead connection says so when it is read
	}
}

// Hello reads the first frame of tim.v1, which is `hello`, before ctx ends.
func (c *Conn) Hello(ctx context.Context) error {
	defer context.AfterFunc(ctx, c.Close)()
	first, err := c.Read()
	if err == nil && string(Scan(first).Type) != "hello" {
		err = fmt.Errorf("the first frame is no hello: %.200s", first)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("hello: %w", err), context.Cause(ctx))
	}
	return nil
}

// Queue writes a text frame that leaves with the next Flush or Read.
func (c *Conn) Queue(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.ws.WriteMessage(websocket.TextMessage, frame)
}

// Flush writes what was queued.
func (c *Conn) Flush() error { return c.below.flush() }

// Send writes a text frame at once.
func (c *Conn) Send(frame []byte) error { return errors.Join(c.Queue(frame), c.Flush()) }

// SendJSON writes a value as a text frame, at once.
func (c *Conn) SendJSON(value any) error {
	frame, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return c.Send(frame)
}

// SyncID is the id of the requests that Sync and NextPage make.
const SyncID = "sync"

// Sync asks for everything that is new. have is the last seq that the device has of each conversation; nil is a device that
// has nothing and wants to begin at the newest message. The answer is `synced`.
func (c *Conn) Sync(have []frames.Have) error {
	request := frames.Sync{Type: frames.SyncTypeSync, ID: SyncID}
	if have != nil {
		request.Have = &have
	}
	return c.SendJSON(request)
}

// NextPage asks for the conversations behind those that a `synced` has listed, if there are more.
func (c *Conn) NextPage(page frames.Synced) (more bool, err error) {
	if page.Next == nil {
		return false, nil
	}
	return true, c.SendJSON(frames.Sync{Type: frames.SyncTypeSync, ID: SyncID, After: page.Next})
}

// CloseCleanly says goodbye as the protocol asks. Read goes on until the server has answered, or for some seconds.
func (c *Conn) CloseCleanly() {
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(closeTimeout)) // Read ends also without an answer
	_ = c.Flush()
	_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout))
}

// StopReading makes Read fail. The connection stays open, so that the server goes on writing to a client that doesn't read.
func (c *Conn) StopReading() { _ = c.ws.SetReadDeadline(time.Now()) }

// Reset ends the connection as one that breaks (TCP RST), which leaves no port waiting behind.
func (c *Conn) Reset() {
	if tcp, ok := c.below.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// Close ends the connection without a goodbye.
func (c *Conn) Close() { _ = c.below.Close() }

// CloseCode returns the code with which the server has closed a connection, by the error of Read; 0 for a connection that
// broke.
func CloseCode(err error) int {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.CloseAbnormalClosure {
		return closed.Code
	}
	return 0
}
