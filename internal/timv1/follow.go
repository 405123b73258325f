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

// follow is what a connection knows of an account that it follows. It follows an account also while it may not see it, and
// shows it offline then.
type follow struct {
	hidden bool // it may not be seen
	online bool
	heard  bool   // an event told so, since the last subscribe began
	check  uint32 // the number of the newest question whether it may be seen; answers of older ones don't count
}

// accountsPerToken is how many accounts of a subscribe frame count as one frame more: each is asked for in the database.
const accountsPerToken = 10

// Subscribe implements sockets.TimV1: it follows accounts, instead of those before.
func (s *Session) Subscribe(ctx context.Context, r *sockets.Subscribe) (sockets.Subscribed, error) {
	s.conn.Count(len(r.Accounts) / accountsPerToken)
	wanted := make(map[string]bool, len(r.Accounts))
	for _, name := range r.Accounts {
		wanted[account.Normal(name)] = true
	}
	accounts := slices.Sorted(maps.Keys(wanted))
	checks, added := s.enlist(accounts)
	visible, err := s.service.visible(ctx, checks)
	if err != nil {
		s.strike(added)
		return sockets.Subscribed{}, err
	}
	topics := s.retain(wanted)
	for i, c := range checks {
		if visible[i] {
			s.reveal(c)
		} else {
			s.hide(c)
		}
		topics = append(topics, feed.PresenceTopic(c.followed))
	}
	if err := s.syncTopics(ctx, topics...); err != nil {
		return sockets.Subscribed{}, err
	}
	out := sockets.Subscribed{Online: []string{}}
	for i, online := range s.service.Presence.Online(ctx, accounts) {
		if s.asked(accounts[i], online) {
			out.Online = append(out.Online, accounts[i])
		}
	}
	return out, nil
}

// enlist makes the connection follow further accounts, hidden until a check has said that they may be seen. It returns a check
// for each of the accounts, and which of them are new. They are enlisted before the database is asked, so that no event that
// comes meanwhile is lost on them.
func (s *Session) enlist(accounts []string) (checks []followCheck, added []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followed == nil {
		s.followed = make(map[string]follow, len(accounts))
	}
	for _, account := range accounts {
		f, known := s.followed[account]
		if !known {
			f.hidden = true
			added = append(added, account)
		}
		f.heard = false
		s.followed[account] = f
		checks = append(checks, s.newCheck(account))
	}
	return checks, added
}

// newCheck numbers a check of a followed account. s.mu is held.
func (s *Session) newCheck(account string) followCheck {
	f := s.followed[account]
	f.check++
	s.followed[account] = f
	return followCheck{s, account, f.check}
}

// strike undoes enlist for accounts that were new.
func (s *Session) strike(accounts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, account := range accounts {
		delete(s.followed, account)
	}
}

// retain ends that the connection follows others than the wanted accounts. It returns the topics of those for syncTopics.
func (s *Session) retain(wanted map[string]bool) (topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for account := range s.followed {
		if !wanted[account] {
			topics = append(topics, feed.PresenceTopic(account))
			delete(s.followed, account)
		}
	}
	return topics
}

// reveal shows an account from now on, and reports whether it was hidden before. It counts as offline until presence is asked.
func (s *Session) reveal(c followCheck) (revealed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, follows := s.followed[c.followed]
	if !follows || f.check != c.number || !f.hidden {
		return false
	}
	s.followed[c.followed] = follow{check: f.check}
	return true
}

// hide hides an account from now on, and reports whether it was shown online.
func (s *Session) hide(c followCheck) (wasOnline bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, follows := s.followed[c.followed]
	if !follows || f.check != c.number {
		return false
	}
	s.followed[c.followed] = follow{hidden: true, check: f.check}
	return f.online
}

// allFollowed lists the accounts that the connection follows, hidden ones too.
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
	if !follows || was.hidden {
		return false
	}
	s.followed[account] = follow{online: online, heard: true, check: was.check}
	return was.online != online
}

// asked notes whether a followed account was online when that was asked, unless an event has come since the question
// began, which knows better. It returns what counts.
func (s *Session) asked(account string, online bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, follows := s.followed[account]
	if !follows || was.hidden {
		return false
	}
	if !was.heard {
		s.followed[account] = follow{online: online, check: was.check}
		return online
	}
	return was.online
}

// tellRevealed sends that an account that may be seen again is online, unless an event has told so since it was revealed.
func (s *Session) tellRevealed(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, follows := s.followed[account]
	if !follows || f.hidden || f.heard || f.online {
		return
	}
	f.online = true
	s.followed[account] = f
	s.conn.Send(presenceFrame(account, true)) // under the lock, so that an event that tells of its going comes after
}

// shows tells whether the connection follows an account and may see it.
func (s *Session) shows(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, follows := s.followed[account]
	return follows && !f.hidden
}

// checkLater looks again at whether the connection may see accounts that it follows, without blocking.
func (s *Session) checkLater(accounts ...string) {
	if checks := s.newChecks(accounts); len(checks) > 0 {
		s.later("who may be seen", func() { s.service.check(checks) })
	}
}

// checkPresence shows that a followed account has come or gone if it may still be seen, without blocking. Of several events
// only the last counts.
func (s *Session) checkPresence(account string, online bool) {
	checks := s.newChecks([]string{account})
	if len(checks) == 0 {
		return
	}
	s.later("presence before the first sync", func() {
		s.service.check(checks)
		if s.isNewest(checks[0]) && s.saw(account, online) {
			s.conn.Send(presenceFrame(account, online))
		}
	})
}

// isNewest tells whether no later check of the same account has begun.
func (s *Session) isNewest(c followCheck) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followed[c.followed].check == c.number
}

// newChecks makes a check of each of the accounts that the connection follows.
func (s *Session) newChecks(accounts []string) (checks []followCheck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, account := range accounts {
		if _, follows := s.followed[account]; follows {
			checks = append(checks, s.newCheck(account))
		}
	}
	return checks
}

// followCheck is a question whether a connection may see an account that it follows. Its number tells it from later ones.
type followCheck struct {
	*Session

	followed string
	number   uint32
}

// visible asks the database which of the accounts may be seen.
func (s *Service) visible(ctx context.Context, checks []followCheck) ([]bool, error) {
	questions := make([]chat.Sight, len(checks))
	for i, c := range checks {
		questions[i] = chat.Sight{Viewer: c.account(), Account: c.followed}
	}
	return s.Chat.MaySeeAll(ctx, questions)
}

// checkPage is how many checks are one question to the database.
const checkPage = 200

// check hides those whom connections may not see any more, and shows those whom they may see again.
func (s *Service) check(checks []followCheck) {
	for page := range slices.Chunk(checks, checkPage) {
		s.checkSome(page)
	}
}

func (s *Service) checkSome(checks []followCheck) {
	ctx, cancel := s.within()
	defer cancel()
	visible, err := s.visible(ctx, checks)
	var revealed []followCheck
	for i, c := range checks {
		switch {
		case err != nil: // or it would see what it may not
			if i == 0 || checks[i-1].Session != c.Session {
				c.Refuse(err)
			}
		case !visible[i]:
			if c.hide(c) {
				c.conn.Send(presenceFrame(c.followed, false))
			}
			_ = c.syncTopics(ctx, feed.PresenceTopic(c.followed)) // which only leaves
		case c.reveal(c):
			if err := c.syncTopics(ctx, feed.PresenceTopic(c.followed)); err != nil {
				c.Refuse(err)
				continue
			}
			revealed = append(revealed, c)
		}
	}
	if len(revealed) == 0 {
		return
	}
	accounts := make([]string, len(revealed))
	for i, c := range revealed {
		accounts[i] = c.followed
	}
	for i, online := range s.Presence.Online(ctx, accounts) {
		if online {
			revealed[i].tellRevealed(accounts[i])
		}
	}
}
