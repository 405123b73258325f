package auth

import (
	"context"
	"errors"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"tim/internal/store"
)

// mostTogether is how many sessions are asked about at once.
const mostTogether = 32

// together asks the database about sessions, in one go about those that are asked for at the same moment: when many
// clients come at once, a statement for each would be what costs most. Safe for concurrent use.
type together struct {
	ask func(context.Context, []store.SessionKey) (map[store.SessionKey]int64, error)

	mu      sync.Mutex
	waiting []*question
}

// question is what one caller wants to know.
type question struct {
	key      store.SessionKey
	answered chan struct{} // closed when the rest is set
	until    int64         // when the session expires, in ms since 1970; 0 if it isn't there
	err      error
}

var errUnanswered = errors.New("the question was dropped")

// until tells when a session expires, in ms since 1970; 0 if it isn't there. It lets those come who are about to ask, too,
// and then asks for all who wait, unless one of them has.
func (t *together) until(ctx context.Context, key store.SessionKey) (int64, error) {
	q := &question{key: key, answered: make(chan struct{}), err: errUnanswered}
	t.mu.Lock()
	t.waiting = append(t.waiting, q)
	t.mu.Unlock()
	runtime.Gosched()
	if all := t.take(q); all != nil {
		t.answer(ctx, all)
		return q.until, q.err
	}
	return t.result(ctx, q)
}

// result waits for the answer to a question that another caller has taken. That one's time may be over before ours.
func (t *together) result(ctx context.Context, q *question) (int64, error) {
	select {
	case <-q.answered:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if q.err == nil {
		return q.until, nil
	}
	found, err := t.ask(ctx, []store.SessionKey{q.key})
	return found[q.key], err
}

// take takes a question and others that wait, nil if another caller has taken it.
func (t *together) take(q *question) []*question {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, q)
	if i < 0 {
		return nil
	}
	first := max(0, i-mostTogether+1)
	beyond := min(len(t.waiting), first+mostTogether)
	all := slices.Clone(t.waiting[first:beyond])
	t.waiting = slices.Delete(t.waiting, first, beyond)
	return all
}

// answer answers questions with one of the database's. How many are asked is rounded up to a power of two, by asking the
// last one again: each number is a statement of its own, which engines keep prepared.
func (t *together) answer(ctx context.Context, all []*question) {
	defer func() {
		for _, q := range all {
			close(q.answered)
		}
	}()
	keys := make([]store.SessionKey, 1<<bits.Len(uint(len(all)-1)))
	for i := range keys {
		keys[i] = all[min(i, len(all)-1)].key
	}
	found, err := t.ask(ctx, keys)
	for _, q := range all {
		q.until, q.err = found[q.key], err
	}
}
