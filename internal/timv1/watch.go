package timv1

import (
	"context"
	"slices"
	"time"

	"tim/internal/feed"
)

// PresenceLost has Watch look again at whom this node's connections follow, soon and once more a while later, since the bus
// may have lost news. It never blocks.
func (s *Service) PresenceLost() {
	select {
	case s.lost <- struct{}{}:
	default:
	}
}

// Watch looks after every loss, until ctx ends: by pages, however many connections there are. At once it announces only accounts
// that came online; accounts that seem to be offline it announces Timing.LookAgain later. By then the other nodes have entered
// their sockets again, and those of a dead node are forgotten.
func (s *Service) Watch(ctx context.Context) {
	again := time.NewTimer(s.Timing.LookAgain)
	again.Stop()
	var due, next time.Time // when it looks once more, and after that; zero for not
	for {
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-s.lost:
			s.checkAll()
			s.lookAll(ctx, true)
			next = time.Now().Add(s.Timing.LookAgain)
		case <-again.C:
			s.lookAll(ctx, false)
			due = time.Time{}
		}
		if due.IsZero() && !next.IsZero() {
			due, next = next, time.Time{}
			again.Reset(time.Until(due))
		}
	}
}

// checkAll looks again at whom this node's connections may see.
func (s *Service) checkAll() {
	defer s.Sockets.Survive("who may be seen after a loss")
	var page []followCheck
	for _, conn := range s.Sockets.Conns() {
		session, ok := conn.Handler().(*Session)
		if !ok {
			continue
		}
		page = append(page, session.newChecks(session.allFollowed())...)
		for len(page) >= checkPage {
			s.check(page[:checkPage])
			page = append(page[:0], page[checkPage:]...)
		}
	}
	s.check(page)
}

// onlinePage is how many accounts' presence is asked for at once.
const onlinePage = 500

// lookAll tells the followers of this node which accounts came online and, unless arrivals is set, which went offline.
func (s *Service) lookAll(ctx context.Context, arrivals bool) {
	defer s.Sockets.Survive("presence after a loss")
	for page := range slices.Chunk(s.allFollowed(), onlinePage) {
		question, cancel := s.within()
		online := s.Presence.Online(question, page)
		cancel()
		if ctx.Err() != nil {
			return
		}
		for i, account := range page {
			if online[i] || !arrivals {
				s.tellFollowers(account, online[i])
			}
		}
	}
}

// allFollowed lists the accounts whose presence a connection of this node follows.
func (s *Service) allFollowed() (accounts []string) {
	for _, topic := range s.Feed.Topics() {
		if account, ok := feed.PresenceOf(topic); ok {
			accounts = append(accounts, account)
		}
	}
	return accounts
}

func (s *Service) tellFollowers(account string, online bool) {
	t := s.Feed.Topic(feed.PresenceTopic(account))
	if t == nil {
		return
	}
	frame := presenceFrame(account, online)
	t.Each(func(one feed.Subscriber) {
		if session, ok := one.(*Session); ok && session.saw(account, online) {
			session.conn.Send(frame)
		}
	})
}
