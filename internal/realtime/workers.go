package realtime

import (
	"sync"
	"sync/atomic"
)

// mostIdleWorkers is how many goroutines are kept that have nothing to do.
const mostIdleWorkers = 64

// workers do what clients ask for. A goroutine that only waits for frames has a small stack, and what a request needs
// is deep: so readers end with a frame, a worker, whose stack is kept, does what it asks for, and then a new reader begins.
type workers struct {
	work    chan work // to one that is idle
	idle    atomic.Int32
	running sync.WaitGroup
}

// work is a frame and the connection that it came on.
type work struct {
	c     *connection
	frame []byte
}

func newWorkers() *workers { return &workers{work: make(chan work)} }

// do has a frame received. It never blocks.
func (w *workers) do(c *connection, frame []byte) {
	next := work{c, frame}
	select {
	case w.work <- next:
	default:
		w.running.Add(1)
		go w.run(next)
	}
}

// run receives a frame, and then others unless enough workers wait for one, until the hub's life ends.
func (w *workers) run(next work) {
	defer w.running.Done()
	over := next.c.hub.life.Done()
	for {
		next.c.receive(next.frame)
		next.c, next.frame = nil, nil // which the collector may take while this one is idle
		if w.idle.Add(1) > mostIdleWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case next = <-w.work:
			w.idle.Add(-1)
		case <-over:
			w.idle.Add(-1)
			return
		}
	}
}
