package auth

import (
	"sync"
	"time"
)

// maxAttemptKeys bounds the memory of one attempts table. A key takes some 100 bytes.
const maxAttemptKeys = 1 << 16

// attempts limits the failures of each key by a token bucket: burst failures at once, then one more for each refill interval. A
// burst of 0 means no limit. Safe for concurrent use.
type attempts struct {
	burst  float64
	refill time.Duration

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	spent float64
	at    time.Time
}

func newAttempts(burst int, refill time.Duration) *attempts {
	return &attempts{burst: float64(burst), refill: refill, buckets: make(map[string]bucket)}
}

// wait returns how long a key must wait until its next attempt, 0 if it may try now.
func (a *attempts) wait(key string, now time.Time) time.Duration {
	if a.burst == 0 {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	over := a.spent(key, now) - (a.burst - 1)
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(a.refill))
}

// fail counts a failed attempt of a key.
func (a *attempts) fail(key string, now time.Time) {
	if a.burst == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	spent := min(a.spent(key, now)+1, a.burst)
	if _, known := a.buckets[key]; !known && len(a.buckets) >= maxAttemptKeys {
		a.makeRoom(now)
	}
	a.buckets[key] = bucket{spent: spent, at: now}
}

func (a *attempts) spent(key string, now time.Time) float64 {
	b := a.buckets[key]
	return max(0, b.spent-float64(now.Sub(b.at))/float64(a.refill))
}

// makeRoom deletes the keys without outstanding failures. If that isn't enough, it deletes others until an eighth of the table
// is free: a client that sends ever new keys must not make the table grow.
func (a *attempts) makeRoom(now time.Time) {
	for key := range a.buckets {
		if a.spent(key, now) == 0 {
			delete(a.buckets, key)
		}
	}
	for key := range a.buckets {
		if len(a.buckets) < maxAttemptKeys*7/8 {
			return
		}
		delete(a.buckets, key)
	}
}
