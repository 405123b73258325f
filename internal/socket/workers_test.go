package socket

import (
	"testing"
	"time"
)

// However many frames are received at once, none waits for another; then only some workers stay, until the hub's life
// ends. A panic ends the connection on whose frame it came, and no worker.
func TestWorkers(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{})
	defer h.end()
	const many = mostIdleWorkers + 16
	arrived, proceed, received := make(chan struct{}, many), make(chan struct{}), make(chan struct{}, many)
	all := make([]*Conn, many+1)
	for i := range all {
		c, _ := h.unread(t, &quiet{text: func() {
			defer func() { received <- struct{}{} }()
			arrived <- struct{}{}
			<-proceed
			if i == 0 {
				panic("a mistake")
			}
		}})
		if err := h.Register(c); err != nil {
			t.Fatal(err)
		}
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
	for deadline := time.Now().Add(10 * time.Second); h.workers.idle.Load() != mostIdleWorkers || !all[0].Closing(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d workers are idle; after the panic: %v", h.workers.idle.Load(), all[0].closing)
		}
	}
	for i, c := range all {
		c.mu.Lock()
		if closing := c.closing; (closing != nil) != (i == 0) || i == 0 && closing.code != Internal {
			t.Errorf("connection %d: %v", i, closing)
		}
		c.mu.Unlock()
	}
	h.workers.do(all[many], nil) // for one of those that are idle
	<-received
	for _, c := range all {
		c.Cut()
	}
	h.running.Wait()
	h.end()
	h.workers.running.Wait()
	if idle := h.workers.idle.Load(); idle != 0 {
		t.Errorf("%d workers are idle after the end", idle)
	}
}
