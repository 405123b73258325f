package socket

import (
	"bytes"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// promptly is how late a frame may be taken: less than a frame is on its way.
const promptly = time.Millisecond

// awaitFrame waits for a frame, and notes what was written before it came, unless it may have lain there: while the handler works,
// nothing is read.
func (c *Conn) awaitFrame() error {
	began := c.server.now()
	if c.prompt == 0 {
		c.prompt = began
	}
	err := c.source.await()
	now := c.server.now()
	if now.sub(began) >= promptly {
		c.prompt, c.caughtUp = now, c.batches.Load()
	} else if began.sub(c.prompt) < promptly {
		c.caughtUp = c.batches.Load()
	}
	return err
}

// refusedByHeader is the size in bytes from which on a message is refused by its header alone; readAll refuses smaller ones,
// and the close frame says why.
const refusedByHeader = 16 << 20

// read waits for a message of the peer and hands it to a worker, which begins a new reader when it has handled it; or ends
// the connection. What comes once the connection is closing is read and dropped, so that the close frame reaches a peer
// that is still sending. It runs on a goroutine of its own, whose stack stays at its smallest: nothing deep here.
func (c *Conn) read() {
	defer c.readAgain()
	for {
		err := c.awaitFrame()
		handed := false
		if err == nil {
			handed, err = c.advance()
		}
		if err != nil {
			c.end(err)
		}
		if handed || err != nil {
			return
		}
	}
}

// readAgain is deferred by read: a panic in it closes the connection, but what the peer still sends is read.
func (c *Conn) readAgain() {
	if p := recover(); p != nil {
		c.mu.Lock()
		c.panicked(p)
		c.mu.Unlock()
		go c.read()
	}
}

// advance takes the next frame.
func (c *Conn) advance() (handed bool, err error) {
	opcode, payload, err := c.next()
	switch {
	case err != nil:
		return false, err
	case opcode == opText || opcode == opBinary:
		return c.take(opcode)
	case opcode == opContinuation: // of a message that was dropped
		return false, c.drain()
	default:
		return false, c.control(opcode, payload)
	}
}

// take reads a message and hands it to a worker, unless the connection is closing, or the message closes it.
func (c *Conn) take(opcode int) (handed bool, err error) {
	if c.Closing() {
		c.heard()
		return false, c.drain()
	}
	if opcode != opText {
		c.Abort(Unsupported, "frames must be text")
		return false, nil
	}
	c.reading(c.server.now())
	message, tooLarge, err := readAll(steady{c, whole{c}}, c.server.FrameLimit)
	if err != nil {
		return false, err
	}
	c.reading(0)
	switch {
	case tooLarge:
		c.Abort(TooLarge, "the frame is too large")
	case !utf8.Valid(message):
		c.Abort(Invalid, "frames must be UTF-8")
	default:
		c.server.workers.do(c, message)
		return true, nil
	}
	return false, nil
}

// handle has the handler take a message, and then reads on, later if its peer sends too fast. On a worker.
func (c *Conn) handle(message []byte) {
	c.Guard(func() { c.handler.Text(c.server.life, message) })
	c.Count(1 + len(message)/BytesPerMessage)
	c.pause()
	c.heard()
	go c.read()
}

// end finishes the connection when its reader has failed. On the reader.
func (c *Conn) end(err error) {
	defer c.server.Survive("a socket")
	c.finish(err)
}

// reading notes when the message began that is being read, 0 that it has been read. On the reader.
func (c *Conn) reading(at moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun = at; at != 0 {
		c.extend()
	}
}

// steady is a message on its way: each piece of it gives the peer time for the next.
type steady struct {
	c *Conn
	r io.Reader
}

// Read implements io.Reader.
func (s steady) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.c.heard()
	}
	return n, err
}

// readAll reads a message of at most limit bytes, 0 for any number; of a larger one the rest is left unread.
func readAll(r io.Reader, limit int64) (message []byte, tooLarge bool, err error) {
	if limit <= 0 {
		message, err = io.ReadAll(r)
		return message, false, err
	}
	message, err = io.ReadAll(io.LimitReader(r, limit+1))
	return message, int64(len(message)) > limit, err
}

// whole is a message under way: its frames one after the other, with the control frames between them taken.
type whole struct{ c *Conn }

// Read implements io.Reader.
func (w whole) Read(p []byte) (int, error) {
	s := &w.c.source
	for s.left == 0 {
		if !s.open {
			return 0, io.EOF
		}
		opcode, payload, err := w.c.next()
		switch {
		case err != nil:
		case opcode != opContinuation:
			err = w.c.control(opcode, payload)
		case w.c.owed >= mostOwed:
			w.c.pause()
			fallthrough
		default:
			w.c.Count(1)
		}
		if err != nil {
			return 0, err
		}
	}
	return s.Read(p)
}

// next is the source's, within what a message may have.
func (c *Conn) next() (opcode int, payload []byte, err error) {
	limit := c.server.FrameLimit
	if limit > 0 {
		limit = max(refusedByHeader, limit)
	}
	return c.source.next(limit)
}

// control takes a control frame.
func (c *Conn) control(opcode int, payload []byte) error {
	switch opcode {
	case websocket.PingMessage:
		c.heard()
		c.put(outgoing{opcode: websocket.PongMessage, Frame: Frame{Data: bytes.Clone(payload)}})
		return c.controlled()
	case websocket.PongMessage:
		c.heard()
		c.handler.Pong(payload)
		return c.controlled()
	default:
		code := noStatus
		if len(payload) > 0 {
			var wrong string
			if code, wrong = closeCode(payload); wrong != "" {
				return violation{Protocol, wrong}
			}
		}
		c.peerCloses(code)
		return errClosed
	}
}

// controlled counts a ping or a pong.
func (c *Conn) controlled() error {
	if c.Closing() {
		return c.drain()
	}
	c.Count(1)
	c.pause()
	return nil
}

// heard notes that the peer lives.
func (c *Conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extend()
}

// extend gives the peer its time anew, unless the close frame is out, which it must answer whatever else it sends. A
// deadline may be up to a 32nd later than it must, so that it needn't move with everything that is heard. c.mu is held.
func (c *Conn) extend() {
	if c.sealed {
		return
	}
	now, timeout := c.server.now(), c.server.Timing.PeerTimeout
	if c.begun != 0 {
		timeout = min(c.server.Timing.FrameStall, c.begun.add(timeout).sub(now))
	}
	latest := timeout + timeout/slack
	if left := c.readBy.sub(now); left >= timeout && left <= latest {
		return
	}
	c.readBy = now.add(latest)
	_ = c.source.network.SetReadDeadline(c.server.timeOf(c.readBy)) // fails only on a closed socket, which the reader notices
}
