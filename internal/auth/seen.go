package auth

import (
	"sync"
	"time"
)

const (
	// rememberFor is how long a node trusts a check of a session. If the bus loses the announcement of a session's end, the
	// node notices the end after this time.
	rememberFor = 5 * time.Second
	// maxSeen bounds the memory of the cache. A session takes some 100 bytes.
	maxSeen = 1 << 17
)

type state int

const (
	unknown state = iota
	alive
	ended
)

// seen is the cache of the sessions that this node has checked or heard of. Safe for concurrent use.
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

// ended remembers for a minute that a session has ended. No query takes longer, so an older answer of the database can't revive
// the session.
func (s *seen) ended(id string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(id, sighting{ended, now.Add(time.Minute)}, now)
}

// note takes in the database's answer about a session and returns whether the session lives. It returns false for a session
// that is known to have ended, since the database may have answered before the end. It remembers that a session lives, but not
// that it is missing: the server that was asked may be a replica that hasn't got it yet.
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

// clear forgets the sessions that live. It keeps those that have ended.
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

// makeRoom deletes what is outdated. If that isn't enough, it deletes entries until an eighth of the table is free, live
// sessions first, since the database can be asked about them again.
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
