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

// maxCoalesced is the largest number of sessions in one statement.
const maxCoalesced = 32

// coalescer asks the database about sessions. Questions that are asked at the same moment share one statement. Safe for
// concurrent use.
type coalescer struct {
	ask func(context.Context, []store.SessionKey) (map[store.SessionKey]int64, error)

	mu      sync.Mutex
	waiting []*question
}

// question is what one caller wants to know.
type question struct {
	key      store.SessionKey
	answered chan struct{} // closed when until and err are set
	until    int64         // when the session expires, in ms since 1970; 0 if there is none
	err      error
}

// errUnanswered is the error of a question until it is answered. A caller sees it if the one that asks for it panics.
var errUnanswered = errors.New("the question about the session was dropped")

// until returns when a session expires, in ms since 1970; 0 if there is none. It lets other goroutines that are about to
// ask put their questions first. It then asks for all that wait, unless another caller has taken its question.
func (c *coalescer) until(ctx context.Context, key store.SessionKey) (int64, error) {
	q := &question{key: key, answered: make(chan struct{}), err: errUnanswered}
	c.mu.Lock()
	c.waiting = append(c.waiting, q)
	c.mu.Unlock()
	runtime.Gosched()
	if all := c.take(q); all != nil {
		c.answer(ctx, all)
		return q.until, q.err
	}
	return c.result(ctx, q)
}

// result waits for the answer to a question that another caller has taken. If that caller fails, for example because its
// context ended first, result asks again for this question alone.
func (c *coalescer) result(ctx context.Context, q *question) (int64, error) {
	select {
	case <-q.answered:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if q.err == nil {
		return q.until, nil
	}
	found, err := c.ask(ctx, []store.SessionKey{q.key})
	return found[q.key], err
}

// take removes a question and up to maxCoalesced-1 others from the queue. It returns nil if another caller has taken the
// question.
func (c *coalescer) take(q *question) []*question {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, q)
	if i < 0 {
		return nil
	}
	first := max(0, i-maxCoalesced+1)
	beyond := min(len(c.waiting), first+maxCoalesced)
	all := slices.Clone(c.waiting[first:beyond])
	c.waiting = slices.Delete(c.waiting, first, beyond)
	return all
}

// answer answers questions by one statement. It pads the number of sessions to a power of two by repeating the last one:
// each number has a text of its own, and SQLite's connections keep each text prepared.
func (c *coalescer) answer(ctx context.Context, all []*question) {
	defer func() {
		for _, q := range all {
			close(q.answered)
		}
	}()
	keys := make([]store.SessionKey, 1<<bits.Len(uint(len(all)-1)))
	for i := range keys {
		keys[i] = all[min(i, len(all)-1)].key
	}
	found, err := c.ask(ctx, keys)
	for _, q := range all {
		q.until, q.err = found[q.key], err
	}
}
