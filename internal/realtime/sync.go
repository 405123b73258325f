package realtime

import (
	"context"
	"slices"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/wire"
)

const (
	// syncPage is how many conversations a synced frame lists.
	syncPage = 100
	// groupPage is how many of an account's groups are looked up at once.
	groupPage = 500
)

// answerSync lists a page of the account's conversations. The first one makes the connection live: it listens to its
// groups before it looks at where the conversations stand, so that nothing falls between; then come, behind the answer,
// the messages that the client lacks.
func (h *Hub) answerSync(ctx context.Context, conn *connection, r frames.Sync) error {
	first := conn.beginSync()
	if first {
		if err := h.goLive(ctx, conn, r.Have); err != nil {
			conn.abortSync()
			return err
		}
	}
	after := ""
	if r.After != nil {
		after = *r.After
	}
	page, err := h.chat.Conversations(ctx, conn.account, conn.account, after, syncPage)
	if err == nil {
		var answer frames.Synced
		if answer, err = synced(r.ID, page); err == nil {
			conn.enqueue(encode(answer))
		}
	}
	if first {
		conn.endSync()
	}
	return err
}

func synced(id string, page []chat.Conversation) (frames.Synced, error) {
	out := frames.Synced{Type: frames.SyncedTypeSynced, ID: id, Conversations: make([]api.Conversation, len(page))}
	for i, c := range page {
		var err error
		if out.Conversations[i], err = wire.Conversation(c); err != nil {
			return out, err
		}
	}
	if len(page) == syncPage {
		out.Next = &page[syncPage-1].ID
	}
	return out, nil
}

// goLive joins the account's groups and gives each conversation a stream that begins after what the client has, or, of a
// conversation that it doesn't name, after its newest message.
func (h *Hub) goLive(ctx context.Context, conn *connection, have *[]frames.Have) error {
	for after := int32(0); ; {
		groups, err := h.chat.Groups(ctx, conn.account, conn.account, after, groupPage)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := h.listen(ctx, conn, g.ID); err != nil {
				return err
			}
			after = g.ID
		}
		if len(groups) < groupPage {
			break
		}
	}
	has := make(map[string]int64)
	if have != nil {
		for _, known := range *have {
			has[wire.Target(known.Conversation).Conversation(conn.account)] = known.Seq
		}
	}
	for after := ""; ; {
		page, err := h.chat.Conversations(ctx, conn.account, conn.account, after, syncPage)
		if err != nil {
			return err
		}
		for _, c := range page {
			from := c.LastSeq
			if seq, ok := has[c.ID]; ok {
				from = min(max(seq, c.JoinedSeq), c.LastSeq)
			}
			conn.carry(c.ID, c.Target, from, c.LastSeq)
			after = c.ID
		}
		if len(page) < syncPage {
			return nil
		}
	}
}

// listen makes a connection hear of a group.
func (h *Hub) listen(ctx context.Context, conn *connection, group int32) error {
	name := conversationTopic(chat.ToGroup(group).Conversation(""))
	if !conn.noteJoined(name) {
		return nil
	}
	return h.topics.join(ctx, name, conn)
}

// beginSync makes events concern the connection; their messages wait until endSync. It reports whether it was the first.
func (c *connection) beginSync() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		return false
	}
	c.live, c.syncing = true, true
	return true
}

// abortSync undoes beginSync: the client may sync again.
func (c *connection) abortSync() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.syncing = false, false
	clear(c.streams)
}

// endSync lets the messages flow.
func (c *connection) endSync() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncing = false
	for _, s := range c.streams {
		s.started = true
		c.follow(s)
	}
}

// carry gives the connection a stream that begins after a seq.
func (c *connection) carry(conversation string, target chat.Target, from, last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[conversation]
	if s == nil {
		s = &stream{conversation: conversation}
		c.streams[conversation] = s
	}
	s.target, s.pos, s.known, s.started = target, from, max(s.known, last), !c.syncing
	c.follow(s)
}

// drop ends a stream: the account has no right to it any more. It reports whether there was one.
func (c *connection) drop(conversation string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[conversation]
	if s == nil {
		return false
	}
	s.started = false
	delete(c.streams, conversation)
	return true
}

// noteJoined remembers a topic that the connection joins; false when it has already.
func (c *connection) noteJoined(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.groups, name) {
		return false
	}
	c.groups = append(c.groups, name)
	return true
}

func (c *connection) noteLeft(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups = slices.DeleteFunc(c.groups, func(other string) bool { return other == name })
}

// joined are the topics of groups and of presence that the connection listens to.
func (c *connection) joined() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := slices.Clone(c.groups)
	for account := range c.followed {
		names = append(names, presenceTopic(account))
	}
	return names
}
