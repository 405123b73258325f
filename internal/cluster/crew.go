package cluster

import (
	"context"
	"sync"
)

// crew owns goroutines: it tells them to end and waits until they have.
type crew struct {
	ctx    context.Context //nolint:containedctx // it is what the goroutines live by
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newCrew() *crew {
	ctx, cancel := context.WithCancel(context.Background())
	return &crew{ctx: ctx, cancel: cancel}
}

// run starts f, which must return when its ctx ends; it does nothing once dismiss was called.
func (c *crew) run(f func(ctx context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.wg.Go(func() { f(c.ctx) })
	}
}

// dismiss ends all goroutines and waits for them. It returns false when that was done before.
func (c *crew) dismiss() bool {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()

	c.cancel()
	c.wg.Wait()
	return first
}

func (c *crew) isDismissed() bool { return c.ctx.Err() != nil }
