package auth

import (
	"sync"
	"time"

	"tim/internal/fault"
)

const (
	// rememberFor is how long a node trusts a check of a session. If the bus loses the announcement of a session's end, the
	// node notices the end after this time.
	rememberFor = 5 * time.Second
	// maxSeen bounds the memory of the cache. A session takes some 150 bytes.
	maxSeen = 1 << 17
)

type state int

const (
	unknown state = iota
	alive
	ended
	reused // it has ended because a token was used after its renewal
)

// standing is where a session that lives stands.
type standing struct {
	generation int64 // of its newest token
	renewed    int64 // when that generation began, in ms since 1970; 0 for that of the login
	confirmed  bool  // a token of that generation was used
	ends       int64 // when the session ends, however it is used, in ms since 1970
}

// seen is the cache of the sessions that this node has checked or heard of. Safe for concurrent use.
type seen struct {
	most int // maxSeen, or less in a test

	mu       sync.Mutex
	sessions map[string]sighting
}

type sighting struct {
	state    state
	until    time.Time
	standing standing // of a session that lives
}

// refusal is the fault of a session that doesn't live.
func (s sighting) refusal() error {
	if s.state == reused {
		return fault.New(fault.TokenReused)
	}
	return fault.New(fault.SessionEnded)
}

func newSeen() *seen { return &seen{most: maxSeen, sessions: make(map[string]sighting)} }

// look returns what is known of a session.
func (s *seen) look(id string, now time.Time) sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known(id, now)
}

func (s *seen) known(id string, now time.Time) sighting {
	if was := s.sessions[id]; now.Before(was.until) {
		return was
	}
	return sighting{}
}

// ended remembers for a minute that a session has ended. No query takes longer, so an older answer of the database can't revive
// the session. Of two reasons the first stays.
func (s *seen) ended(id string, why fault.Reason, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := ended
	if why == fault.TokenReused || s.known(id, now).state == reused {
		state = reused
	}
	s.put(id, sighting{state: state, until: now.Add(time.Minute)}, now)
}

// note takes in the database's answer about a session that lives, and returns what is known of it then: it has ended, if this
// node knows so, since the database may have answered before the end. For the same reason a newer standing stays.
func (s *seen) note(id string, at standing, now time.Time) sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.known(id, now)
	if was.state == ended || was.state == reused {
		return was
	}
	if was.state == alive && was.standing.generation > at.generation {
		at = was.standing
	}
	is := sighting{alive, now.Add(rememberFor), at}
	s.put(id, is, now)
	return is
}

// missing takes in the database's answer that a session isn't there, and returns what is known of it then. That isn't
// remembered: the server that was asked may be a replica that hasn't got the session yet.
func (s *seen) missing(id string, now time.Time) sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.known(id, now)
	if was.state == alive {
		delete(s.sessions, id)
		return sighting{}
	}
	return was
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
	if _, known := s.sessions[id]; !known && len(s.sessions) >= s.most {
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
	for _, state := range []state{alive, ended, reused} {
		for id, was := range s.sessions {
			if len(s.sessions) < s.most*7/8 {
				return
			}
			if was.state == state {
				delete(s.sessions, id)
			}
		}
	}
}
