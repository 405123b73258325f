package realtime

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

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
	closeProtocol    = websocket.CloseProtocolError
	closeUnsupported = websocket.CloseUnsupportedData
	closeInvalid     = websocket.CloseInvalidFramePayloadData
	closePolicy      = websocket.ClosePolicyViolation
	closeTooLarge    = websocket.CloseMessageTooBig
	closeInternal    = websocket.CloseInternalServerErr
	closeTryLater    = websocket.CloseTryAgainLater
)

const (
	// queueLimit bounds what waits to be written on one connection, in bytes. Messages beyond it stay in the database
	// until there is room; other frames beyond it end the connection.
	queueLimit = 256 << 10
	// hopeless is the size from which on a frame is refused by its header alone; readAll refuses what is less, and says why.
	hopeless = 16 << 20
	// frameOverhead is what a queued frame costs beside its bytes.
	frameOverhead = 64
)

// tooSlow is why a connection is closed whose peer doesn't read.
const tooSlow = "too slow a reader"

// kind of socket.
type kind string

const (
	kindChat   kind = "chat"
	kindDirect kind = "direct"
	kindGroup  kind = "group"
	kindModern kind = "tim.v1"
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
	farewell     func() // see face; for the reader, without c.mu

	mu       sync.Mutex
	attached bool // there is a socket
	queue    []outgoing
	queued   int // bytes
	writing  bool
	since    time.Time // when the write under way began; zero for none
	begun    time.Time // when the frame began that is being read; zero for none
	closing  *websocket.CloseError
	held     bool       // the close frame waits until the peer's mark is stored
	sealed   bool       // nothing can be written any more: the close frame is out, or the socket broken
	idle     *sync.Cond // the writer has stopped, or a mark is stored
	ended    chan struct{}
	streams  map[string]*stream // by conversation
	lagging  []*stream          // those that lack something, in turn
	live     bool               // tim.v1: it has synced, so events concern it
	syncing  bool               // … or is about to
	recheck  bool               // … and must catch up then
	mark     mark
	beat     *time.Timer // of the heartbeat
	late     *time.Timer // see startWithin; may be nil
	expiry   *time.Timer // of tim.v1's token

	// Of tim.v1, see membership.go and presence.go.
	left     map[string]departure // conversations that the account has left meanwhile
	followed map[string]follow    // accounts whose presence it follows
	gone     bool                 // it listens to nothing any more

	tuning    sync.Mutex      // held while topics are joined and left; taken before mu
	listening map[string]bool // the topics of its groups and followed accounts, guarded by tuning
	refusals  *rate.Limiter   // of requests over the limit; nil for none
}

// outgoing is a frame on its way to the client.
type outgoing struct {
	kind int    // websocket.TextMessage, PingMessage or PongMessage
	data []byte // nil for a message that this client is not shown but that counts as written
	seq  int64  // of a message of the conversation; 0 for any other frame

	stream *stream // tim.v1: that the message belongs to; nil for any other frame
}

func (h *Hub) newConnection(k kind, id string, session auth.Session) *connection {
	c := &connection{hub: h, id: id, kind: k, account: session.Account, session: session, ended: make(chan struct{})}
	c.idle = sync.NewCond(&c.mu)
	if h.SendRate > 0 && h.SendBurst > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(h.SendRate), h.SendBurst)
	}
	return c
}

// attach gives the connection its socket; what has been queued goes out. Called once.
func (c *connection) attach(socket *websocket.Conn) {
	socket.SetPingHandler(func(data string) error {
		c.heard()
		c.put(outgoing{kind: websocket.PongMessage, data: []byte(data)})
		c.pause()
		return nil
	})
	socket.SetPongHandler(func(data string) error {
		c.heard()
		c.confirmPing(data)
		c.pause()
		return nil
	})
	socket.SetCloseHandler(func(code int, _ string) error {
		c.peerCloses(code)
		return nil
	})
	if c.hub.FrameLimit > 0 {
		socket.SetReadLimit(max(hopeless, c.hub.FrameLimit))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket, c.attached = socket, true
	if c.sealed { // cut during the handshake
		_ = socket.Close()
		return
	}
	c.extend()
	c.beat = time.AfterFunc(c.hub.Timing.Heartbeat, func() { c.guardLocked(c.tick) })
	c.wake()
}

// tick pings, and looks whether the peer reads what it is sent. c.mu is held.
func (c *connection) tick() {
	if c.sealed {
		return
	}
	if !c.since.IsZero() && time.Since(c.since) > c.hub.Timing.SlowAfter {
		c.seal(closeTryLater, tooSlow, true)
	} else {
		c.push(outgoing{kind: websocket.PingMessage})
	}
	c.beat.Reset(c.hub.Timing.Heartbeat)
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
		c.seal(closeTryLater, tooSlow, true)
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
	return len(c.queue) > 0 || len(c.lagging) > 0
}

// write empties the queue, then fetches what the stream lacks, then closes if that is asked for; until there is
// nothing left to do.
func (c *connection) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending() && !c.sealed {
		c.step()
	}
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.writing = false
	c.idle.Broadcast()
}

// step does one thing that the writer has to do. c.mu is held.
func (c *connection) step() {
	defer c.recovered()
	switch {
	case len(c.queue) > 0:
		next := c.queue[0]
		c.queue[0] = outgoing{}
		c.queue = c.queue[1:]
		c.queued -= len(next.data) + frameOverhead
		c.writeOne(next)
	case c.closing != nil:
		c.writeClose()
	default:
		c.fetch()
	}
}

// writeOne writes one frame. c.mu is held, but not while writing.
func (c *connection) writeOne(o outgoing) {
	if o.stream != nil && o.stream.over {
		return // there was a right to it when it was queued
	}
	if o.stream != nil {
		o.stream.sent = o.seq
	}
	if o.data != nil || o.kind != websocket.TextMessage {
		if o.kind == websocket.PingMessage {
			o.data = c.mark.ping()
		}
		c.since = time.Now()
		var err error
		c.unlocked(func() { err = c.send(o) })
		c.since = time.Time{}
		if err != nil {
			c.broken(err)
			return
		}
	}
	if o.seq > 0 && o.stream == nil { // clients of tim.v1 move their marks themselves
		c.wrote(o.seq)
	}
}

func (c *connection) send(o outgoing) error {
	deadline := time.Now().Add(c.hub.Timing.WriteTimeout)
	if o.kind != websocket.TextMessage {
		return c.socket.WriteControl(o.kind, o.data, deadline)
	}
	if err := c.socket.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return c.socket.WriteMessage(websocket.TextMessage, o.data)
}

// writeClose writes the close frame and gives the peer some time to answer it. c.mu is held, but not while writing.
func (c *connection) writeClose() {
	payload := websocket.FormatCloseMessage(c.closing.Code, c.closing.Text)
	timeout := c.hub.Timing.CloseTimeout
	var err error
	c.unlocked(func() { err = c.socket.WriteControl(websocket.CloseMessage, payload, time.Now().Add(timeout)) })
	c.sealed = true
	_ = c.socket.SetReadDeadline(time.Now().Add(timeout)) // see extend
	if err != nil {
		c.broken(err)
	}
}

// broken ends a connection that can't be written to any more. c.mu is held.
func (c *connection) broken(err error) {
	c.sealed = true
	if !errors.Is(err, websocket.ErrCloseSent) { // else gorilla has told the peer of a violation, and the reader ends it
		_ = c.socket.Close() // makes the reader end; there is nobody to tell
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
	if drop {
		c.queue, c.queued = nil, 0
	}
	if c.kind == kindModern && code != closeProtocol {
		last := modernClose(code, reason)
		code = int(last)
		c.push(outgoing{kind: websocket.TextMessage, data: bye(last, reason)})
	}
	c.closing = &websocket.CloseError{Code: code, Text: reason}
	c.wake()
}

// refuse ends the connection with the code that fits an error.
func (c *connection) refuse(err error) {
	switch f := fault.From(err); f.Reason {
	case fault.SessionEnded:
		c.shut(closePolicy, "the session has ended", true)
	case fault.NotFriends, fault.NotAMember, fault.UnknownAccount, fault.UnknownGroup:
		if c.kind != kindModern { // which isn't about one conversation alone
			c.shut(closePolicy, "no longer allowed", true)
			return
		}
		fallthrough
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

// unlocked does something with c.mu, which is held before and after, released.
func (c *connection) unlocked(f func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	f()
}

// guard runs f; a panic in it ends this connection alone, with a code that owns up to it.
func (c *connection) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.panicked(p)
		}
	}()
	f()
}

// guardLocked runs f likewise, with c.mu held.
func (c *connection) guardLocked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.recovered()
	f()
}

// recovered is deferred by what runs with c.mu held.
func (c *connection) recovered() {
	if p := recover(); p != nil {
		c.panicked(p)
	}
}

// panicked ends a connection whose code has panicked. c.mu is held.
func (c *connection) panicked(p any) {
	c.hub.Log.Error("panic", "where", "a socket", "socket", c.id, "account", c.account, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if c.closing == nil {
		c.held = false
		c.seal(closeInternal, "internal error", true)
		return
	}
	c.sealed = true // for the second time, or while closing
	if c.attached {
		_ = c.socket.Close()
	}
}
