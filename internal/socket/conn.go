package socket

import (
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"
)

const (
	// QueueLimit bounds what waits to be written on one connection, in bytes. Beyond it Offer takes nothing, and Send closes
	// the connection.
	QueueLimit = 256 << 10
	// frameOverhead is what a queued frame costs beside its bytes.
	frameOverhead = 64
)

// Conn is one connection. A goroutine reads from it until a message has come, see workers. What is to be written waits in a
// queue; a writer empties it, which exists only while there is something to write. Safe for concurrent use.
type Conn struct {
	server      *Server
	handler     Handler
	id, owner   string // for the log; connections of one owner share what Options.Pace allows
	owed        int32  // what was read since the owner's pace was asked, in messages; for the reader, or the worker
	drained     int64  // bytes that were read since the connection is closing; for the reader
	slot, spoke int32  // its place in the server's wheel
	writeBy     moment // the deadline of writes; for the writer
	source      source // what is read from, and under it what is written to

	batches  atomic.Uint32 // how many writes with messages have begun
	caughtUp uint32        // … when a frame came that was taken at once; of the reader
	prompt   moment        // when the reader last had to wait for the peer; of the reader

	mu      sync.Mutex
	change  *sync.Cond // the writer has stopped; nil while nobody waits for that
	queue   []outgoing
	queued  int    // bytes
	last    int64  // the token of the last frame that a batch has taken
	since   moment // when the write under way began; 0 for none
	begun   moment // when the frame began that is being read; 0 for none
	readBy  moment // the deadline of reads
	closing *closeFrame

	attached bool // there is a socket
	pinging  bool // a heartbeat's ping is due, behind what is queued
	more     bool // the handler has more to send, once the queue is empty
	writing  bool // the writer runs
	held     bool // the close frame waits for the handler's PeerClosed
	sealed   bool // nothing can be written any more: the close frame is out, or the socket broken
	said     bool // the close frame is out
}

// closeFrame is why a connection closes.
type closeFrame struct {
	code   Code
	reason string
}

// Frame is a text frame for the peer.
type Frame struct {
	Data []byte // nil for a frame that this peer isn't shown, but whose token counts as written
	// Token numbers frames in the order in which they are queued; 0 for a frame that nobody counts. Without a Flow the
	// handler's Written is told of it, with one the Flow notes it.
	Token int64
	Flow  *Flow // nil for none
}

// Flow is a run of frames that can be ended, such as the messages of one conversation. The zero value is a flow without
// frames. It belongs to one Conn, whose EndFlow ends it.
type Flow struct {
	ended bool
	last  int64 // the token of the last frame that a batch has taken
}

// outgoing is a frame in the queue.
type outgoing struct {
	Frame

	opcode int // websocket.TextMessage, PingMessage or PongMessage
}

// NewConn returns a connection without a socket: what is sent on it waits until Start. id and owner name it in the log.
func (s *Server) NewConn(id, owner string, h Handler) *Conn {
	return &Conn{server: s, handler: h, id: id, owner: owner}
}

// ID names the connection among all of all nodes, if the ids that NewConn was given do.
func (c *Conn) ID() string { return c.id }

// Handler is what NewConn was given.
func (c *Conn) Handler() Handler { return c.handler }

// Start gives a registered connection its socket: what has been queued goes out, begin (which may be nil) runs on a
// goroutine of the connection's own, and then the peer is read. Called once.
func (c *Conn) Start(network net.Conn, begin func()) {
	c.attach(network)
	// A goroutine of its own, so that the request's, whose stack the handshake has grown, can end.
	if begin == nil {
		go c.read()
		return
	}
	go func() {
		c.Guard(begin)
		go c.read() // on a stack that has not grown
	}()
}

func (c *Conn) attach(network net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source.network, c.attached = network, true
	c.server.wheel.add(c)
	if c.sealed { // cut during the handshake
		_ = network.Close()
		return
	}
	c.extend()
	c.wake()
}

// Send queues a text frame. It never blocks. A peer that leaves more than QueueLimit bytes unread is closed with TryLater.
func (c *Conn) Send(frame []byte) {
	c.put(outgoing{opcode: websocket.TextMessage, Frame: Frame{Data: frame}})
}

// Ping queues a ping, behind what is queued. It never blocks.
func (c *Conn) Ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing == nil {
		c.push(outgoing{opcode: websocket.PingMessage})
	}
}

func (c *Conn) put(o outgoing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		return
	}
	if c.queued > QueueLimit {
		c.beginClose(TryLater, TooSlow, true)
		return
	}
	c.push(o)
}

// Offer queues a frame if there is room for it, and reports whether there was. It never blocks.
func (c *Conn) Offer(f Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued > QueueLimit || c.closing != nil {
		return false
	}
	c.push(outgoing{opcode: websocket.TextMessage, Frame: f})
	return true
}

// WantMore has the handler's More called when the queue is empty. It never blocks.
func (c *Conn) WantMore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.more = true
	c.wake()
}

// Waiting is how many bytes are queued.
func (c *Conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued
}

// EndFlow ends a flow: none of its frames is written from now on, also of those that are queued. It returns the token of the
// last frame that was handed to the writer.
func (c *Conn) EndFlow(f *Flow) (last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.ended = true
	return f.last
}

// push appends to the queue and starts the writer if none runs. c.mu is held.
func (c *Conn) push(o outgoing) {
	c.queue = append(c.queue, o)
	c.queued += len(o.Data) + frameOverhead
	c.wake()
}

// wake starts the writer if there is something to write and none runs. c.mu is held.
func (c *Conn) wake() {
	if c.writing || c.sealed || !c.attached || !c.pending() {
		return
	}
	c.writing = true
	c.server.running.Add(1)
	go c.write()
}

// pending tells whether there is something to write. c.mu is held.
func (c *Conn) pending() bool {
	if c.closing != nil {
		return len(c.queue) > 0 || !c.held
	}
	return len(c.queue) > 0 || c.more || c.pinging
}

// awaitChange waits until the writer has stopped. c.mu is held, but not while waiting.
func (c *Conn) awaitChange() {
	if c.change == nil {
		c.change = sync.NewCond(&c.mu)
	}
	c.change.Wait()
}

// tellChange wakes whoever waits in awaitChange. c.mu is held.
func (c *Conn) tellChange() {
	if c.change != nil {
		c.change.Broadcast()
	}
}

// unlocked calls f with c.mu, which is held before and after, released.
func (c *Conn) unlocked(f func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	f()
}

// Guard calls f. A panic in it closes this connection alone, with Internal.
func (c *Conn) Guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.panicked(p)
		}
	}()
	f()
}

// recovered is deferred by what runs with c.mu held.
func (c *Conn) recovered() {
	if p := recover(); p != nil {
		c.panicked(p)
	}
}

// panicked ends a connection whose code has panicked. c.mu is held.
func (c *Conn) panicked(p any) {
	c.server.Log.Error("panic", "where", "a socket", "socket", c.id, "account", c.owner, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if c.closing == nil {
		c.held = false
		c.beginClose(Internal, "internal error", true)
		return
	}
	c.sealed = true // for the second time, or while closing
	if c.attached {
		_ = c.source.network.Close()
	}
}
