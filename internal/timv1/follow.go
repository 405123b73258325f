package timv1

import (
	"context"
	"maps"
	"slices"

	"tim/gen/sockets"
	"tim/internal/account"
	"tim/internal/chat"
	"tim/internal/feed"
)

// follow is what a connection knows of an account that it follows.
type follow struct {
	online bool
	heard  bool // an event told so, since the last subscribe began
}

// accountsPerToken is how many accounts of a subscribe frame count as one frame more: each is a question to the database.
const accountsPerToken = 10

// Subscribe implements sockets.TimV1: it follows accounts, instead of those before. Whom the caller may not see stays offline for it.
func (s *Session) Subscribe(ctx context.Context, r *sockets.Subscribe) (sockets.Subscribed, error) {
	defer s.conn.Pause(len(r.Accounts) / accountsPerToken)
	wanted := make(map[string]bool, len(r.Accounts))
	for _, name := range r.Accounts {
		name = account.Normal(name)
		visible, err := s.service.Chat.MaySee(ctx, s.account(), name)
		if err != nil {
			return sockets.Subscribed{}, err
		}
		if visible {
			wanted[name] = true
		}
	}
	if err := s.syncTopics(ctx, s.refollow(wanted)...); err != nil {
		return sockets.Subscribed{}, err
	}
	accounts := slices.Sorted(maps.Keys(wanted))
	out := sockets.Subscribed{Online: []string{}}
	for i, online := range s.service.Presence.Online(ctx, accounts) {
		if s.asked(accounts[i], online) {
			out.Online = append(out.Online, accounts[i])
		}
	}
	return out, nil
}

// refollow makes the connection follow other accounts. It returns the topics for syncTopics.
func (s *Session) refollow(wanted map[string]bool) (topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	followed := make(map[string]follow, len(wanted))
	for account := range s.followed {
		topics = append(topics, feed.PresenceTopic(account))
	}
	for account := range wanted {
		topics = append(topics, feed.PresenceTopic(account))
		followed[account] = follow{online: s.followed[account].online}
	}
	s.followed = followed
	return topics
}

// unfollow ends that the connection follows an account, and reports whether it was shown online.
func (s *Session) unfollow(account string) (online bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	online = s.followed[account].online
	delete(s.followed, account)
	return online
}

// allFollowed lists the accounts that the connection follows.
func (s *Session) allFollowed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.followed))
}

// saw notes what an event tells of a followed account, and reports whether that is news.
func (s *Session) saw(account string, online bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, follows := s.followed[account]
	if !follows {
		return false
	}
	s.followed[account] = follow{online: online, heard: true}
	return was.online != online
}

// asked notes whether a followed account was online when that was asked, unless an event has come since the question
// began, which knows better. It returns what counts.
func (s *Session) asked(account string, online bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, follows := s.followed[account]
	if !follows {
		return false
	}
	if !was.heard {
		s.followed[account] = follow{online: online}
		return online
	}
	return was.online
}

// follows tells whether the connection follows an account.
func (s *Session) follows(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, follows := s.followed[account]
	return follows
}

// checkLater looks again at whether the connection may see accounts that it follows, without blocking.
func (s *Session) checkLater(accounts ...string) {
	checks := make([]followCheck, 0, len(accounts))
	for _, account := range accounts {
		if s.follows(account) {
			checks = append(checks, followCheck{s, account})
		}
	}
	if len(checks) > 0 {
		s.later("who may be seen", func() { s.service.check(checks) })
	}
}

// followCheck is a connection and an account that it follows.
type followCheck struct {
	*Session

	followed string
}

// checkPage is how many checks are one question to the database.
const checkPage = 200

// check ends that connections follow those whom they may not see any more.
func (s *Service) check(checks []followCheck) {
	for page := range slices.Chunk(checks, checkPage) {
		questions := make([]chat.Sight, len(page))
		for i, c := range page {
			questions[i] = chat.Sight{Viewer: c.account(), Account: c.followed}
		}
		ctx, cancel := s.within()
		visible, err := s.Chat.MaySeeAll(ctx, questions)
		for i, c := range page {
			switch {
			case err != nil: // or it would see what it may not
				if i == 0 || page[i-1].Session != c.Session {
					c.Refuse(err)
				}
			case !visible[i]:
				if c.unfollow(c.followed) {
					c.conn.Send(presenceFrame(c.followed, false))
				}
				_ = c.syncTopics(ctx, feed.PresenceTopic(c.followed)) // which only leaves
			}
		}
		cancel()
	}
}
