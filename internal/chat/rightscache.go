package chat

import (
	"context"
	"sync"

	"tim/internal/store"
)

// maxRights bounds the rights that are remembered, at some 150 bytes each. Beyond it all are forgotten.
const maxRights = 1 << 16

// rightsCache remembers which accounts were found to have the right to write to a conversation and a participant's row of it,
// together with the value of the conversation's rights counter at that time. The counter grows, under the conversation's
// lock, whenever somebody loses the right. A transaction reads it under the same lock, so an entry with the counter's present
// value is as good as asking the database. Safe for concurrent use.
type rightsCache struct {
	mu    sync.Mutex
	known map[participantKey]int64
}

// has reports whether the participant had the right when the counter had this value.
func (r *rightsCache) has(k participantKey, rights int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.known[k]
	return ok && at == rights
}

func (r *rightsCache) add(k participantKey, rights int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= maxRights {
		r.known = make(map[participantKey]int64)
	}
	r.known[k] = rights
}

// endRights makes every node ask anew who may write to a conversation. It is called in the transaction that takes a right
// away. It creates the conversation if need be: while another transaction creates it and stores its first message, this one
// then waits for it.
func endRights(ctx context.Context, tx *store.Tx, conversation string) error {
	if _, err := lock(ctx, tx, conversation); err != nil {
		return err
	}
	return tx.EndRights(ctx, conversation)
}
