package realtime

import (
	"context"
	"fmt"
	"slices"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/wire"
)

const (
	// syncPage is how many conversations a synced frame lists at most.
	syncPage = 100
	// groupPage is how many of an account's groups are joined at once.
	groupPage = 500
	// answerBytes is how large an answer may grow that lists messages, give or take one of them.
	answerBytes = 256 << 10
	// mostSyncing is how many connections sync at once: after a restart all clients want to, and each of them is several
	// questions to the database.
	mostSyncing = 64
)

// answerSync lists a page of the account's conversations. The first one makes the connection live: it listens to its
// groups before it looks at where the conversations stand, so that nothing falls between; then come, behind the answer,
// the messages that the client lacks. One that fails leaves the connection as it was. It waits for its turn until the
// frame's time is over.
func (h *Hub) answerSync(ctx context.Context, conn *connection, r frames.Sync) error {
	select {
	case h.syncing <- struct{}{}:
		defer func() { <-h.syncing }()
	case <-ctx.Done():
		return fmt.Errorf("wait to sync: %w", ctx.Err())
	}
	first := conn.beginSync()
	err := h.sync(ctx, conn, r, first)
	switch {
	case !first:
	case err != nil:
		conn.abortSync()
	default:
		strange, recheck := conn.endSync()
		_ = h.tune(ctx, conn, strange...) // which only leaves
		if recheck {
			if err := h.catchUpModern(ctx, []*connection{conn}); err != nil {
				conn.refuse(err) // the request has its answer
			}
		}
	}
	return err
}

func (h *Hub) sync(ctx context.Context, conn *connection, r frames.Sync, first bool) error {
	after := ""
	if r.After != nil {
		after = *r.After
	}
	var page []chat.Conversation
	var err error
	if first {
		page, err = h.goLive(ctx, conn, r.Have)
	}
	if err == nil && (!first || after != "") {
		page, err = h.chat.Conversations(ctx, conn.account, conn.account, after, syncPage)
	}
	if err != nil {
		return err
	}
	answer, err := synced(r.ID, page)
	if err == nil {
		conn.enqueue(encode(answer))
	}
	return err
}

func synced(id string, page []chat.Conversation) (frames.Synced, error) {
	out := frames.Synced{Type: frames.SyncedTypeSynced, ID: id, Conversations: make([]api.Conversation, 0, len(page))}
	size := 0
	for i, c := range page {
		conversation, err := wire.Conversation(c)
		if err != nil {
			return out, err
		}
		out.Conversations = append(out.Conversations, conversation)
		if c.Last != nil {
			size += len(c.Last.Body)
		}
		if i == syncPage-1 || size > answerBytes && i < len(page)-1 {
			out.Next = &page[i].ID
			break
		}
	}
	return out, nil
}

// goLive gives each conversation a stream that begins after what the client has, or, of a conversation that it doesn't name,
// after its newest message, and joins the account's groups. It returns the first page of conversations. Of memberships that
// begin or end meanwhile the account's own topic brings news, and carry and drop keep their order.
func (h *Hub) goLive(ctx context.Context, conn *connection, have *[]frames.Have) (first []chat.Conversation, err error) {
	has := make(map[string]int64)
	if have != nil {
		for _, known := range *have {
			has[wire.Target(known.Conversation).Conversation(conn.account)] = known.Seq
		}
	}
	var groups []string
	err = h.standings(ctx, conn.account, func(c chat.Conversation) {
		if len(first) < syncPage {
			first = append(first, c)
		}
		from := c.LastSeq
		if seq, ok := has[c.ID]; ok {
			from = min(max(seq, c.JoinedSeq), c.LastSeq)
		}
		conn.carry(place{conversation: c.ID, target: c.Target, joined: c.JoinedSeq, from: from, last: c.LastSeq})
		if c.Target.Group != 0 {
			groups = append(groups, c.ID)
		}
	})
	for page := range slices.Chunk(groups, groupPage) {
		if err == nil {
			err = h.joinGroups(ctx, conn, page)
		}
	}
	return first, err
}

// joinGroups makes a connection hear of groups that it carries, and of what came before it did.
func (h *Hub) joinGroups(ctx context.Context, conn *connection, conversations []string) error {
	topics := make([]string, len(conversations))
	for i, conversation := range conversations {
		topics[i] = conversationTopic(conversation)
	}
	if err := h.tune(ctx, conn, topics...); err != nil {
		return err
	}
	last, err := h.chat.LastSeqs(ctx, conversations)
	for conversation, seq := range last {
		conn.learn(conversation, seq)
	}
	return err
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

// abortSync undoes beginSync: the client may sync again. The topics stay joined for that.
func (c *connection) abortSync() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		c.endStream(s)
	}
	c.live, c.syncing = false, false
}

// endSync lets the messages flow. It returns the topics of groups that turned out not to be the account's any more, and
// whether the bus may have lost something meanwhile.
func (c *connection) endSync() (strange []string, recheck bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncing = false
	for _, s := range c.streams {
		if s.tentative && s.target.Group != 0 {
			strange = append(strange, conversationTopic(s.conversation))
			c.endStream(s)
			continue
		}
		s.tentative, s.started = false, true
		c.follow(s)
	}
	recheck, c.recheck = c.recheck, false
	return strange, recheck
}
