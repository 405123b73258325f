package chat

import (
	"sync"

	"tim/internal/store"
)

// maxLastKnown bounds the conversations that are remembered, at some 150 bytes each. Beyond it all are forgotten.
const maxLastKnown = 1 << 16

// lastKnown remembers the states in which this node has left conversations. For a conversation that no other node writes to,
// the next batch needn't lock and read: it claims its seqs, and the database refuses the claim if the state was another one.
// Safe for concurrent use.
type lastKnown struct {
	mu     sync.Mutex
	states map[string]knownState
}

type knownState struct {
	store.LockedConversation

	ours bool // no other node wrote between this node's last two batches
}

// expected returns the remembered states of those of the conversations that no other node writes to.
func (l *lastKnown) expected(ids []string) map[string]store.LockedConversation {
	l.mu.Lock()
	defer l.mu.Unlock()
	expected := make(map[string]store.LockedConversation, len(ids))
	for _, id := range ids {
		if c := l.states[id]; c.ours {
			expected[id] = c.LockedConversation
		}
	}
	return expected
}

// committed remembers the states that a committed transaction has found and left.
func (l *lastKnown) committed(before, after map[string]store.LockedConversation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.states == nil || len(l.states)+len(after) > maxLastKnown {
		l.states = make(map[string]knownState)
	}
	for id, c := range after {
		was, ok := l.states[id]
		l.states[id] = knownState{LockedConversation: c, ours: ok && was.LockedConversation == before[id]}
	}
}

// forget drops the states of conversations, after a transaction whose outcome isn't known.
func (l *lastKnown) forget(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.states, id)
	}
}
