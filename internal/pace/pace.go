// Package pace limits how fast each account may send, on one node: over REST and all of its sockets together. It isn't part of
// the use cases, because a socket is slowed down where a request is refused, and no message may be counted by both.
package pace

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// shards is how many locks the accounts share.
	shards = 32
	// maxPaced bounds the number of accounts that a shard remembers. Each takes some 200 bytes.
	maxPaced = 1 << 10
	// fewPaced is how many accounts a shard remembers before it looks for those that can be forgotten.
	fewPaced = 8
)

// Pace has a token bucket for each account that has sent something of late. Safe for concurrent use. A nil Pace has no limit.
type Pace struct {
	rate   rate.Limit
	burst  int
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by account
	sweepAt  int                      // the number of limiters at which full ones are forgotten
}

// New returns a Pace with an average rate and a burst. It returns nil if one of them is 0, which means no limit.
func New(perSecond float64, burst int) *Pace {
	if perSecond <= 0 || burst <= 0 {
		return nil
	}
	p := &Pace{rate: rate.Limit(perSecond), burst: burst, seed: maphash.MakeSeed()}
	for i := range p.shards {
		p.shards[i].limiters, p.shards[i].sweepAt = make(map[string]*rate.Limiter), fewPaced
	}
	return p
}

// Take counts what has been sent already, as so many messages, and returns how long the account must wait before it sends more.
// Those who wait for the same account wait one behind the other.
func (p *Pace) Take(account string, messages int, now time.Time) (wait time.Duration) {
	if p == nil || messages <= 0 {
		return 0
	}
	s := p.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter := p.limiter(s, account, now)
	for left := messages; left > 0; left -= p.burst { // a limiter gives no more than its burst at once
		some := min(left, p.burst)
		if some == messages && limiter.AllowN(now, some) { // cheaper than a reservation, which few need
			return 0
		}
		wait = limiter.ReserveN(now, some).DelayFrom(now)
	}
	return wait
}

// Try counts a message that may be sent now, and returns 0. One that may not isn't counted; Try then returns when it may.
func (p *Pace) Try(account string, now time.Time) (wait time.Duration) {
	if p == nil {
		return 0
	}
	s := p.shard(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	reservation := p.limiter(s, account, now).ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (p *Pace) shard(account string) *shard { return &p.shards[maphash.String(p.seed, account)%shards] }

// limiter returns an account's bucket, full unless it has sent something of late. The shard is locked.
func (p *Pace) limiter(s *shard, account string, now time.Time) *rate.Limiter {
	limiter, known := s.limiters[account]
	if !known {
		if len(s.limiters) >= s.sweepAt {
			s.sweep(now, p.burst)
		}
		limiter = rate.NewLimiter(p.rate, p.burst)
		s.limiters[account] = limiter
	}
	return limiter
}

// sweep deletes the accounts that may send a full burst, as a new one may. If that isn't enough, it deletes others until an
// eighth of the table is free. Those may then send some more messages, and the memory stays bounded.
func (s *shard) sweep(now time.Time, burst int) {
	for account, limiter := range s.limiters {
		if limiter.TokensAt(now) >= float64(burst) {
			delete(s.limiters, account)
		}
	}
	for account := range s.limiters {
		if len(s.limiters) < maxPaced*7/8 {
			break
		}
		delete(s.limiters, account)
	}
	s.sweepAt = min(max(fewPaced, 2*len(s.limiters)), maxPaced)
}
