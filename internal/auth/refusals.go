package auth

import (
	"context"
	"sync"
	"time"

	"tim/internal/fault"
)

const (
	// refusalsAtOnce refusals are given without delay, and then one more every refusalEvery.
	refusalsAtOnce = 100
	refusalEvery   = 2 * time.Millisecond
	// maxRefusalDelay is the longest delay of a refusal.
	maxRefusalDelay = 500 * time.Millisecond
)

// refusals delays refusals while there are very many. Clients that repeat a refused request at once, over hundreds of connections,
// would otherwise take the processors away from those who hash. Safe for concurrent use.
type refusals struct {
	mu   sync.Mutex
	next time.Time // when the next refusal is due
}

// pace returns err, after a delay if it tells a client to come back later and there are many such refusals. The caller must not
// hold a slot.
func (r *refusals) pace(ctx context.Context, err error) error {
	if err == nil || !fault.Is(err, fault.Busy) && !fault.Is(err, fault.TooManyAttempts) && !fault.Is(err, fault.TooManyRegistrations) {
		return err
	}
	if delay := r.delay(time.Now()); delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return err
}

func (r *refusals) delay(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if earliest := now.Add(-refusalsAtOnce * refusalEvery); r.next.Before(earliest) {
		r.next = earliest
	}
	delay := min(r.next.Sub(now), maxRefusalDelay)
	r.next = now.Add(min(r.next.Sub(now)+refusalEvery, maxRefusalDelay))
	return delay
}
