package cluster

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// maxLimitKeys bounds the keys of one Limit: in this node's memory, and on each lane of Redis. A key takes some 100 bytes.
const maxLimitKeys = 1 << 16

// Limit is a token bucket for each of many keys: burst tokens at once, then one more for each refill interval. Nodes that share a
// Redis share the buckets; each also counts what it has spent itself, and goes by that alone while Redis is away. A burst of 0
// means no limit. All methods are safe for concurrent use, and none waits longer than Options.Timeout.
type Limit struct {
	burst  int
	refill time.Duration
	memory *memoryLimit
	shared *sharedLimit // nil on a single node
}

// limitKey is a key's hash: keys are as long as clients make them, and name people.
type limitKey [16]byte

// spending is what one call does with a bucket.
type spending struct {
	tokens int  // 0 to ask, -1 to give one back
	anyway bool // also when there is none left
}

// Wait returns how long a key must wait until there is a token again, 0 if there is one.
func (l *Limit) Wait(ctx context.Context, key string) time.Duration {
	return l.do(ctx, key, spending{})
}

// Spend spends a token, if there is one.
func (l *Limit) Spend(ctx context.Context, key string) {
	l.do(ctx, key, spending{tokens: 1, anyway: true})
}

// Take spends a token and returns 0, or spends none and returns how long the key must wait.
func (l *Limit) Take(ctx context.Context, key string) time.Duration {
	return l.do(ctx, key, spending{tokens: 1})
}

// Return gives a token back that was taken.
func (l *Limit) Return(ctx context.Context, key string) {
	l.do(ctx, key, spending{tokens: -1, anyway: true})
}

// do asks this node's own count first: while that refuses, Redis needn't be asked. What one call spends is spent on both, also
// when the caller has gone.
func (l *Limit) do(ctx context.Context, key string, s spending) time.Duration {
	if l.burst <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(key))
	id := limitKey(sum[:])
	wait := l.memory.do(id, l.burst, l.refill, s, time.Now())
	if l.shared == nil || wait > 0 && !s.anyway {
		return wait
	}
	shared, err := l.shared.do(context.WithoutCancel(ctx), id, l.burst, l.refill, s)
	if err != nil {
		return wait
	}
	if shared > 0 && s.tokens > 0 && !s.anyway { // other nodes have taken the tokens
		l.memory.do(id, l.burst, l.refill, spending{tokens: -1, anyway: true}, time.Now())
	}
	return max(wait, shared)
}

// memoryLimit has the buckets in memory. Of each it stores when the bucket will be full again; a bucket that is full has no
// entry.
type memoryLimit struct {
	mu   sync.Mutex
	full map[limitKey]time.Time
}

func newMemoryLimit() *memoryLimit { return &memoryLimit{full: make(map[limitKey]time.Time)} }

func (m *memoryLimit) do(key limitKey, burst int, refill time.Duration, s spending, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	missing := max(0, m.full[key].Sub(now))
	wait := max(0, missing-time.Duration(burst-1)*refill)
	if s.tokens == 0 || wait > 0 && !s.anyway {
		return wait
	}
	missing = min(missing+time.Duration(s.tokens)*refill, time.Duration(burst)*refill)
	if missing <= 0 {
		delete(m.full, key)
		return wait
	}
	if _, known := m.full[key]; !known && len(m.full) >= maxLimitKeys {
		m.makeRoom(now)
	}
	m.full[key] = now.Add(missing)
	return wait
}

// makeRoom deletes the buckets that are full. If that isn't enough, it deletes others until an eighth of the table is free: a
// client that sends ever new keys must not make the table grow.
func (m *memoryLimit) makeRoom(now time.Time) {
	for key, full := range m.full {
		if !full.After(now) {
			delete(m.full, key)
		}
	}
	for key := range m.full {
		if len(m.full) < maxLimitKeys*7/8 {
			return
		}
		delete(m.full, key)
	}
}

// sharedLimit has the buckets in Redis.
type sharedLimit struct {
	redis *Redis
	name  string
	// resting is until when Redis isn't asked, after it didn't answer. In ns since 1970.
	resting atomic.Int64
}

func (s *sharedLimit) do(ctx context.Context, key limitKey, burst int, refill time.Duration, what spending) (time.Duration, error) {
	l := s.redis.lane(string(key[:]))
	if l.sender.isAway() || time.Now().UnixNano() < s.resting.Load() || s.redis.goroutines.stopped() {
		return 0, ErrAway
	}
	anyway := 0
	if what.anyway {
		anyway = 1
	}
	answer, err := s.redis.do(ctx, s.redis.scripts.limit, []string{l.limitKey(s.name)},
		[]any{string(key[:]), what.tokens, anyway, burst, refill.Microseconds(), maxLimitKeys}, 1)
	if err != nil {
		s.resting.Store(time.Now().Add(s.redis.opts.Beat).UnixNano())
		return 0, err
	}
	return time.Duration(answer[0]) * time.Microsecond, nil
}

// limitKey is the key of a Limit's buckets on a lane.
func (l *lane) limitKey(name string) string { return l.name + ":limit:" + name }

// Limit implements [Node].
func (m *Memory) Limit(_ string, burst int, refill time.Duration) *Limit {
	return &Limit{burst: burst, refill: refill, memory: newMemoryLimit()}
}

// Limit implements [Node].
func (r *Redis) Limit(name string, burst int, refill time.Duration) *Limit {
	return &Limit{burst: burst, refill: refill, memory: newMemoryLimit(), shared: &sharedLimit{redis: r, name: name}}
}
