package realtime

import (
	"context"
	"testing"
	"time"
)

// However many frames are received at once, none waits for another; then only some workers stay, until the hub's life
// ends. A panic ends the connection on whose frame it came, and no worker.
func TestWorkers(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{})
	life, end := context.WithCancel(t.Context())
	defer end()
	h.life = life
	const many = mostIdleWorkers + 16
	arrived, proceed, received := make(chan struct{}, many), make(chan struct{}), make(chan struct{}, many)
	all := make([]*connection, many+1)
	for i := range all {
		c, _ := h.unread(t)
		c.face = face{
			receive: func(context.Context, []byte) {
				defer func() { received <- struct{}{} }()
				arrived <- struct{}{}
				<-proceed
				if i == 0 {
					panic("a mistake")
				}
			},
			farewell: func() {},
		}
		h.mu.Lock()
		h.open[c] = struct{}{}
		h.mu.Unlock()
		h.running.Add(1)
		all[i] = c
	}
	for _, c := range all[:many] {
		h.workers.do(c, nil)
	}
	for range many {
		<-arrived
	}
	close(proceed)
	for range many {
		<-received
	}
	for deadline := time.Now().Add(10 * time.Second); h.workers.idle.Load() != mostIdleWorkers || !all[0].shutting(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d workers are idle; after the panic: %v", h.workers.idle.Load(), all[0].closing)
		}
	}
	for i, c := range all {
		c.mu.Lock()
		if closing := c.closing; (closing != nil) != (i == 0) || i == 0 && closing.Code != closeInternal {
			t.Errorf("connection %d: %v", i, closing)
		}
		c.mu.Unlock()
	}
	h.workers.do(all[many], nil) // for one of those that are idle
	<-received
	for _, c := range all {
		c.cut()
	}
	h.running.Wait()
	end()
	h.workers.running.Wait()
	if idle := h.workers.idle.Load(); idle != 0 {
		t.Errorf("%d workers are idle after the end", idle)
	}
}
