package cluster

import (
	"context"
	"time"
)

// gather is how long the bell waits before it calls, so that the lanes of a master that came back, which
// reconnect one after the other, are one loss and not dozens.
const gather = 50 * time.Millisecond

// bell calls OnLost, on its own goroutine, for as many losses as there have been since the last call began.
type bell struct {
	call func()
	rung chan struct{}
}

func newBell(call func()) *bell { return &bell{call: call, rung: make(chan struct{}, 1)} }

// ring has OnLost called soon. It never blocks.
func (b *bell) ring() { signal(b.rung) }

func (b *bell) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.rung:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		drain(b.rung)
		b.call()
	}
}

// signal wakes who waits for c, now or when it comes to wait; c has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}
