package realtime

import (
	"slices"
	"sync"
)

// sessions knows the sockets of each session. Safe for concurrent use.
type sessions struct {
	mu   sync.Mutex
	open map[string][]face
}

func newSessions() *sessions { return &sessions{open: make(map[string][]face)} }

func (s *sessions) add(f face) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := f.Session().ID
	s.open[id] = append(s.open[id], f)
}

func (s *sessions) remove(f face) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := f.Session().ID
	all := s.open[id]
	if i := slices.Index(all, f); i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	if len(all) == 0 {
		delete(s.open, id)
		return
	}
	s.open[id] = all
}

func (s *sessions) of(session string) []face {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open[session])
}
