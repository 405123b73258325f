package socket

import (
	"sync"
	"sync/atomic"
)

// mostIdleWorkers is how many goroutines are kept that have nothing to do.
const mostIdleWorkers = 64

// workers handle messages. Each message is handled on a pooled goroutine; the reader's goroutine exits, and the worker
// starts a fresh one afterwards. Handling grows a stack, which Go doesn't give back, so only the workers (at most 64 of them
// idle) pay for it, not every idle socket.
type workers struct {
	work    chan work // to a worker that is idle
	idle    atomic.Int32
	running sync.WaitGroup
}

// work is a message and the connection that it came on.
type work struct {
	c       *Conn
	message []byte
}

func newWorkers() *workers { return &workers{work: make(chan work)} }

// do has a message handled. It never blocks.
func (w *workers) do(c *Conn, message []byte) {
	next := work{c, message}
	select {
	case w.work <- next:
	default:
		w.running.Add(1)
		go w.run(next)
	}
}

// run handles a message, and then others unless enough workers wait for one, until the server's life ends.
func (w *workers) run(next work) {
	defer w.running.Done()
	over := next.c.server.life.Done()
	for {
		next.c.handle(next.message)
		next.c, next.message = nil, nil // which the collector may take while this one is idle
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
