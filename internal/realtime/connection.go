package realtime

import (
	"fmt"
	"net"
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
type kind uint8

const (
	kindChat kind = iota
	kindDirect
	kindGroup
	kindModern
)

// String implements fmt.Stringer.
func (k kind) String() string { return [...]string{"chat", "direct", "group", "tim.v1"}[k] }

// connection is one socket. A goroutine reads from it, which ends with every frame, see workers. What is to be written
// waits in a queue, which a goroutine empties that exists only while there is something to write. Methods may be called
// from any goroutine unless they say otherwise.
type connection struct {
	hub          *Hub
	id           string
	account      string
	session      auth.Session
	target       chat.Target // of a conversation's socket
	conversation string
	limiter      *rate.Limiter // nil for none
	face         face
	parted       sync.Once // see farewell
	slot, spoke  int32     // its place in the hub's wheel
	kind         kind
	writeBy      moment        // the deadline of writes; for the writer
	source       source        // what is read from, and under it what is written to
	ended        chan struct{} // of a conversation's socket: closed when it has ended

	mu       sync.Mutex
	change   *sync.Cond // the writer has stopped, or a mark is stored; nil while nobody waits for that
	queue    []outgoing
	queued   int       // bytes
	lagging  []*stream // those that lack something, in turn
	since    moment    // when the write under way began; 0 for none
	begun    moment    // when the frame began that is being read; 0 for none
	readBy   moment    // the deadline of reads
	closing  *websocket.CloseError
	mark     mark
	late     *time.Timer // see startWithin; may be nil
	expires  int64       // when tim.v1's token does, in ms since 1970
	expiry   *time.Timer // of it, if that is soon
	attached bool        // there is a socket
	pinging  bool        // a heartbeat is due, behind what is queued
	writing  bool
	held     bool // the close frame waits until the peer's mark is stored
	sealed   bool // nothing can be written any more: the close frame is out, or the socket broken
	live     bool // tim.v1: it has synced, so events concern it
	syncing  bool // … or is about to
	recheck  bool // … and must catch up then
	gone     bool // it listens to nothing any more

	streams map[string]*stream // by conversation

	// Of tim.v1, see membership.go and presence.go.
	left     map[string]departure // conversations that the account has left meanwhile
	followed map[string]follow    // accounts whose presence it follows

	tuning    sync.Mutex      // held while topics are joined and left; taken before mu
	listening map[string]bool // the topics of its groups and followed accounts, guarded by tuning
	refusals  *rate.Limiter   // of requests over the limit; nil while there was none. For the one who receives
}

// moment is a time on a hub's clock, in a third of what a time.Time takes; 0 for none.
type moment int64

func (m moment) add(d time.Duration) moment { return m + moment(d) }
func (m moment) sub(n moment) time.Duration { return time.Duration(m - n) }

func (h *Hub) now() moment               { return moment(time.Since(h.began)) }
func (h *Hub) timeOf(m moment) time.Time { return h.began.Add(time.Duration(m)) }

// outgoing is a frame on its way to the client.
type outgoing struct {
	kind int    // websocket.TextMessage, PingMessage or PongMessage
	data []byte // nil for a message that this client is not shown but that counts as written
	seq  int64  // of a message of the conversation; 0 for any other frame

	stream *stream // tim.v1: that the message belongs to; nil for any other frame
}

func (h *Hub) newConnection(k kind, id string, session auth.Session) *connection {
	c := &connection{hub: h, id: id, kind: k, account: session.Account, session: session}
	if h.SendRate > 0 && h.SendBurst > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(h.SendRate), h.SendBurst)
	}
	return c
}

// attach gives the connection its socket; what has been queued goes out. Called once.
func (c *connection) attach(network net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source.network, c.attached = network, true
	c.hub.wheel.add(c)
	if c.sealed { // cut during the handshake
		_ = network.Close()
		return
	}
	c.extend()
	c.wake()
}

// tick pings, and looks whether the peer reads what it is sent and its token expires soon. The wheel calls it with every
// heartbeat; c.mu is held.
func (c *connection) tick() {
	if c.sealed || c.mark.over {
		return
	}
	if c.since != 0 && c.hub.now().sub(c.since) > c.hub.Timing.SlowAfter {
		c.seal(closeTryLater, tooSlow, true)
	} else {
		c.pinging = true
		c.wake()
	}
	c.watchExpiry()
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
	c.hub.running.Add(1)
	go c.write()
}

// pending tells whether there is something to write. c.mu is held.
func (c *connection) pending() bool {
	if c.closing != nil {
		return len(c.queue) > 0 || !c.held
	}
	return len(c.queue) > 0 || len(c.lagging) > 0 || c.pinging
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
		_ = c.source.network.Close() // makes the reader end
	}
}

// awaitChange waits until the writer has stopped, or a mark is stored. c.mu is held, but not while waiting.
func (c *connection) awaitChange() {
	if c.change == nil {
		c.change = sync.NewCond(&c.mu)
	}
	c.change.Wait()
}

// tellChange tells those who wait for that. c.mu is held.
func (c *connection) tellChange() {
	if c.change != nil {
		c.change.Broadcast()
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
		_ = c.source.network.Close()
	}
}
