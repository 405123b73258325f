package realtime

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/fault"
)

// The close codes of the contract; RFC 6455 section 7.4.1 defines them.
const (
	closeNormal      = websocket.CloseNormalClosure
	closeGoingAway   = websocket.CloseGoingAway
	closeUnsupported = websocket.CloseUnsupportedData
	closeInvalid     = websocket.CloseInvalidFramePayloadData
	closePolicy      = websocket.ClosePolicyViolation
	closeInternal    = websocket.CloseInternalServerErr
	closeTryLater    = websocket.CloseTryAgainLater
)

const (
	// peerTimeout is how long a peer may leave pings unanswered.
	peerTimeout = 45 * time.Second
	// heartbeat is how often a peer is pinged.
	heartbeat = 15 * time.Second
	// slowAfter is how long one write may stand still before its reader is called too slow; it is noticed at the next
	// heartbeat, and the write given up after writeTimeout.
	slowAfter    = 10 * time.Second
	writeTimeout = 30 * time.Second
	// closeTimeout is how long a peer may take to answer a close frame.
	closeTimeout = 5 * time.Second
	// queueLimit bounds what waits to be written on one connection, in bytes. Messages beyond it stay in the database
	// until there is room; other frames beyond it end the connection.
	queueLimit = 256 << 10
	// frameOverhead is what a queued frame costs beside its bytes.
	frameOverhead = 64
)

// kind of socket.
type kind string

const (
	kindChat   kind = "chat"
	kindDirect kind = "direct"
	kindGroup  kind = "group"
)

// connection is one socket. Its reader is the goroutine that runs it; what is to be written waits in a queue, which a
// goroutine empties that exists only while there is something to write. Methods may be called from any goroutine
// unless they say otherwise.
type connection struct {
	hub          *Hub
	id           string
	kind         kind
	account      string
	session      auth.Session
	target       chat.Target // of a conversation's socket
	conversation string
	limiter      *rate.Limiter // nil for none
	socket       *websocket.Conn

	mu       sync.Mutex
	attached bool // there is a socket
	queue    []outgoing
	queued   int // bytes
	writing  bool
	since    time.Time // when the write under way began; zero for none
	closing  *websocket.CloseError
	held     bool       // the close frame waits until the peer's mark is stored
	sealed   bool       // the close frame is written, or can't be
	idle     *sync.Cond // the writer has stopped, or a mark is stored
	stream   stream
	beat     *time.Timer
}

// outgoing is a frame on its way to the client.
type outgoing struct {
	kind int    // websocket.TextMessage, PingMessage or PongMessage
	data []byte // nil for a message that this client is not shown but that counts as written
	seq  int64  // of a message of the conversation; 0 for any other frame
}

func (h *Hub) newConnection(k kind, id string, session auth.Session) *connection {
	c := &connection{hub: h, id: id, kind: k, account: session.Account, session: session}
	c.idle = sync.NewCond(&c.mu)
	if h.SendRate > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(h.SendRate), max(1, h.SendBurst))
	}
	return c
}

// attach gives the connection its socket; what has been queued goes out. Called once.
func (c *connection) attach(socket *websocket.Conn) {
	socket.SetReadLimit(c.hub.FrameLimit)
	socket.SetPingHandler(func(data string) error {
		c.heard()
		c.put(outgoing{kind: websocket.PongMessage, data: []byte(data)})
		c.pause()
		return nil
	})
	socket.SetPongHandler(func(data string) error {
		c.heard()
		c.confirmPing(data)
		return nil
	})
	socket.SetCloseHandler(func(code int, _ string) error {
		c.peerCloses(code)
		return nil
	})
	c.socket = socket
	c.heard()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attached = true
	c.beat = time.AfterFunc(heartbeat, c.tick)
	c.wake()
}

// heard says that the peer lives. Once the close frame is out it no longer buys time.
func (c *connection) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sealed {
		_ = c.socket.SetReadDeadline(time.Now().Add(peerTimeout)) // fails only on a closed socket, which the reader notices
	}
}

// tick pings, and looks whether the peer reads what it is sent.
func (c *connection) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		return
	}
	if !c.since.IsZero() && time.Since(c.since) > slowAfter {
		c.seal(closeTryLater, "too slow a reader", true)
	} else {
		c.push(outgoing{kind: websocket.PingMessage})
	}
	c.beat.Reset(heartbeat)
}

// enqueue sends a text frame that is not part of the conversation's messages. It never blocks: whoever doesn't keep up
// is closed with a code that says come back.
func (c *connection) enqueue(frame []byte) { c.put(outgoing{kind: websocket.TextMessage, data: frame}) }

func (c *connection) put(o outgoing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		return
	}
	if c.queued > queueLimit {
		c.seal(closeTryLater, "too slow a reader", true)
		return
	}
	c.push(o)
}

// push appends to the queue and sees to it that it is emptied. c.mu is held.
func (c *connection) push(o outgoing) {
	c.queue = append(c.queue, o)
	c.queued += len(o.data) + frameOverhead
	c.wake()
}

// wake starts the writer if there is something to write and none runs. c.mu is held.
func (c *connection) wake() {
	if c.writing || c.sealed || !c.attached || !c.pending() {
		return
	}
	c.writing = true
	c.hub.running.Go(c.write)
}

// pending tells whether there is something to write. c.mu is held.
func (c *connection) pending() bool {
	if c.closing != nil {
		return len(c.queue) > 0 || !c.held
	}
	return len(c.queue) > 0 || c.stream.behind()
}

// write empties the queue, then fetches what the stream lacks, then closes if that is asked for; until there is
// nothing left to do.
func (c *connection) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending() && !c.sealed {
		switch {
		case len(c.queue) > 0:
			next := c.queue[0]
			c.queue = c.queue[1:]
			c.queued -= len(next.data) + frameOverhead
			c.writeOne(next)
		case c.closing != nil:
			c.writeClose()
		default:
			c.fetch()
		}
	}
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.writing = false
	c.idle.Broadcast()
}

// writeOne writes one frame. c.mu is held, but not while writing.
func (c *connection) writeOne(o outgoing) {
	if o.data != nil || o.kind != websocket.TextMessage {
		if o.kind == websocket.PingMessage {
			o.data = c.stream.ping()
		}
		c.since = time.Now()
		c.mu.Unlock()
		err := c.send(o)
		c.mu.Lock()
		c.since = time.Time{}
		if err != nil {
			c.broken()
			return
		}
	}
	if o.seq > 0 {
		c.wrote(o.seq)
	}
}

func (c *connection) send(o outgoing) error {
	deadline := time.Now().Add(writeTimeout)
	if o.kind != websocket.TextMessage {
		return c.socket.WriteControl(o.kind, o.data, deadline)
	}
	if err := c.socket.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return c.socket.WriteMessage(websocket.TextMessage, o.data)
}

// broken ends a connection that can't be written to any more. c.mu is held.
func (c *connection) broken() {
	c.sealed = true
	_ = c.socket.Close() // makes the reader end; there is nobody to tell
}

// writeClose writes the close frame and gives the peer some time to answer it. c.mu is held, but not while writing.
func (c *connection) writeClose() {
	payload := websocket.FormatCloseMessage(c.closing.Code, c.closing.Text)
	c.mu.Unlock()
	err := c.socket.WriteControl(websocket.CloseMessage, payload, time.Now().Add(closeTimeout))
	c.mu.Lock()
	c.sealed = true
	_ = c.socket.SetReadDeadline(time.Now().Add(closeTimeout)) // see heard
	if err != nil {
		c.broken()
	}
}

// shut ends the connection with a code, after what is queued or, with drop, instead of it. Only the first call counts.
func (c *connection) shut(code int, reason string, drop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seal(code, reason, drop)
}

// seal is shut with c.mu held.
func (c *connection) seal(code int, reason string, drop bool) {
	if c.closing != nil {
		return
	}
	c.closing = &websocket.CloseError{Code: code, Text: reason}
	if drop {
		c.queue, c.queued = nil, 0
	}
	c.wake()
}

// refuse ends the connection with the code that fits an error.
func (c *connection) refuse(err error) {
	switch f := fault.From(err); f.Reason {
	case fault.NotFriends, fault.NotAMember, fault.UnknownAccount, fault.UnknownGroup:
		c.shut(closePolicy, "no longer allowed", true)
	case fault.SessionEnded:
		c.shut(closePolicy, "the session has ended", true)
	default:
		c.hub.Log.Warn("a socket is asked to come back later", "socket", c.id, "account", c.account, "err", err)
		c.shut(closeTryLater, "come back later", true)
	}
}

// cut ends the connection without a word.
func (c *connection) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	if c.attached {
		_ = c.socket.Close() // makes the reader end
	}
}

// peerCloses takes the peer's close frame, be it the first or the answer to ours: what was written before it counts as
// read, and is stored as read before our answer goes out, so that whoever comes back after it gets nothing twice. For
// the reader.
func (c *connection) peerCloses(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.closing == nil
	if first {
		c.closing, c.held = &websocket.CloseError{Code: code}, true
		c.queue, c.queued = nil, 0
	}
	for first && c.writing {
		c.idle.Wait() // the frame under way counts
	}
	if !first || code == closeNormal || code == closeGoingAway || code == websocket.CloseNoStatusReceived {
		c.confirm(c.stream.written)
	}
	c.store()
	c.held = false
	c.wake()
}

// run reads frames until the connection ends, and hands each to receive. It returns when nothing writes any more.
func (c *connection) run(ctx context.Context, receive func(ctx context.Context, frame []byte)) {
	for {
		kind, frame, err := c.socket.ReadMessage()
		if err != nil {
			c.finish(err)
			return
		}
		c.heard()
		switch {
		case c.shutting():
			continue
		case kind != websocket.TextMessage:
			c.shut(closeUnsupported, "frames must be text", true)
		case !utf8.Valid(frame):
			c.shut(closeInvalid, "frames must be UTF-8", true)
		default:
			receive(ctx, frame)
			c.pause()
		}
	}
}

// shutting tells whether the connection is ending; what the peer sends from then on counts no more.
func (c *connection) shutting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing != nil
}

// pause keeps a peer that sends too fast waiting: nothing is read from it meanwhile, and nothing dropped. For the
// reader.
func (c *connection) pause() {
	if c.limiter == nil {
		return
	}
	if delay := c.limiter.Reserve().Delay(); delay > 0 {
		time.Sleep(delay) // the delay is the purpose; a socket that closes meanwhile is noticed at the next read
		c.heard()
	}
}

// finish ends the writer and the socket once the reader has failed.
func (c *connection) finish(err error) {
	var closed *websocket.CloseError
	var timeout net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
	case errors.As(err, &timeout) && timeout.Timeout():
		c.hub.Log.Debug("peer vanished", "socket", c.id, "account", c.account)
	case !errors.Is(err, net.ErrClosed):
		c.linger()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing == nil {
		c.closing, c.sealed = &websocket.CloseError{Code: websocket.CloseAbnormalClosure}, true
	}
	c.queue, c.queued = nil, 0
	c.beat.Stop()
	c.stream.disarm()
	giveUp := time.AfterFunc(closeTimeout, c.cut)
	for c.writing || c.stream.storing {
		c.idle.Wait()
	}
	giveUp.Stop()
	c.sealed = true
	c.store()
	_ = c.socket.Close() // the end either way
}

// maxLinger is how much of what a peer still sends is read and thrown away, in bytes.
const maxLinger = 16 << 20

// linger lets a peer that has sent what it may not (gorilla has written the close frame by now) read our close frame: a
// socket closed with unread bytes would be reset, and the frame lost on the way.
func (c *connection) linger() {
	network := c.socket.NetConn()
	half, ok := network.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || network.SetReadDeadline(time.Now().Add(closeTimeout)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, network, maxLinger) // whatever ends it, the socket is closed next
}
