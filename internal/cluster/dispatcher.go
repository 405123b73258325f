package cluster

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// dispatcher is the last stretch of a message's path, the same in memory and over Redis: it knows this node's
// subscribers to the topics of one lane, and calls them on one goroutine, message after message. A queue in
// front of it makes that handlers may publish, and that the connection to Redis is always read.
type dispatcher struct {
	bell *bell
	room *budget
	log  *slog.Logger

	mu     sync.Mutex
	topics map[string][]*subscription
	queue  []message
	lost   bool // a message found no room
	wake   chan struct{}
}

type message struct {
	topic   string
	payload []byte
}

type subscription struct {
	topic   string
	handler func(payload []byte)
	index   int // in the list of its topic; guarded by the dispatcher's mu
	gone    atomic.Bool
}

func newDispatcher(b *bell, room *budget, log *slog.Logger) *dispatcher {
	return &dispatcher{bell: b, room: room, log: log, topics: map[string][]*subscription{}, wake: make(chan struct{}, 1)}
}

func (d *dispatcher) add(topic string, handler func([]byte)) *subscription {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &subscription{topic: topic, handler: handler, index: len(d.topics[topic])}
	d.topics[topic] = append(d.topics[topic], s)
	return s
}

// remove takes s out. It returns false when that was done before.
func (d *dispatcher) remove(s *subscription) bool {
	if s.gone.Swap(true) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.topics[s.topic]
	end := len(all) - 1
	all[s.index], all[end].index = all[end], s.index
	all[end] = nil
	d.topics[s.topic] = all[:end]
	if end == 0 {
		delete(d.topics, s.topic)
	}
	return true
}

// put queues a message for the subscribers. It never blocks: when there is no room, the message is lost, and
// the bell rings after those before it were delivered.
func (d *dispatcher) put(m message) bool {
	d.mu.Lock()
	ok := d.room.take(m.size())
	if ok {
		d.queue = append(d.queue, m)
	} else {
		d.lost = true
	}
	d.mu.Unlock()
	signal(d.wake)
	return ok
}

func (d *dispatcher) run(ctx context.Context) {
	var batch []message
	var handlers []*subscription
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		d.mu.Lock()
		batch, d.queue = d.queue, batch[:0]
		lost := d.lost
		d.lost = false
		d.mu.Unlock()

		for i, m := range batch {
			if ctx.Err() != nil {
				return
			}
			handlers = d.deliver(m, handlers)
			batch[i] = message{}
		}
		if lost {
			d.log.Warn("bus: the queue to this node's subscribers was full")
			d.bell.ring()
		}
		if cap(batch) > keepCapacity {
			batch = nil // a burst is over
		}
	}
}

// keepCapacity is how long an emptied queue may be to be used again.
const keepCapacity = 4096

// deliver calls the handlers; scratch is the memory it uses to list them, and returns for the next call.
func (d *dispatcher) deliver(m message, scratch []*subscription) []*subscription {
	d.mu.Lock()
	scratch = append(scratch[:0], d.topics[m.topic]...)
	d.mu.Unlock()
	d.room.give(m.size())
	for _, s := range scratch {
		if !s.gone.Load() {
			s.handler(m.payload)
		}
	}
	clear(scratch)
	return scratch
}

// messageOverhead is roughly what a queued message takes beside its text.
const messageOverhead = 64

func (m message) size() int64 { return int64(len(m.topic) + len(m.payload) + messageOverhead) }

// budget bounds the bytes of several queues together.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) give(n int64) { b.left.Add(n) }
