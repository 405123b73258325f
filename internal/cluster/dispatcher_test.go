package cluster

import (
	"context"
	"log/slog"
	"sync"
	"testing"
)

// Subscribers hear of a loss when they have got what came before it, not earlier: or they would look too soon.
func TestLossIsToldBehindWhatCameBefore(t *testing.T) {
	t.Parallel()
	bell := newBell(nil)
	d := newDispatcher(bell, newBudget(1000), slog.New(slog.DiscardHandler))
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
	if len(bell.rung) > 0 {
		t.Error("the bell rang before what was queued was delivered")
	}
	close(blocked)
	<-begun
	<-bell.rung
}
