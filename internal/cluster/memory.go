package cluster

import (
	"context"
	"hash/crc32"
)

// memoryLanes is the number of goroutines that call handlers.
const memoryLanes = 4

// Memory is the cluster of one node. Make it with [NewMemory].
type Memory struct {
	*memoryPresence

	goroutines  *goroutines
	losses      *notifier
	dispatchers []*dispatcher
}

var _ Node = (*Memory)(nil)

// NewMemory returns the cluster of a single node, in memory. Of the options it uses QueueBytes and Log. The caller starts
// and closes it.
func NewMemory(opts Options) *Memory {
	opts = opts.withDefaults()
	goroutines := newGoroutines()
	m := &Memory{memoryPresence: newMemoryPresence(goroutines), goroutines: goroutines, losses: newNotifier()}
	room := newBudget(opts.QueueBytes)
	for range memoryLanes {
		m.dispatchers = append(m.dispatchers, newDispatcher(m.losses, room, opts.Log))
	}
	return m
}

// Start implements [Node].
func (m *Memory) Start(onLost func()) {
	m.goroutines.run(func(ctx context.Context) { m.losses.run(ctx, orNothing(onLost)) })
	for _, d := range m.dispatchers {
		m.goroutines.run(d.run)
	}
}

func orNothing(f func()) func() {
	if f == nil {
		return func() {}
	}
	return f
}

// Publish implements [Bus].
func (m *Memory) Publish(topic string, payload []byte) error {
	if m.goroutines.stopped() {
		return ErrClosed
	}
	if !m.dispatcher(topic).put(message{topic: topic, payload: payload}) {
		return ErrFull
	}
	return nil
}

// Subscribe implements [Bus].
func (m *Memory) Subscribe(ctx context.Context, topic string, h func(payload []byte)) (cancel func(), err error) {
	if err := m.refuse(ctx); err != nil {
		return nil, err
	}
	d := m.dispatcher(topic)
	s := d.add(topic, h)
	return func() { d.remove(s) }, nil
}

// Healthy implements [Node].
func (m *Memory) Healthy(ctx context.Context) error { return m.refuse(ctx) }

// Close implements [Node].
func (m *Memory) Close() error {
	m.goroutines.stop()
	return nil
}

func (m *Memory) refuse(ctx context.Context) error {
	if m.goroutines.stopped() {
		return ErrClosed
	}
	return ctx.Err()
}

func (m *Memory) dispatcher(topic string) *dispatcher {
	return m.dispatchers[laneOf(topic, len(m.dispatchers))]
}

// laneOf assigns a name to a lane. All nodes must assign it to the same one.
func laneOf(name string, lanes int) int {
	return int(crc32.ChecksumIEEE([]byte(name)) % uint32(lanes)) //nolint:gosec // there are at most 64 lanes
}
