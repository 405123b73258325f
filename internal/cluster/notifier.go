package cluster

import (
	"context"
	"time"
)

// gather is how long the notifier waits before it calls. The lanes of a master that came back reconnect one after the
// other; the wait makes them one call instead of dozens.
const gather = 50 * time.Millisecond

// notifier calls a function after messages may have been lost, on its own goroutine. All losses since the last call began
// are one call.
type notifier struct{ due chan struct{} }

func newNotifier() *notifier { return &notifier{due: make(chan struct{}, 1)} }

// notify makes the notifier call its function soon. It never blocks.
func (n *notifier) notify() { signal(n.due) }

// run calls call after each notify, until ctx ends.
func (n *notifier) run(ctx context.Context, call func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.due:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		drain(n.due)
		call()
	}
}

// signal wakes the goroutine that waits for c, or the next one that does. c has a buffer of one.
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
