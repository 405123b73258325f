package realtime

import (
	"bytes"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// read waits for a frame of the peer and hands it to a worker, which begins a new reader when it has received it, or ends
// the connection. What comes once the connection is ending counts no more, but is read, so that the close frame reaches a
// peer that is still sending. It runs on a goroutine of its own, whose stack stays at its smallest: nothing deep here.
func (c *connection) read() {
	defer c.readAgain()
	for {
		err := c.source.await()
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
func (c *connection) readAgain() {
	if p := recover(); p != nil {
		c.mu.Lock()
		c.panicked(p)
		c.mu.Unlock()
		go c.read()
	}
}

// advance takes the next frame.
func (c *connection) advance() (handed bool, err error) {
	opcode, control, err := c.next()
	switch {
	case err != nil:
		return false, err
	case opcode == websocket.TextMessage || opcode == websocket.BinaryMessage:
		return c.take(opcode)
	case opcode == continued: // of a message that counts no more
		return false, nil
	default:
		return false, c.control(opcode, control)
	}
}

// take reads a message and hands it to a worker, unless it counts no more or ends the connection.
func (c *connection) take(kind int) (handed bool, err error) {
	if c.shutting() {
		c.heard()
		return false, nil
	}
	if kind != websocket.TextMessage {
		c.shut(closeUnsupported, "frames must be text", true)
		return false, nil
	}
	c.reading(c.hub.now())
	frame, tooLarge, err := readAll(steady{c, text{c}}, c.hub.FrameLimit)
	if err != nil {
		return false, err
	}
	c.reading(0)
	switch {
	case tooLarge:
		c.shut(closeTooLarge, "the frame is too large", true)
	case !utf8.Valid(frame):
		c.shut(closeInvalid, "frames must be UTF-8", true)
	default:
		c.hub.workers.do(c, frame)
		return true, nil
	}
	return false, nil
}

// receive sees to a frame and then to the next. For a worker.
func (c *connection) receive(frame []byte) {
	c.guard(func() {
		c.face.receive(c.hub.life, frame)
		if c.kind != kindModern { // whose requests are refused when they come too fast
			c.pause()
		}
	})
	c.heard()
	go c.read()
}

// end finishes the connection when its reader has failed. For the reader.
func (c *connection) end(err error) {
	defer c.hub.survive("a socket")
	defer c.hub.release(c)
	c.finish(err)
}

// reading says when the frame began that is being read, 0 that it has been read. For the reader.
func (c *connection) reading(at moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun = at; at != 0 {
		c.extend()
	}
}

// steady is a frame on its way: each piece of it gives the peer time for the next.
type steady struct {
	c *connection
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

// readAll reads a frame of at most limit bytes, 0 for any number; of a larger one the rest is left unread.
func readAll(r io.Reader, limit int64) (frame []byte, tooLarge bool, err error) {
	if limit <= 0 {
		frame, err = io.ReadAll(r)
		return frame, false, err
	}
	frame, err = io.ReadAll(io.LimitReader(r, limit+1))
	return frame, int64(len(frame)) > limit, err
}

// shutting tells whether the connection is ending.
func (c *connection) shutting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing != nil
}

// heard says that the peer lives.
func (c *connection) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extend()
}

// extend gives the peer its time anew, unless the close frame is out, which it must answer whatever else it sends. A
// deadline may be a little later than it must, so that it needn't move with everything that is heard. c.mu is held.
func (c *connection) extend() {
	if c.sealed {
		return
	}
	now, timeout := c.hub.now(), c.hub.Timing.PeerTimeout
	if c.begun != 0 {
		timeout = min(c.hub.Timing.FrameStall, c.begun.add(timeout).sub(now))
	}
	latest := timeout + timeout/slack
	if left := c.readBy.sub(now); left >= timeout && left <= latest {
		return
	}
	c.readBy = now.add(latest)
	_ = c.source.network.SetReadDeadline(c.hub.timeOf(c.readBy)) // fails only on a closed socket, which the reader notices
}

// pinged and ponged take the peer's control frames. For the reader.
func (c *connection) pinged(data []byte) {
	c.heard()
	c.put(outgoing{kind: websocket.PongMessage, data: bytes.Clone(data)})
	c.pause()
}

func (c *connection) ponged(data []byte) {
	c.heard()
	c.confirmPing(string(data))
	c.pause()
}

// pause keeps a peer that sends too fast waiting: nothing is read from it meanwhile, and nothing dropped. For the
// reader.
func (c *connection) pause() {
	if c.limiter != nil {
		c.wait(c.limiter.Reserve().Delay())
	}
}

// wait lets time pass before the next frame is read. For the reader.
func (c *connection) wait(delay time.Duration) {
	if delay <= 0 {
		return
	}
	for end := time.Now().Add(delay); !c.shutting() && c.hub.life.Err() == nil; {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		time.Sleep(min(left, longestPause)) // the delay is the purpose
	}
	c.heard()
}

// longestPause is how long a peer that is kept waiting may overlook that its connection ends.
const longestPause = 100 * time.Millisecond

// peerCloses takes the peer's close frame, be it the first or the answer to ours: what was written before it counts as
// read. That is stored, and others are told of the end, before our answer goes out: whoever comes back after it gets
// nothing twice, and finds itself gone. For the reader.
func (c *connection) peerCloses(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.recovered()
	defer func() {
		c.held = false
		c.wake()
	}()
	clean := code == closeNormal || code == closeGoingAway || code == websocket.CloseNoStatusReceived
	if c.closing == nil {
		c.closing = &websocket.CloseError{Code: code}
	}
	c.held = true
	c.queue, c.queued = nil, 0
	for c.writing && !c.sealed {
		c.awaitChange() // the frame under way counts
	}
	if clean || code == c.closing.Code && c.sealed { // an answer has our code
		c.confirm(c.mark.written)
	}
	c.store()
	c.unlocked(c.farewell)
}

// finish ends the writer and the socket once the reader has failed. For the reader.
func (c *connection) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.recovered()
	broke, violated := errors.AsType[violation](err)
	c.queue, c.queued, c.held = nil, 0, false
	switch {
	case violated:
		c.seal(broke.code, clipped(broke.text), true)
	case c.closing == nil:
		c.closing, c.sealed = &websocket.CloseError{Code: websocket.CloseAbnormalClosure}, true
	}
	c.wake() // it may have been held
	c.stopTimers()
	giveUp := time.AfterFunc(c.hub.Timing.CloseTimeout, c.cut)
	for c.writing || c.mark.storing {
		c.awaitChange()
	}
	giveUp.Stop()
	c.sealed = true
	c.store()
	if violated {
		c.unlocked(c.linger)
	}
	_ = c.source.network.Close() // the end either way
}

// stopTimers stops what would be done later. c.mu is held.
func (c *connection) stopTimers() {
	c.mark.over = true
	c.hub.wheel.remove(c)
	timers := []*time.Timer{c.late, c.mark.timer, c.expiry}
	for _, s := range c.streams {
		timers = append(timers, s.timer)
	}
	for _, timer := range timers {
		if timer != nil {
			timer.Stop()
		}
	}
}

// bury says that the connection has ended, whether or not it ever had a socket. Called once, after everything else.
func (c *connection) bury() {
	if c.ended != nil {
		close(c.ended)
	}
}

// maxLinger is how much of what a peer still sends is read and thrown away, in bytes.
const maxLinger = 16 << 20

// linger lets a peer that has broken the protocol read our close frame: a socket closed with unread bytes would be
// reset, and the frame lost on the way.
func (c *connection) linger() {
	half, ok := c.source.network.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.source.network.SetReadDeadline(time.Now().Add(c.hub.Timing.CloseTimeout)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.source.network, maxLinger) // whatever ends it, the socket is closed next
}
