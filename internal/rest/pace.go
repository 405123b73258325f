package rest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tim/internal/fault"
)

// pace limits how fast each session sends messages over REST, as the sockets limit each connection's frames. It is a
// face's business and not the use case's: a socket may be slowed down where a request must be refused, and one send must
// not be counted by both. Safe for concurrent use; nil limits nothing.
type pace struct {
	rate  rate.Limit
	burst int

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by session
}

// maxPaced bounds the sessions of a pace, at some 200 bytes each.
const maxPaced = 1 << 14

// newPace returns a pace of so many sends a second on average, and so many at once; nil for none where one of them is 0.
func newPace(perSecond float64, burst int) *pace {
	if perSecond <= 0 || burst <= 0 {
		return nil
	}
	return &pace{rate: rate.Limit(perSecond), burst: burst, limiters: make(map[string]*rate.Limiter)}
}

// take counts a send of a session, or refuses it and says when to try again.
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

// makeRoom forgets the sessions that may send as much as a new one, or, if too few may, others: they begin anew, which
// lets some sends more through and keeps the memory bounded.
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
