package timv1

import (
	"context"

	"tim/internal/chat"
	"tim/internal/delivery"
	"tim/internal/feed"
)

// wants tells whether the connection is to subscribe to a topic, of a group or of an account that it follows.
func (s *Session) wants(topic string) bool {
	s.mu.Lock()
	gone := s.gone
	s.mu.Unlock()
	if gone {
		return false
	}
	if account, ok := feed.PresenceOf(topic); ok {
		return s.shows(account)
	}
	conversation, _ := feed.ConversationOf(topic)
	return s.reader.Carries(conversation)
}

// syncTopics subscribes to those of the topics that the connection wants, and leaves the others. It asks for each topic, when its
// turn comes, whether it is wanted now. So calls for the same topic may come in any order, and a connection that is gone
// subscribes to nothing.
func (s *Session) syncTopics(ctx context.Context, topics ...string) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	for _, topic := range topics {
		subscribed := s.subscribed[topic]
		wanted := s.wants(topic)
		switch {
		case wanted && !subscribed:
			if err := s.service.Feed.Join(ctx, topic, s); err != nil {
				return err
			}
			if s.subscribed == nil {
				s.subscribed = make(map[string]bool)
			}
			s.subscribed[topic] = true
		case subscribed && !wanted:
			s.service.Feed.Leave(topic, s)
			delete(s.subscribed, topic)
		}
	}
	return nil
}

// unsubscribeAll leaves all topics that syncTopics has joined. After it, syncTopics joins none.
func (s *Session) unsubscribeAll() {
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	for topic := range s.subscribed {
		s.service.Feed.Leave(topic, s)
	}
	s.subscribed = nil
}

// later does something for the connection that may take time, on a goroutine of its own, unless the connection is gone.
func (s *Session) later(what string, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.service.Sockets.Go(what, f)
	}
}

// joinGroupTopicLater subscribes to a group if the connection carries it, or unsubscribes, without blocking.
func (s *Session) joinGroupTopicLater(conversation string) {
	s.later("a change of groups", func() {
		if err := s.joinGroupTopic(conversation); err != nil {
			s.Refuse(err)
		}
	})
}

// joinGroupTopic makes a connection hear of a group if it carries it, and only then lets its messages flow.
func (s *Session) joinGroupTopic(conversation string) error {
	ctx, cancel := s.service.within()
	defer cancel()
	if err := s.syncTopics(ctx, feed.ConversationTopic(conversation)); err != nil || !s.reader.Carries(conversation) {
		return err
	}
	last, err := s.service.lastSeq(conversation)
	if err != nil {
		return err
	}
	s.reader.Begin(conversation, last)
	return nil
}

// memberMoved brings to the connection that its account has joined a group, or left one that it may carry. What takes time is
// done later.
func (s *Session) memberMoved(e *feed.GroupChange, joined bool) {
	if joined {
		s.reader.AddConversation(delivery.Standing{Conversation: e.Conversation, Target: chat.ToGroup(e.Group), Joined: e.Seq, From: e.Seq, Last: e.Seq})
	} else {
		s.reader.Drop(e.Conversation, e.Seq)
	}
	s.joinGroupTopicLater(e.Conversation)
}

// mostGroupLookups is how many connections at once ask for the newest seq of a group that is new to them: after a loss it may
// be new to all of a node's.
const mostGroupLookups = 16

func (s *Service) lastSeq(conversation string) (int64, error) {
	done, err := turn(s.Sockets.Life(), s.groupLookups)
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, cancel := s.within()
	defer cancel()
	return s.Chat.LastSeq(ctx, conversation)
}

// conversations lists all conversations of an account, page by page.
func (s *Service) conversations(ctx context.Context, account string, each func(chat.Conversation)) error {
	for after := ""; ; {
		page, err := s.conversationPage(ctx, account, after)
		if err != nil {
			return err
		}
		for _, c := range page {
			each(c)
			after = c.ID
		}
		if len(page) < syncPage {
			return nil
		}
	}
}

func (s *Service) conversationPage(ctx context.Context, account, after string) ([]chat.Conversation, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timing.StoreTimeout)
	defer cancel()
	return s.Chat.Conversations(ctx, account, account, after, syncPage)
}
