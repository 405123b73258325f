package cluster

import (
	"sync"
	"time"
)

// peers is what a node knows of the others, and of itself, from their beats in one lane.
type peers struct {
	self    nodeID
	silence time.Duration // unheard for so long, a node is silent
	forget  time.Duration // and after so long no longer expected

	mu    sync.Mutex
	known map[nodeID]peer
}

type peer struct {
	heard time.Time
	lost  uint64
}

func newPeers(self nodeID, silence, forget time.Duration) *peers {
	return &peers{self: self, silence: silence, forget: max(forget, silence), known: map[nodeID]peer{}}
}

// listen begins to expect everyone known, and ourselves, from now: the connection has just been made.
func (p *peers) listen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for id, known := range p.known {
		known.heard = now
		p.known[id] = known
	}
	p.known[p.self] = peer{heard: now, lost: p.known[p.self].lost}
}

// hear takes in a beat. It tells whether the node has lost messages that we don't know of: more than it had
// before, or any at all when we hear it for the first time.
func (p *peers) hear(e envelope) (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost = e.from != p.self && e.number > p.known[e.from].lost
	p.known[e.from] = peer{heard: time.Now(), lost: e.number}
	if e.kind == kindGoodbye && e.from != p.self {
		delete(p.known, e.from)
	}
	return lost
}

// silent tells whether a node that should be there isn't heard.
func (p *peers) silent() (silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, known := range p.known {
		switch quiet := time.Since(known.heard); {
		case quiet > p.forget && id != p.self:
			delete(p.known, id)
		case quiet > p.silence:
			silent = true
		}
	}
	return silent
}

// deaf tells whether we don't hear ourselves.
func (p *peers) deaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.known[p.self].heard) > p.silence
}
