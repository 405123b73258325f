package timv1

import (
	"context"
	"slices"

	"tim/gen/sockets"
	"tim/internal/chat"
	"tim/internal/delivery"
	"tim/internal/feed"
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

// Sync implements sockets.TimV1: it lists a page of the account's conversations. The first one makes the connection live: it
// subscribes to its groups before it asks where the conversations stand, so that no message is missed. The messages that
// the client lacks come behind the answer. A sync that fails leaves the connection as it was. It waits for its turn until the
// frame's time is over.
func (s *Session) Sync(ctx context.Context, r *sockets.Sync, answer func(sockets.Synced)) error {
	s.conn.Count(syncFrames)
	done, err := turn(ctx, s.service.syncing)
	if err != nil {
		return err
	}
	defer done()
	first := s.beginSync()
	page, err := s.page(ctx, r, first)
	switch {
	case err != nil && first:
		s.abortSync()
		return err
	case err != nil:
		return err
	}
	answer(synced(page))
	if !first {
		return nil
	}
	strange, recheck := s.endSync()
	_ = s.syncTopics(ctx, conversationTopics(strange)...) // which only leaves
	s.checkLater(s.allFollowed()...)                      // it hasn't heard yet who joined or left its groups
	if recheck {
		if err := s.service.CatchUp(ctx, []*Session{s}); err != nil {
			s.Refuse(err) // the request has its answer
		}
	}
	return nil
}

// page is the page of conversations that a sync asks for; the first sync makes the connection live.
func (s *Session) page(ctx context.Context, r *sockets.Sync, first bool) (page []chat.Conversation, err error) {
	after := ""
	if r.After != nil {
		after = *r.After
	}
	if first {
		if page, err = s.goLive(ctx, r.Have); err != nil || after == "" {
			return page, err
		}
	}
	return s.service.Chat.Conversations(ctx, s.account(), s.account(), after, syncPage)
}

// synced is as much of a page as an answer holds.
func synced(page []chat.Conversation) sockets.Synced {
	out := sockets.Synced{Conversations: make([]sockets.Conversation, 0, len(page))}
	size := 0
	for i, c := range page {
		out.Conversations = append(out.Conversations, conversation(c))
		if c.Last != nil {
			size += len(c.Last.Body)
		}
		if i == syncPage-1 || size > answerBytes && i < len(page)-1 {
			out.Next = &page[i].ID
			break
		}
	}
	return out
}

// goLive gives the reader each conversation, from what the client has on, or, of a conversation that it doesn't name, from its
// newest message on, and joins the account's groups. It returns the first page of conversations. Of memberships that begin or
// end meanwhile the account's own topic brings news, and the reader keeps their order.
func (s *Session) goLive(ctx context.Context, have []sockets.Have) (first []chat.Conversation, err error) {
	has := make(map[string]int64)
	for _, known := range have {
		has[target(known.Conversation).Conversation(s.account())] = known.Seq
	}
	var groups []string
	err = s.service.conversations(ctx, s.account(), func(c chat.Conversation) {
		if len(first) < syncPage {
			first = append(first, c)
		}
		from := c.LastSeq
		if seq, ok := has[c.ID]; ok {
			from = min(max(seq, c.JoinedSeq), c.LastSeq)
		}
		s.reader.AddConversation(delivery.Standing{Conversation: c.ID, Target: c.Target, Joined: c.JoinedSeq, From: from, Last: c.LastSeq, Shown: c.LastSeq})
		if c.Target.Group != 0 {
			groups = append(groups, c.ID)
		}
	})
	for page := range slices.Chunk(groups, groupPage) {
		if err == nil {
			err = s.joinGroups(ctx, page)
		}
	}
	return first, err
}

// joinGroups makes the connection hear of groups that it carries, and of what came before it did.
func (s *Session) joinGroups(ctx context.Context, conversations []string) error {
	if err := s.syncTopics(ctx, conversationTopics(conversations)...); err != nil {
		return err
	}
	last, err := s.service.Chat.LastSeqs(ctx, conversations)
	for conversation, seq := range last {
		s.reader.Learn(conversation, seq)
	}
	return err
}

func conversationTopics(conversations []string) []string {
	topics := make([]string, len(conversations))
	for i, conversation := range conversations {
		topics[i] = feed.ConversationTopic(conversation)
	}
	return topics
}
