package realtime

import (
	"slices"
	"sync"
)

// sessions knows the sockets of each session and of each account. Safe for concurrent use.
type sessions struct {
	perAccount int // sockets of one account at once, 0 for any number

	mu       sync.Mutex
	open     map[string][]face
	accounts map[string][]face // those that have begun, the oldest first
}

func newSessions(perAccount int) *sessions {
	return &sessions{perAccount: perAccount, open: make(map[string][]face), accounts: make(map[string][]face)}
}

func (s *sessions) add(f face) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := f.Session().ID
	s.open[id] = append(s.open[id], f)
}

// begin counts a socket that was added for its account, when its handshake has succeeded. It returns the account's oldest
// socket if there are too many, nil otherwise. The oldest goes, and not the newest: it may be that of a device that is lost, which
// must not keep its owner out.
func (s *sessions) begin(f face) (surplus face) {
	if s.perAccount <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	account := f.Session().Account
	s.accounts[account] = append(s.accounts[account], f)
	if all := s.accounts[account]; len(all) > s.perAccount {
		surplus = all[0]
		s.accounts[account] = slices.Delete(all, 0, 1)
	}
	return surplus
}

func (s *sessions) remove(f face) {
	s.mu.Lock()
	defer s.mu.Unlock()
	without(s.open, f.Session().ID, f)
	without(s.accounts, f.Session().Account, f)
}

// without removes a socket from a list that may have it.
func without(lists map[string][]face, key string, f face) {
	all := lists[key]
	if i := slices.Index(all, f); i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	if len(all) == 0 {
		delete(lists, key)
		return
	}
	lists[key] = all
}

func (s *sessions) of(session string) []face {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open[session])
}
