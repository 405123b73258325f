package rest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tim/internal/fault"
)

// pace limits how fast each session sends messages over REST, as the sockets limit each connection's frames. It isn't part of
// the use case, because a socket is slowed down where a request is refused, and no message may be counted by both. Safe for
// concurrent use. A nil pace has no limit.
type pace struct {
	rate  rate.Limit
	burst int

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by session
}

// maxPaced bounds the number of sessions. Each takes some 200 bytes.
const maxPaced = 1 << 14

// newPace returns a pace with an average rate and a burst. It returns nil if one of them is 0, which means no limit.
func newPace(perSecond float64, burst int) *pace {
	if perSecond <= 0 || burst <= 0 {
		return nil
	}
	return &pace{rate: rate.Limit(perSecond), burst: burst, limiters: make(map[string]*rate.Limiter)}
}

// take counts a message of a session. Over the limit it returns RateLimited with the time to wait.
func (p *pace) take(session string, now time.Time) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	limiter, known := p.limiters[session]
	if !known {
		if len(p.limiters) >= maxPaced {
			p.makeRoom(now)
		}
		limiter = rate.NewLimiter(p.rate, p.burst)
		p.limiters[session] = limiter
	}
	reservation := limiter.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay <= 0 {
		return nil
	}
	reservation.CancelAt(now)
	return fault.Retry(fault.RateLimited, delay)
}

// makeRoom deletes the sessions that may send a full burst, as a new one may. If that isn't enough, it deletes others until an
// eighth of the table is free. Those may then send some more messages, and the memory stays bounded.
func (p *pace) makeRoom(now time.Time) {
	for session, limiter := range p.limiters {
		if limiter.TokensAt(now) >= float64(p.burst) {
			delete(p.limiters, session)
		}
	}
	for session := range p.limiters {
		if len(p.limiters) < maxPaced*7/8 {
			return
		}
		delete(p.limiters, session)
	}
}
