package realtime

import (
	"context"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/chat"
)

const (
	// pageSize is how many messages are fetched at once by a connection that catches up.
	pageSize = 64
	// storeEvery is how often a connection's mark is stored at most while it is open.
	storeEvery = time.Second
	// storeTimeout bounds that.
	storeTimeout = 10 * time.Second
)

// stream is what a connection knows of its conversation's messages. What the bus brings goes out at once if it is the
// next in order and there is room; everything else is fetched from the database when the queue is empty. So nothing is
// missing, nothing comes twice, and memory doesn't grow with what was missed. Guarded by the connection's mu.
type stream struct {
	started  bool
	fetching bool  // there may be more in the database than known
	known    int64 // the highest seq heard of
	pos      int64 // … queued, or passed over
	written  int64 // … written
	asked    int64 // … that a ping has asked about
	read     int64 // … that a pong or a close frame has confirmed
	stored   int64 // … whose confirmation is stored
	storing  bool
	timer    *time.Timer // when to ask and store next; nil for not
	over     bool        // no timer any more
}

// behind tells whether something must be fetched.
func (s *stream) behind() bool { return s.started && (s.fetching || s.known > s.pos) }

// ping is what a ping asks: whether the last message written has been read.
func (s *stream) ping() []byte {
	s.asked = s.written
	return strconv.AppendInt(nil, s.written, 10)
}

// disarm stops the timer for good.
func (s *stream) disarm() {
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// resume sets where the stream begins: after the last message that was confirmed. Before start.
func (c *connection) resume(delivered int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream.pos, c.stream.written, c.stream.asked = delivered, delivered, delivered
	c.stream.read, c.stream.stored = delivered, delivered
}

// start lets messages flow, those missed first.
func (c *connection) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stream.started {
		c.stream.started, c.stream.fetching = true, true
		c.wake()
	}
}

// offer brings a new message, with its frame. It never blocks.
func (c *connection) offer(m chat.Message, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.stream
	s.known = max(s.known, m.Seq)
	if s.started && !s.fetching && m.Seq == s.pos+1 && c.queued <= queueLimit && c.closing == nil {
		s.pos = m.Seq
		c.push(c.outgoing(m, frame))
		return
	}
	c.wake()
}

// learn tells the stream that there are messages up to seq.
func (c *connection) learn(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream.known = max(c.stream.known, seq)
	c.wake()
}

// outgoing is a message as this connection gets it: one-to-one sockets carry no echo.
func (c *connection) outgoing(m chat.Message, frame []byte) outgoing {
	if c.kind == kindDirect && m.Sender == c.account {
		frame = nil
	}
	return outgoing{kind: websocket.TextMessage, data: frame, seq: m.Seq}
}

// fetch writes a page of what the stream lacks. For the writer; c.mu is held, but not while asking and writing.
func (c *connection) fetch() {
	s := &c.stream
	s.fetching = true
	after := s.pos
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	page, err := c.hub.chat.Missed(ctx, c.conversation, after, pageSize)
	cancel()
	c.mu.Lock()
	if err != nil {
		c.hub.Log.Warn("can't fetch missed messages", "socket", c.id, "err", err)
		c.seal(closeTryLater, "come back later", true)
		return
	}
	for _, m := range page {
		if c.closing != nil || c.sealed {
			return
		}
		s.pos = m.Seq
		c.writeOne(c.outgoing(m, c.hub.chatMessage(m)))
	}
	if len(page) < pageSize {
		s.fetching = false
		s.known = s.pos // what the bus brings before the commit can be read is brought again by the next message or CatchUp
	}
}

// wrote notes that a message is on its way to the peer. c.mu is held.
func (c *connection) wrote(seq int64) {
	c.stream.written = seq
	c.arm()
}

// confirmPing takes a pong: what was written before its ping has been read.
func (c *connection) confirmPing(data string) {
	seq, err := strconv.ParseInt(data, 10, 64)
	if err != nil {
		return // an unsolicited pong, RFC 6455 section 5.5.3
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confirm(min(seq, c.stream.asked))
}

// confirm moves the mark. c.mu is held.
func (c *connection) confirm(seq int64) {
	if seq > c.stream.read {
		c.stream.read = seq
		c.arm()
	}
}

// arm sees to it that what was written is asked about, and what was confirmed stored, within storeEvery. c.mu is held.
func (c *connection) arm() {
	s := &c.stream
	if s.timer == nil && !s.over {
		s.timer = time.AfterFunc(storeEvery, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if s.over {
				return
			}
			s.timer = nil
			if s.asked < s.written && c.closing == nil {
				c.push(outgoing{kind: websocket.PingMessage})
			}
			c.store()
		})
	}
}

// store stores the mark if it has moved. c.mu is held, but not while storing.
func (c *connection) store() {
	s := &c.stream
	for s.storing {
		c.idle.Wait()
	}
	if s.read <= s.stored {
		return
	}
	seq := s.read
	s.storing = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	err := c.hub.chat.ConfirmDelivered(ctx, c.account, c.conversation, seq)
	cancel()
	c.mu.Lock()
	s.storing = false
	c.idle.Broadcast()
	if err != nil {
		c.hub.Log.Warn("a mark is not stored; messages may come again", "socket", c.id, "account", c.account, "err", err)
		return
	}
	s.stored = max(s.stored, seq)
}
