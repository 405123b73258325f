package socket

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// BatchBytes is the size from which on one write takes no further frame. What is under way when a peer closes counts as
	// read, so it must not be much.
	BatchBytes = 16 << 10
	// keepBatch is how large the memory of a batch may be to be used again.
	keepBatch = 4 * BatchBytes
	// slack is which part of a deadline, a 32nd, may be added to it, so that it needn't be set anew with every frame.
	slack = 32
)

// batch is what goes to the peer with one write.
type batch struct {
	frames []byte
	tokens []tokenAt
	ping   [maxControl]byte
}

// tokenAt is a token that counts as written once so many bytes of a batch are.
type tokenAt struct {
	token int64
	bytes int
}

// upTo is the last token that counts as written when so many bytes are out, 0 for none.
func (b *batch) upTo(bytes int) (token int64) {
	for _, t := range b.tokens {
		if t.bytes <= bytes {
			token = t.token
		}
	}
	return token
}

// newBatch returns an empty batch.
func (s *Server) newBatch() *batch {
	if b, ok := s.batches.Get().(*batch); ok {
		return b
	}
	return new(batch)
}

// freeBatch takes a batch back to be used again.
func (s *Server) freeBatch(b *batch) {
	if cap(b.frames) <= keepBatch {
		b.frames, b.tokens = b.frames[:0], b.tokens[:0]
		s.batches.Put(b)
	}
}

// write empties the queue, then asks the handler for more, then closes if that is asked for; until there is nothing left to
// do.
func (c *Conn) write() {
	defer c.server.running.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending() && !c.sealed {
		c.step()
	}
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.writing = false
	c.tellChange()
}

// step does one thing that the writer has to do. c.mu is held.
func (c *Conn) step() {
	defer c.recovered()
	switch {
	case len(c.queue) > 0 || c.pinging && c.closing == nil:
		b := c.server.newBatch()
		c.load(b)
		c.deliver(b)
		c.server.freeBatch(b)
	case c.closing != nil:
		c.writeClose()
	default:
		c.more = false
		again := false
		c.unlocked(func() { again = c.handler.More() })
		c.more = c.more || again
	}
}

// load moves frames from the queue to a batch. c.mu is held.
func (c *Conn) load(b *batch) {
	n := 0
	for n < len(c.queue) && len(b.frames) < BatchBytes {
		next := c.queue[n]
		n++
		c.queued -= len(next.Data) + frameOverhead
		c.add(b, next)
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	if c.pinging && len(c.queue) == 0 && c.closing == nil {
		c.pinging = false
		c.add(b, outgoing{opcode: websocket.PingMessage})
	}
}

// add appends a frame to a batch, unless its flow has ended. c.mu is held.
func (c *Conn) add(b *batch, o outgoing) {
	data := o.Data
	switch {
	case o.Flow != nil && o.Flow.ended:
		return
	case o.Flow != nil:
		o.Flow.last = o.Token
	case o.opcode == websocket.PingMessage:
		data = c.handler.PingPayload(b.ping[:0], c.last)
	}
	if data != nil || o.opcode != opText {
		b.frames = appendFrame(b.frames, o.opcode, data)
	}
	if o.Token > 0 && o.Flow == nil {
		c.last = o.Token
		b.tokens = append(b.tokens, tokenAt{o.Token, len(b.frames)})
	}
}

// appendFrame appends a server's frame, RFC 6455 section 5.2: whole and unmasked.
func appendFrame(to []byte, opcode int, data []byte) []byte {
	const final, in16, in64 = 0x80, 126, 127
	to = append(to, final|byte(opcode)) //nolint:gosec // four bits
	switch size := len(data); {
	case size < in16:
		to = append(to, byte(size))
	case size <= math.MaxUint16:
		to = binary.BigEndian.AppendUint16(append(to, in16), uint16(size))
	default:
		to = binary.BigEndian.AppendUint64(append(to, in64), uint64(size))
	}
	return append(to, data...)
}

// deliver writes a batch, and empties it. c.mu is held, but not while writing.
func (c *Conn) deliver(b *batch) {
	var err error
	if out := len(b.frames); out > 0 || len(b.tokens) > 0 {
		now := c.server.now()
		c.since = now
		c.batches.Add(1)
		c.unlocked(func() {
			if out > 0 {
				out, err = c.writeOut(b.frames, now)
			}
			if token := b.upTo(out); token > 0 {
				c.handler.Written(token)
			}
		})
		c.since = 0
	}
	b.frames, b.tokens = b.frames[:0], b.tokens[:0]
	if err != nil {
		c.broken()
	}
}

// writeOut writes bytes to the peer. On the writer.
func (c *Conn) writeOut(frames []byte, now moment) (written int, err error) {
	timeout := c.server.Timing.WriteTimeout
	if c.writeBy.sub(now) < timeout {
		c.writeBy = now.add(timeout + timeout/slack)
		if err := c.source.network.SetWriteDeadline(c.server.timeOf(c.writeBy)); err != nil {
			return 0, err
		}
	}
	return c.source.network.Write(frames)
}

// writeClose writes the close frame, behind which nothing is written any more, and gives the peer Timing.CloseTimeout to
// answer it. c.mu is held, but not while writing.
func (c *Conn) writeClose() {
	frame := appendFrame(nil, websocket.CloseMessage, websocket.FormatCloseMessage(int(c.closing.code), c.closing.reason))
	timeout := c.server.Timing.CloseTimeout
	var err error
	c.unlocked(func() {
		if err = c.source.network.SetWriteDeadline(time.Now().Add(timeout)); err == nil {
			_, err = c.source.network.Write(frame)
		}
	})
	c.sealed, c.said = true, err == nil
	_ = c.source.network.SetReadDeadline(time.Now().Add(timeout)) // see extend
	if err != nil {
		c.broken()
	}
}

// broken ends a connection that can't be written to any more. c.mu is held.
func (c *Conn) broken() {
	c.sealed = true
	_ = c.source.network.Close() // makes the reader end; there is nobody to tell
}
