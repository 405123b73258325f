package socket

import "testing"

// BenchmarkQueue is the way of a frame through a connection's queue to the bytes of a batch, when 16 wait together.
func BenchmarkQueue(b *testing.B) {
	const waiting = 16
	server := newServer(Options{})
	c := server.NewConn("c", "alice", &quiet{})
	frame := make([]byte, 200)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		c.Send(frame)
		if i%waiting > 0 {
			continue
		}
		c.mu.Lock()
		batch := server.newBatch()
		c.load(batch)
		if len(c.queue) > 0 || c.queued > 0 {
			b.Fatal(len(c.queue), c.queued)
		}
		c.queue = nil // as the writer leaves it
		server.freeBatch(batch)
		c.mu.Unlock()
	}
}
