package cluster

import (
	"context"
	"hash/crc32"
)

// memoryLanes is how many goroutines call handlers.
const memoryLanes = 4

// Memory is the cluster of one node. Make it with [NewMemory].
type Memory struct {
	*memoryPresence

	crew        *crew
	dispatchers []*dispatcher
}

var _ Node = (*Memory)(nil)

// NewMemory returns the cluster of a single node, in memory. Of the options it heeds OnLost, QueueBytes and Log.
// The caller closes it.
func NewMemory(opts Options) *Memory {
	opts = opts.withDefaults()
	crew := newCrew()
	m := &Memory{memoryPresence: newMemoryPresence(crew), crew: crew}
	b, room := newBell(opts.OnLost), newBudget(opts.QueueBytes)
	crew.run(b.run)
	for range memoryLanes {
		d := newDispatcher(b, room, opts.Log)
		m.dispatchers = append(m.dispatchers, d)
		crew.run(d.run)
	}
	return m
}

// Publish implements [Bus].
func (m *Memory) Publish(topic string, payload []byte) error {
	if m.crew.isDismissed() {
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
	m.crew.dismiss()
	return nil
}

func (m *Memory) refuse(ctx context.Context) error {
	if m.crew.isDismissed() {
		return ErrClosed
	}
	return ctx.Err()
}

func (m *Memory) dispatcher(topic string) *dispatcher {
	return m.dispatchers[laneOf(topic, len(m.dispatchers))]
}

// laneOf deals names out to lanes; all nodes must do it alike.
func laneOf(name string, lanes int) int {
	return int(crc32.ChecksumIEEE([]byte(name)) % uint32(lanes)) //nolint:gosec // a few dozen
}
