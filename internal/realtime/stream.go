package realtime

import (
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/chat"
)

const (
	// pageSize is how many messages are fetched at once by a connection that catches up.
	pageSize = 64
	// fetchAttempts is how often a message that was announced is looked for in vain before it is taken for a mistake.
	fetchAttempts = 50
)

// stream is what a connection knows of its conversation's messages. What the bus brings goes out at once if it is the
// next in order and there is room; everything else is fetched from the database when the queue is empty. So nothing is
// missed, nothing comes twice, and memory doesn't grow with what was missed. Guarded by the connection's mu.
type stream struct {
	started  bool
	fetching bool  // there may be more in the database than known
	known    int64 // the highest seq heard of
	pos      int64 // … queued, or passed over

	waiting bool // until the timer says that it is time to fetch again
	vain    int  // fetches in a row that found nothing although something is known
	timer   *time.Timer
}

// behind tells whether something must be fetched.
func (s *stream) behind() bool {
	return s.started && !s.waiting && (s.fetching || s.known > s.pos)
}

// resume sets where the stream begins: after the last message that was confirmed. Before start.
func (c *connection) resume(delivered int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream.pos = delivered
	c.mark.resume(delivered)
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
	after, known := s.pos, s.known
	var page []chat.Message
	var err error
	c.unlocked(func() {
		ctx, cancel := c.hub.within(c.hub.Timing.StoreTimeout)
		defer cancel()
		page, err = c.hub.chat.Missed(ctx, c.conversation, after, pageSize)
	})
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
		if len(c.queue) > 0 { // a pong or a notice shouldn't wait for the whole backlog
			return
		}
	}
	if len(page) < pageSize {
		s.fetching = false
		c.missing(len(page) > 0, known)
	}
}

// missing looks after a page that was the last: known is what was known before it was asked for. What is known and not
// there, though it was asked for afterwards, is on its way to the database that was asked. c.mu is held.
func (c *connection) missing(found bool, known int64) {
	s := &c.stream
	if found || known <= s.pos {
		s.vain = 0
		return // what has become known meanwhile is fetched next
	}
	if s.vain++; s.vain > fetchAttempts {
		c.hub.Log.Error("messages were announced that can't be found", "conversation", c.conversation, "after", s.pos, "up to", known)
		s.vain, s.known = 0, s.pos
		return
	}
	s.waiting = true
	s.timer = time.AfterFunc(c.hub.Timing.FetchAgain, func() {
		c.guardLocked(func() {
			s.waiting = false
			c.wake()
		})
	})
}
