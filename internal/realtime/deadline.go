package realtime

import (
	"context"
	"sync"
	"time"
)

// deadlineShare is what part of its time a request may lose by sharing its deadline with those that came before it.
const deadlineShare = 8

// deadline is a context that requests share which come at about the same time: one of its own would cost each of them
// more than decoding it does, and all of them a lock of the hub's life. Safe for concurrent use.
type deadline struct {
	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // it is what is shared
	until time.Time       // when the next one is due
}

// within returns a context that ends with life, or when timeout is over, or up to an eighth of that sooner.
func (d *deadline) within(life context.Context, timeout time.Duration) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); !now.Before(d.until) {
		ctx, cancel := context.WithTimeout(life, timeout)
		context.AfterFunc(ctx, cancel) // not before it has ended: nobody knows who uses it still
		d.ctx, d.until = ctx, now.Add(timeout/deadlineShare)
	}
	return d.ctx
}
