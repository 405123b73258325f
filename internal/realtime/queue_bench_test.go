package realtime

import (
	"testing"

	"tim/internal/auth"
)

// BenchmarkQueue is the way of a frame through a connection's queue to the bytes of a batch, when 16 wait together.
func BenchmarkQueue(b *testing.B) {
	const waiting = 16
	c := (&Hub{}).newConnection(kindModern, "c", auth.Session{})
	frame := make([]byte, 200)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		c.enqueue(frame)
		if i%waiting > 0 {
			continue
		}
		c.mu.Lock()
		batch := c.newBatch()
		c.load(batch)
		if len(c.queue) > 0 || c.queued > 0 {
			b.Fatal(len(c.queue), c.queued)
		}
		c.queue = nil // as the writer leaves it
		c.hub.freeBatch(batch)
		c.mu.Unlock()
	}
}
