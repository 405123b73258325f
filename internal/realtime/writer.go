package realtime

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// batchBytes is from where on a batch takes no further frame: what is under way when a peer closes counts as read, so
	// it must not be much.
	batchBytes = 16 << 10
	// keepBatch is how large the memory of a batch may be to be used again.
	keepBatch = 4 * batchBytes
	// slack is which part of a deadline may be added to it, so that it needn't be set anew with every frame.
	slack = 32
)

// batch is what goes to the peer with one write.
type batch struct {
	frames  []byte
	marks   []written
	written int64 // the highest seq of a contract's message, in it or before it
	ping    [pingText]byte
}

// written is a message that counts as written with the first bytes of a batch.
type written struct {
	seq   int64
	bytes int
}

// upTo is the last message that counts as written when so many bytes are out, 0 for none.
func (b *batch) upTo(bytes int) (seq int64) {
	for _, w := range b.marks {
		if w.bytes <= bytes {
			seq = w.seq
		}
	}
	return seq
}

// newBatch returns an empty batch. c.mu is held.
func (c *connection) newBatch() *batch {
	b, ok := c.hub.batches.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	b.written = c.mark.written
	return b
}

// freeBatch takes a batch back to be used again.
func (h *Hub) freeBatch(b *batch) {
	if cap(b.frames) <= keepBatch {
		b.frames, b.marks = b.frames[:0], b.marks[:0]
		h.batches.Put(b)
	}
}

// write empties the queue, then fetches what the streams lack, then closes if that is asked for; until there is
// nothing left to do.
func (c *connection) write() {
	defer c.hub.running.Done()
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
func (c *connection) step() {
	defer c.recovered()
	switch {
	case len(c.queue) > 0 || c.pinging && c.closing == nil:
		b := c.newBatch()
		c.load(b)
		c.deliver(b)
		c.hub.freeBatch(b)
	case c.closing != nil:
		c.writeClose()
	default:
		c.fetch()
	}
}

// load moves frames from the queue to a batch. c.mu is held.
func (c *connection) load(b *batch) {
	n := 0
	for n < len(c.queue) && len(b.frames) < batchBytes {
		next := c.queue[n]
		n++
		c.queued -= len(next.data) + frameOverhead
		c.add(b, next)
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	if c.pinging && len(c.queue) == 0 && c.closing == nil {
		c.pinging = false
		c.add(b, outgoing{kind: websocket.PingMessage})
	}
}

// add appends a frame to a batch. c.mu is held.
func (c *connection) add(b *batch, o outgoing) {
	switch {
	case o.stream != nil && o.stream.over:
		return // there was a right to it when it was queued
	case o.stream != nil: // clients of tim.v1 move their marks themselves
		o.stream.sent = o.seq
	case o.kind == websocket.PingMessage:
		o.data = c.mark.ping(b.ping[:0], b.written)
	}
	if o.data != nil || o.kind != websocket.TextMessage {
		b.frames = appendFrame(b.frames, o.kind, o.data)
	}
	if o.seq > 0 && o.stream == nil {
		b.written = o.seq
		b.marks = append(b.marks, written{o.seq, len(b.frames)})
	}
}

// appendFrame appends a server's frame, RFC 6455 section 5.2: whole and unmasked.
func appendFrame(to []byte, kind int, data []byte) []byte {
	const final, in16, in64 = 0x80, 126, 127
	to = append(to, final|byte(kind)) //nolint:gosec // four bits
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
func (c *connection) deliver(b *batch) {
	var err error
	out := len(b.frames)
	if out > 0 {
		now := c.hub.now()
		c.since = now
		c.unlocked(func() { out, err = c.send(b.frames, now) })
		c.since = 0
	}
	if seq := b.upTo(out); seq > 0 {
		c.wrote(seq)
	}
	b.frames, b.marks = b.frames[:0], b.marks[:0]
	if err != nil {
		c.broken()
	}
}

// send writes bytes to the peer, past gorilla, which writes nothing by itself. For the writer.
func (c *connection) send(frames []byte, now moment) (written int, err error) {
	timeout := c.hub.Timing.WriteTimeout
	if c.writeBy.sub(now) < timeout {
		c.writeBy = now.add(timeout + timeout/slack)
		if err := c.source.network.SetWriteDeadline(c.hub.timeOf(c.writeBy)); err != nil {
			return 0, err
		}
	}
	return c.source.network.Write(frames)
}

// writeClose writes the close frame, behind which nothing is written any more, and gives the peer some time to answer it.
// c.mu is held, but not while writing.
func (c *connection) writeClose() {
	frame := appendFrame(nil, websocket.CloseMessage, websocket.FormatCloseMessage(c.closing.Code, c.closing.Text))
	timeout := c.hub.Timing.CloseTimeout
	var err error
	c.unlocked(func() {
		if err = c.source.network.SetWriteDeadline(time.Now().Add(timeout)); err == nil {
			_, err = c.source.network.Write(frame)
		}
	})
	c.sealed = true
	_ = c.source.network.SetReadDeadline(time.Now().Add(timeout)) // see extend
	if err != nil {
		c.broken()
	}
}

// broken ends a connection that can't be written to any more. c.mu is held.
func (c *connection) broken() {
	c.sealed = true
	_ = c.source.network.Close() // makes the reader end; there is nobody to tell
}
