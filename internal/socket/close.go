package socket

import (
	"errors"
	"io"
	"strings"
	"time"
)

// Close closes the connection with a code, after what is queued. Only the first call of Close, Abort and Cut counts.
func (c *Conn) Close(code Code, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginClose(code, reason, false)
}

// Abort closes the connection with a code, instead of what is queued.
func (c *Conn) Abort(code Code, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginClose(code, reason, true)
}

// Cut ends the connection without a close frame.
func (c *Conn) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	if c.attached {
		_ = c.source.network.Close() // makes the reader end
	}
}

// Closing tells whether the connection is ending.
func (c *Conn) Closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing != nil
}

// beginClose queues the close frame, after what is queued or, with drop, instead of it. c.mu is held.
func (c *Conn) beginClose(code Code, reason string, drop bool) {
	if c.closing != nil {
		return
	}
	if drop {
		c.queue, c.queued = nil, 0
	}
	if code != Protocol {
		final, frame := c.handler.LastWords(code, reason)
		code = final
		if frame != nil {
			c.push(outgoing{opcode: opText, Frame: Frame{Data: frame}})
		}
	}
	c.closing = &closeFrame{code, clipped(reason)}
	c.wake()
}

// maxReason bounds the reason in a close frame, whose payload has at most 125 bytes, RFC 6455 section 5.5.
const maxReason = 100

// clipped is as much of a reason as fits into a close frame.
func clipped(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
}

// peerCloses takes the peer's close frame, the first or the answer to ours. Our own goes out when the handler has been told.
// On the reader.
func (c *Conn) peerCloses(code Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.recovered()
	defer func() {
		c.held = false
		c.wake()
	}()
	clean := code == Normal || code == GoingAway || code == noStatus
	if c.closing == nil {
		c.closing = &closeFrame{code: code}
	}
	c.held = true
	c.queue, c.queued = nil, 0
	for c.writing && !c.sealed {
		c.awaitChange() // the write under way counts
	}
	switch {
	case c.said:
		clean = clean || code == c.closing.code // an answer has our code
	case c.sealed:
		clean = false
	case c.batches.Load() != c.caughtUp: // these may have been written when the frame had come
		clean = clean && !c.source.gone()
	}
	c.unlocked(func() { c.handler.PeerClosed(clean) })
}

// finish ends the writer, the socket and the connection once the reader has failed. On the reader.
func (c *Conn) finish(err error) {
	defer c.server.release(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.recovered()
	broke, violated := errors.AsType[violation](err)
	c.queue, c.queued, c.held = nil, 0, false
	switch {
	case violated:
		c.beginClose(broke.code, broke.text, true)
	case c.closing == nil:
		c.closing, c.sealed = &closeFrame{code: abnormal}, true
	}
	c.wake() // it may have been held
	c.server.wheel.remove(c)
	giveUp := time.AfterFunc(c.server.Timing.CloseTimeout, c.Cut)
	for c.writing {
		c.awaitChange()
	}
	giveUp.Stop()
	c.sealed = true
	if violated {
		c.unlocked(c.linger)
	}
	_ = c.source.network.Close() // the end either way
}

// linger lets a peer that has broken the protocol read our close frame: a socket closed with unread bytes would be reset,
// and the frame lost on the way.
func (c *Conn) linger() {
	half, ok := c.source.network.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.source.network.SetReadDeadline(time.Now().Add(c.server.Timing.CloseTimeout)) != nil {
		return
	}
	for read := 0; read < maxLinger; read += lingerStep {
		if _, err := io.CopyN(io.Discard, c.source.network, lingerStep); err != nil {
			return // whatever ended it, the socket is closed next
		}
		time.Sleep(lingerPause) // the delay is the purpose
	}
}
