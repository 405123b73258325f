package realtime

import (
	"context"
	"strings"

	"tim/internal/chat"
)

// place is where an account stands in a conversation, as the database or an event has it.
type place struct {
	conversation string
	target       chat.Target
	joined       int64 // the seq at which the membership began; 0 one to one
	from         int64 // the seq after which the stream begins
	last         int64
}

// departure is what a connection remembers of a conversation that its account has left.
type departure struct {
	seq  int64 // at which it left
	sent int64 // what had been written then: the database may have been ahead of the event
}

// carry gives the connection a stream, unless the account has left since: the seqs of joining and leaving tell in what
// order they came, which events from several nodes and answers of the database don't. A stream that flows already stays
// where it is. A new one, of which it returns true, waits for begin.
func (c *connection) carry(p place) (fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, hasLeft := c.left[p.conversation]
	if hasLeft && p.joined <= before.seq {
		return false
	}
	s := c.streams[p.conversation]
	if fresh = s == nil; fresh {
		s = &stream{conversation: p.conversation}
		c.addStream(s)
	}
	if !s.started {
		s.target, s.pos = p.target, max(p.from, before.sent)
	}
	if p.joined > s.joined { // of a membership between there is no news
		s.joined, s.pos = p.joined, max(s.pos, p.joined)
	}
	s.tentative, s.known = false, max(s.known, p.last)
	c.follow(s)
	return fresh
}

// begin lets the messages of a stream flow whose topic has been joined.
func (c *connection) begin(conversation string, last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[conversation]; s != nil {
		s.known, s.started = max(s.known, last), !c.syncing
		c.follow(s)
	}
}

// drop ends a stream, of which not one more message is written: the account has left the conversation at a seq. An
// account that has joined again since stays.
func (c *connection) drop(conversation string, left int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.left[conversation]
	if s := c.streams[conversation]; s != nil {
		if left <= s.joined {
			return
		}
		before.sent = max(before.sent, s.sent)
		c.endStream(s)
	}
	if c.left == nil {
		c.left = make(map[string]departure)
	}
	before.seq = max(before.seq, left)
	c.left[conversation] = before
}

// addStream gives the connection a stream of a conversation of which it has none. c.mu is held.
func (c *connection) addStream(s *stream) {
	if c.streams == nil {
		c.streams = make(map[string]*stream)
	}
	c.streams[s.conversation] = s
}

// endStream takes a stream away. c.mu is held.
func (c *connection) endStream(s *stream) {
	s.over, s.started = true, false
	if s.timer != nil {
		s.timer.Stop()
	}
	delete(c.streams, s.conversation)
}

// carries tells whether the connection carries a conversation.
func (c *connection) carries(conversation string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[conversation] != nil
}

// wants tells whether the connection is to listen to a topic, of a group or of an account that it follows.
func (c *connection) wants(topic string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	if account, ok := strings.CutPrefix(topic, presenceTopic("")); ok {
		_, follows := c.followed[account]
		return follows
	}
	return c.streams[strings.TrimPrefix(topic, conversationTopic(""))] != nil
}

// tune makes a connection listen to those of the topics that it wants, and no longer to the others. What counts is what
// is wanted now and not when somebody saw to it: so it doesn't matter who comes first, and nothing is listened to once
// the connection is gone.
func (h *Hub) tune(ctx context.Context, c *connection, topics ...string) error {
	c.tuning.Lock()
	defer c.tuning.Unlock()
	for _, name := range topics {
		listening := c.listening[name]
		wanted := c.wants(name)
		switch {
		case wanted && !listening:
			if err := h.topics.join(ctx, name, c); err != nil {
				return err
			}
			if c.listening == nil {
				c.listening = make(map[string]bool)
			}
			c.listening[name] = true
		case listening && !wanted:
			h.topics.leave(name, c)
			delete(c.listening, name)
		}
	}
	return nil
}

// untune ends all that tune began, for good.
func (h *Hub) untune(c *connection) {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.tuning.Lock()
	defer c.tuning.Unlock()
	for name := range c.listening {
		h.topics.leave(name, c)
	}
	c.listening = nil
}

// spawn does something for the connection that may take time, unless it is gone.
func (c *connection) spawn(what string, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	c.hub.running.Go(func() {
		defer c.hub.survive(what)
		f()
	})
}

// membershipMoved brings to a connection that its account has joined a group, or left one that it may carry; the rest is
// done later, since it takes time. It must not block.
func (h *Hub) membershipMoved(c *connection, e event) {
	if e.Kind == chat.MemberJoined {
		c.carry(place{conversation: e.Conversation, target: chat.ToGroup(e.Group), joined: e.Seq, from: e.Seq, last: e.Seq})
	} else {
		c.drop(e.Conversation, e.Seq)
	}
	h.settleLater(c, e.Conversation)
}

func (h *Hub) settleLater(c *connection, conversation string) {
	c.spawn("a change of groups", func() {
		if err := h.settleIn(c, conversation); err != nil {
			c.refuse(err)
		}
	})
}

// settleIn makes a connection hear of a group if it carries it, and only then lets its messages flow.
func (h *Hub) settleIn(c *connection, conversation string) error {
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	if err := h.tune(ctx, c, conversationTopic(conversation)); err != nil || !c.carries(conversation) {
		return err
	}
	last, err := h.lastSeq(conversation)
	if err != nil {
		return err
	}
	c.begin(conversation, last)
	return nil
}

// mostSettling is how many connections at once ask where a group stands that is new to them: after a loss it may be new to
// all of a node's.
const mostSettling = 16

func (h *Hub) lastSeq(conversation string) (int64, error) {
	h.settling <- struct{}{}
	defer func() { <-h.settling }()
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	return h.chat.LastSeq(ctx, conversation)
}

// standings lists all conversations of an account, page by page.
func (h *Hub) standings(ctx context.Context, account string, each func(chat.Conversation)) error {
	for after := ""; ; {
		page, err := h.page(ctx, account, after)
		if err != nil {
			return err
		}
		for _, s := range page {
			each(s)
			after = s.ID
		}
		if len(page) < syncPage {
			return nil
		}
	}
}

func (h *Hub) page(ctx context.Context, account, after string) ([]chat.Conversation, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.StoreTimeout)
	defer cancel()
	return h.chat.Conversations(ctx, account, account, after, syncPage)
}
