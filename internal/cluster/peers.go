package cluster

import (
	"sync"
	"time"
)

// peers is what a node knows of the others, and of itself, from their beats in one lane. Safe for concurrent use.
type peers struct {
	self    nodeID
	silence time.Duration // a node is silent after so long without a beat
	forget  time.Duration // a silent node is forgotten after so long

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

// listen expects beats from every known node, this one included, from now on. The link calls it for each new connection.
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

// hear takes in a beat. It reports whether the node has lost messages that this one doesn't know of: more than at its last
// beat, or any at its first.
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

// silent reports whether a node that should be heard isn't.
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

// deaf reports whether this node doesn't hear itself.
func (p *peers) deaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.known[p.self].heard) > p.silence
}
