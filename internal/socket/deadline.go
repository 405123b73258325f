package socket

import (
	"context"
	"sync"
	"time"
)

// deadlineShare is which part of its time, an eighth, a request may lose by sharing its deadline with those before it.
const deadlineShare = 8

// Deadline is a context that requests share which come at about the same time. A context of its own would cost each request
// more than its decoding, and a lock that all of them take. The zero value is ready. Safe for concurrent use.
type Deadline struct {
	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // it is what is shared
	until time.Time       // when the next one is due
}

// Within returns a context that ends with life, or when timeout is over, or up to an eighth of timeout sooner.
func (d *Deadline) Within(life context.Context, timeout time.Duration) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); !now.Before(d.until) {
		ctx, cancel := context.WithTimeout(life, timeout)
		context.AfterFunc(ctx, cancel) // not before it has ended: nobody knows who uses it still
		d.ctx, d.until = ctx, now.Add(timeout/deadlineShare)
	}
	return d.ctx
}
