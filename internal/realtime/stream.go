package realtime

import (
	"fmt"
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

// stream is what a connection knows of the messages of one of its conversations. What the bus brings goes out at once if it is the
// next in order and there is room; everything else is fetched from the database when the queue is empty. So nothing is
// missed, nothing comes twice, and memory doesn't grow with what was missed. Guarded by the connection's mu.
type stream struct {
	conversation string
	target       chat.Target // as the connection's account names it

	over      bool  // the account has no right to it any more; it is no longer among the connection's streams
	tentative bool  // not known yet to be the account's, or where it begins
	joined    int64 // the seq at which the membership began
	sent      int64 // on tim.v1: the last that was written

	started  bool
	fetching bool  // there may be more in the database than known
	known    int64 // the highest seq heard of
	pos      int64 // … queued, or passed over

	lagging bool // it is among those that the connection has yet to fetch
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
	c.streams[c.conversation].pos = delivered
	c.mark.resume(delivered)
}

// start lets the messages of a conversation's socket flow, those missed first.
func (c *connection) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[c.conversation]; !s.started {
		s.started, s.fetching = true, true
		c.follow(s)
	}
}

// follow sees to it that what a stream lacks is fetched. c.mu is held.
func (c *connection) follow(s *stream) {
	if s.behind() && !s.lagging {
		s.lagging = true
		c.lagging = append(c.lagging, s)
	}
	c.wake()
}

// offer brings a new message of a conversation. It never blocks.
func (c *connection) offer(news *news) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streamFor(news)
	if s == nil {
		return
	}
	m := news.message
	s.known = max(s.known, m.Seq)
	if s.started && !s.fetching && m.Seq == s.pos+1 && c.queued <= queueLimit && c.closing == nil {
		s.pos = m.Seq
		c.push(c.outgoing(s, m, news.frame(c)))
		return
	}
	c.follow(s)
}

// streamFor returns the stream that a message belongs to, nil for one that this connection doesn't carry. A one-to-one
// conversation may begin at any time. c.mu is held.
func (c *connection) streamFor(news *news) *stream {
	s := c.streams[news.conversation]
	if s == nil && c.kind == kindModern && c.live && news.target.Group == 0 {
		s = &stream{conversation: news.conversation, target: news.target, tentative: c.syncing, started: !c.syncing}
		c.addStream(s)
	}
	return s
}

// learn tells a stream that there are messages up to seq.
func (c *connection) learn(conversation string, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[conversation]; s != nil {
		s.known = max(s.known, seq)
		c.follow(s)
	}
}

// outgoing is a message as this connection gets it: one-to-one sockets carry no echo.
func (c *connection) outgoing(s *stream, m chat.Message, frame []byte) outgoing {
	if c.kind == kindModern {
		return outgoing{kind: websocket.TextMessage, data: frame, seq: m.Seq, stream: s}
	}
	if c.kind == kindDirect && m.Sender == c.account {
		frame = nil
	}
	return outgoing{kind: websocket.TextMessage, data: frame, seq: m.Seq}
}

// fetch writes a page of what the first of the lagging streams lacks, which then queues behind the others if it lacks
// more. For the writer; c.mu is held, but not while asking and writing.
func (c *connection) fetch() {
	s := c.lagging[0]
	c.lagging[0] = nil
	c.lagging, s.lagging = c.lagging[1:], false
	defer c.follow(s)
	if !s.behind() {
		return
	}
	s.fetching = true
	after, known := s.pos, s.known
	var page []chat.Message
	var err error
	c.unlocked(func() { page, err = c.hub.missed(s.conversation, after, known) })
	if err != nil {
		c.hub.Log.Warn("can't fetch missed messages", "socket", c.id, "err", err)
		c.seal(closeTryLater, "come back later", true)
		return
	}
	if !c.deliverPage(s, page) {
		return
	}
	if len(page) < pageSize && !s.over {
		s.fetching = false
		c.missing(s, len(page) > 0, known)
	}
}

// missed asks for a page of what a connection lacks that has heard of messages up to known. Connections that lack the same
// at the same moment ask once: one lost message of a large group is missed by all of its readers. The answer may be older
// than the question then, but not older than known, so who knows of nothing newer than it has asks for itself. The page is
// shared, too, and must not be changed.
func (h *Hub) missed(conversation string, after, known int64) ([]chat.Message, error) {
	ask := func() (any, error) {
		ctx, cancel := h.within(h.Timing.StoreTimeout)
		defer cancel()
		return h.chat.Missed(ctx, conversation, after, pageSize)
	}
	var page any
	var err error
	if known > after {
		page, err, _ = h.fetches.Do(fmt.Sprintf("%d %d %s", after, known, conversation), ask)
	} else {
		page, err = ask()
	}
	messages, _ := page.([]chat.Message)
	return messages, err
}

// deliverPage writes the messages of a page, several at once. It stops where the connection or the stream has ended, or
// something waits in the queue: a pong or a notice shouldn't wait for the whole backlog. It reports whether all are
// written. For the writer; c.mu is held, but not while writing.
func (c *connection) deliverPage(s *stream, page []chat.Message) (all bool) {
	b := c.newBatch()
	defer c.hub.freeBatch(b)
	for i, m := range page {
		if c.closing != nil || c.sealed || s.over {
			return false
		}
		s.pos = m.Seq
		news := news{hub: c.hub, conversation: s.conversation, target: s.target, message: m}
		c.add(b, c.outgoing(s, m, news.frame(c)))
		if i < len(page)-1 && len(b.frames) < batchBytes {
			continue
		}
		c.deliver(b)
		if len(c.queue) > 0 {
			return i == len(page)-1
		}
	}
	return true
}

// missing looks after a page that was the last: known is what was known before it was asked for. What is known and not
// there, though it was asked for afterwards, is on its way to the database that was asked. c.mu is held.
func (c *connection) missing(s *stream, found bool, known int64) {
	if found || known <= s.pos {
		s.vain = 0
		return // what has become known meanwhile is fetched next
	}
	if s.vain++; s.vain > fetchAttempts {
		c.hub.Log.Error("messages were announced that can't be found", "conversation", s.conversation, "after", s.pos, "up to", known)
		s.vain, s.known = 0, s.pos
		return
	}
	s.waiting = true
	s.timer = time.AfterFunc(c.hub.Timing.FetchAgain, func() {
		c.guardLocked(func() {
			s.waiting = false
			c.follow(s) // which does nothing for one that is over
		})
	})
}

// news is a message on its way to the connections of one topic: encoded once for each kind of reader.
type news struct {
	hub          *Hub
	conversation string
	target       chat.Target // as these readers name it
	message      chat.Message

	contract, modern []byte
}

// frame is the message as a connection gets it, nil if it isn't shown it.
func (n *news) frame(c *connection) []byte {
	if c.kind == kindModern {
		if n.modern == nil {
			n.modern = messageFrame(n.target, n.message)
		}
		return n.modern
	}
	if n.contract == nil {
		n.contract = n.hub.chatMessage(n.message)
	}
	return n.contract
}

// concerned tells whether events concern the connection: on tim.v1 from the first sync on.
func (c *connection) concerned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}
