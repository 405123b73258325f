package chat

import (
	"sync"

	"tim/internal/store"
)

// mostHeads bounds what is remembered; beyond it everything is forgotten, and asked again.
const mostHeads = 1 << 16

// heads remembers how this node has left conversations. Where nobody else has written since, the next batch need not ask
// how they stand: it claims its seqs, and the database refuses when that was wrong. Safe for concurrent use.
type heads struct {
	mu    sync.Mutex
	known map[string]head
}

type head struct {
	store.LockedConversation
	alone bool // nobody else wrote between this node's last two batches
}

// believed returns how those of the conversations are believed to stand that nobody else writes to.
func (h *heads) believed(ids []string) map[string]store.LockedConversation {
	h.mu.Lock()
	defer h.mu.Unlock()
	believed := make(map[string]store.LockedConversation, len(ids))
	for _, id := range ids {
		if c := h.known[id]; c.alone {
			believed[id] = c.LockedConversation
		}
	}
	return believed
}

// left notes how a transaction found the conversations and how it left them.
func (h *heads) left(found, now map[string]store.LockedConversation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known)+len(now) > mostHeads {
		h.known = make(map[string]head)
	}
	for id, c := range now {
		before, ok := h.known[id]
		h.known[id] = head{LockedConversation: c, alone: ok && before.LockedConversation == found[id]}
	}
}

// forget drops what is not certain any more.
func (h *heads) forget(ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		delete(h.known, id)
	}
}
