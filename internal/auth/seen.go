package auth

import (
	"sync"
	"time"
)

const (
	// rememberFor is how long a node trusts what it has seen of a session: the time within which it notices one that
	// ended although the bus lost the news.
	rememberFor = 5 * time.Second
	// maxSeen bounds the memory, at some 100 bytes a session.
	maxSeen = 1 << 17
)

type state int

const (
	unknown state = iota
	alive
	ended
)

// seen remembers the sessions that this node has seen lately. Safe for concurrent use.
type seen struct {
	mu       sync.Mutex
	sessions map[string]sighting
}

type sighting struct {
	state state
	until time.Time
}

func newSeen() *seen { return &seen{sessions: make(map[string]sighting)} }

func (s *seen) state(id string, now time.Time) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.sessions[id]; now.Before(was.until) {
		return was.state
	}
	return unknown
}

// ended remembers an end for longer than any question to the database takes.
func (s *seen) ended(id string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(id, sighting{ended, now.Add(time.Minute)}, now)
}

// note remembers that the database holds a session, or forgets one that isn't there, and returns whether it lives: not
// if it is known to have ended, for the database may have been asked before. That one isn't there is not remembered: the
// server that was asked may not have it yet.
func (s *seen) note(id string, there bool, now time.Time) (lives bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.sessions[id]; was.state == ended && now.Before(was.until) {
		return false
	}
	if !there {
		delete(s.sessions, id)
		return false
	}
	s.put(id, sighting{alive, now.Add(rememberFor)}, now)
	return true
}

// clear forgets who is alive, not who has ended.
func (s *seen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, was := range s.sessions {
		if was.state == alive {
			delete(s.sessions, id)
		}
	}
}

func (s *seen) put(id string, what sighting, now time.Time) {
	if _, known := s.sessions[id]; !known && len(s.sessions) >= maxSeen {
		s.makeRoom(now)
	}
	s.sessions[id] = what
}

// makeRoom forgets what is too old, or, if nothing is, an eighth: those alive first, which the database can tell again.
func (s *seen) makeRoom(now time.Time) {
	for id, was := range s.sessions {
		if !now.Before(was.until) {
			delete(s.sessions, id)
		}
	}
	for _, state := range []state{alive, ended} {
		for id, was := range s.sessions {
			if len(s.sessions) < maxSeen*7/8 {
				return
			}
			if was.state == state {
				delete(s.sessions, id)
			}
		}
	}
}
