package timv1

import (
	"context"
	"maps"
	"slices"

	"tim/internal/chat"
	"tim/internal/delivery"
)

// standingsPage is how many conversations of the connections' accounts are listed at once.
const standingsPage = 4000

// carried is what a connection carried before the database was asked, less what the database has listed.
type carried struct {
	*Session

	groups map[string]int64 // the seqs at which they were joined
}

// CatchUp compares what connections carry with where their accounts stand, since the bus may have lost something. It asks
// about all of them at once: a few hundred at most. The error says that the database can't be asked.
func (s *Service) CatchUp(ctx context.Context, connections []*Session) error {
	devices := make(map[string][]carried)
	for _, c := range connections {
		if groups := c.reader.Memberships(); groups != nil {
			devices[c.account()] = append(devices[c.account()], carried{c, groups})
		}
	}
	accounts := slices.Sorted(maps.Keys(devices))
	for after := (chat.Standing{}); ; {
		page, err := s.standingsOf(ctx, accounts, after)
		if err != nil {
			return err
		}
		for _, standing := range page {
			for _, d := range devices[standing.Account] {
				delete(d.groups, standing.Conversation)
				d.stand(standing)
			}
			after = standing
		}
		if len(page) < standingsPage {
			break
		}
	}
	for _, all := range devices {
		for _, d := range all {
			for conversation, joined := range d.groups { // those that the database doesn't list any more
				d.reader.Drop(conversation, joined+1)
				d.joinGroupTopicLater(conversation)
			}
		}
	}
	return nil
}

func (s *Service) standingsOf(ctx context.Context, accounts []string, after chat.Standing) ([]chat.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timing.StoreTimeout)
	defer cancel()
	return s.Chat.Standings(ctx, accounts, after, standingsPage)
}

// stand brings to a connection where its account stands in a conversation.
func (s *Session) stand(at chat.Standing) {
	fresh := s.reader.AddConversation(delivery.Standing{
		Conversation: at.Conversation, Target: at.Target, Joined: at.JoinedSeq, From: at.JoinedSeq, Last: at.LastSeq,
	})
	switch {
	case fresh && at.Target.Group == 0:
		s.reader.Begin(at.Conversation, at.LastSeq)
	case fresh:
		s.joinGroupTopicLater(at.Conversation)
	}
}
