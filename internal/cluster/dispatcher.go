package cluster

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// dispatcher is the last part of a message's path, in memory and over Redis alike. It has this node's subscriptions to the
// topics of one lane and calls their handlers on one goroutine, one message after the other. Its queue lets handlers publish,
// and lets the connection to Redis be read at any time.
type dispatcher struct {
	losses *notifier
	room   *budget
	log    *slog.Logger

	mu     sync.Mutex
	topics map[string][]*subscription
	queue  []message
	lost   bool // the queue had no room for a message
	wake   chan struct{}
}

type message struct {
	topic   string
	payload []byte
}

type subscription struct {
	topic   string
	handler func(payload []byte)
	index   int // index in the list of its topic; guarded by the dispatcher's mu
	gone    atomic.Bool
}

func newDispatcher(b *notifier, room *budget, log *slog.Logger) *dispatcher {
	return &dispatcher{losses: b, room: room, log: log, topics: map[string][]*subscription{}, wake: make(chan struct{}, 1)}
}

func (d *dispatcher) add(topic string, handler func([]byte)) *subscription {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &subscription{topic: topic, handler: handler, index: len(d.topics[topic])}
	d.topics[topic] = append(d.topics[topic], s)
	return s
}

// remove removes a subscription. It returns false if it was removed before.
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

// put queues a message for the subscribers. It never blocks. Without room the message is lost, and the loss is reported after
// the messages before it are delivered.
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
			d.losses.notify()
		}
		if cap(batch) > keepCapacity {
			batch = nil // gives back the memory of a burst
		}
	}
}

// keepCapacity is the largest capacity of an emptied queue that is used again.
const keepCapacity = 4096

// deliver calls the handlers of a message. scratch is memory for the list of them; deliver returns it for the next call.
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

// messageOverhead is roughly what a queued message takes besides its text, in bytes.
const messageOverhead = 64

func (m message) size() int64 { return int64(len(m.topic) + len(m.payload) + messageOverhead) }

// budget bounds the bytes of several queues together. Safe for concurrent use.
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
