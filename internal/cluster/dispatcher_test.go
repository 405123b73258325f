package cluster

import (
	"context"
	"log/slog"
	"sync"
	"testing"
)

// A loss is reported after the messages before it are delivered. Earlier, subscribers would read the database too soon.
func TestLossIsToldBehindWhatCameBefore(t *testing.T) {
	t.Parallel()
	losses := newNotifier()
	d := newDispatcher(losses, newBudget(1000), slog.New(slog.DiscardHandler))
	begun, blocked := make(chan struct{}, 10), make(chan struct{})
	d.add("room", func([]byte) {
		begun <- struct{}{}
		<-blocked
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.run(ctx) })
	defer running.Wait()
	defer cancel()

	put := func(bytes int, want bool) {
		t.Helper()
		if got := d.put(message{topic: "room", payload: make([]byte, bytes)}); got != want {
			t.Errorf("a message of %d bytes is taken: %t", bytes, got)
		}
	}
	put(1, true)
	<-begun
	put(800, true)
	put(800, false)
	if len(losses.due) > 0 {
		t.Error("the loss was reported before the queued messages were delivered")
	}
	close(blocked)
	<-begun
	<-losses.due
}
