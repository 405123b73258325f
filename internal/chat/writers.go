package chat

import (
	"context"
	"sync"

	"tim/internal/store"
)

// mostWriters bounds what is remembered; beyond it everything is forgotten, and asked again.
const mostWriters = 1 << 16

// writers remembers who was found to have the right to write to a conversation and to take part in it, and at which number
// of the conversation. The number is read, and grows, under the conversation's lock: so what is remembered at the number
// that stands is as good as asking. Safe for concurrent use.
type writers struct {
	mu    sync.Mutex
	known map[participantKey]int64
}

func (w *writers) has(k participantKey, rights int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.known[k]
	return ok && at == rights
}

func (w *writers) add(k participantKey, rights int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil || len(w.known) >= mostWriters {
		w.known = make(map[participantKey]int64)
	}
	w.known[k] = rights
}

// endRights makes every node ask anew who may write to a conversation, in the transaction that takes the right away. The
// conversation is made if need be: who is being given a number by another transaction, in a new one, is waited for.
func endRights(ctx context.Context, tx *store.Tx, conversation string) error {
	if _, err := lock(ctx, tx, conversation); err != nil {
		return err
	}
	return tx.EndRights(ctx, conversation)
}
