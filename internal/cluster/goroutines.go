package cluster

import (
	"context"
	"sync"
)

// goroutines owns goroutines: it tells them to end and waits until they have ended. Safe for concurrent use.
type goroutines struct {
	ctx    context.Context //nolint:containedctx // its end is what the goroutines wait for
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newGoroutines() *goroutines {
	ctx, cancel := context.WithCancel(context.Background())
	return &goroutines{ctx: ctx, cancel: cancel}
}

// run starts f, which must return when its ctx ends. After stop it does nothing.
func (g *goroutines) run(f func(ctx context.Context)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.wg.Go(func() { f(g.ctx) })
	}
}

// stop ends all goroutines and waits for them. It returns false if it was called before.
func (g *goroutines) stop() bool {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()

	g.cancel()
	g.wg.Wait()
	return first
}

// stopped reports whether stop was called.
func (g *goroutines) stopped() bool { return g.ctx.Err() != nil }
