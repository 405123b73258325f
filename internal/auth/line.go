package auth

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tim/internal/fault"
)

// rank orders those who wait for a slot: as long as a login waits, no registration gets one.
type rank int

const (
	ofLogin rank = iota
	ofRegistration
	ranks
)

const (
	// maxWaiting bounds the callers of one rank that wait, and maxOfOne those of one of its flows.
	maxWaiting = 1024
	maxOfOne   = 64
	// maxWait is the longest wait, for callers without a deadline or with a later one.
	maxWait = 10 * time.Second
)

// line gives out the slots for hashing. Within a rank callers belong to flows (a client's address, or an account at an address),
// which get slots in turn: one who sends many requests waits behind its own. A caller that would wait longer than its deadline
// allows, or that finds the line full, is refused at once. Safe for concurrent use.
type line struct {
	mu    sync.Mutex
	free  int
	slots int
	took  time.Duration // how long a caller keeps its slot, on average
	queue [ranks]queue
}

// queue holds the callers of one rank.
type queue struct {
	flows   map[string]*flow
	turns   list.List // the flows, the next one first
	waiting int
}

// flow has the callers of one name, at least one.
type flow struct {
	name    string
	callers list.List
	turn    *list.Element
}

// caller waits for a slot. granted is closed when it has one.
type caller struct{ granted chan struct{} }

// newLine returns a line whose callers keep a slot for about so long.
func newLine(slots int, took time.Duration) *line {
	l := &line{free: slots, slots: slots, took: took}
	for i := range l.queue {
		l.queue[i].flows = make(map[string]*flow)
	}
	return l
}

// enter waits for a slot. It returns the function that gives the slot back, which must be called once. The fault Busy says that
// the line is full, or that the wait would be too long, or was. Any other error is that of a ctx that was cancelled.
func (l *line) enter(ctx context.Context, r rank, name string) (leave func(), err error) {
	l.mu.Lock()
	if l.free > 0 { // then nobody waits
		l.free--
		l.mu.Unlock()
		return l.leaver(), nil
	}
	wait, full := l.forecast(r, name)
	if full || wait > maxWait || tooLate(ctx, wait+l.took) {
		l.mu.Unlock()
		return nil, fault.Retry(fault.Busy, wait)
	}
	c := &caller{granted: make(chan struct{})}
	f, place := l.queue[r].add(name, c)
	l.mu.Unlock()

	select {
	case <-c.granted:
		return l.leaver(), nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	select {
	case <-c.granted: // at the same time
		l.next()
	default:
		l.queue[r].remove(f, place)
	}
	l.mu.Unlock()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fault.Retry(fault.Busy, time.Second)
	}
	return nil, fmt.Errorf("wait for a processor: %w", ctx.Err())
}

// forecast returns how long a new caller would wait, and whether there is no room for it.
func (l *line) forecast(r rank, name string) (wait time.Duration, full bool) {
	q, own := &l.queue[r], 0
	if f := q.flows[name]; f != nil {
		own = f.callers.Len()
	}
	ahead := min(q.waiting, (own+1)*q.turns.Len())
	for _, higher := range l.queue[:r] {
		ahead += higher.waiting
	}
	return time.Duration(ahead+1) * l.took / time.Duration(l.slots), q.waiting >= maxWaiting || own >= maxOfOne
}

// tooLate reports whether ctx ends within a time.
func tooLate(ctx context.Context, within time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < within
}

// leaver returns the function that gives back a slot that was given out just now.
func (l *line) leaver() func() {
	since := time.Now()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.took += (time.Since(since) - l.took) / 8
		l.next()
	}
}

// next gives a slot to the next caller, or keeps it free.
func (l *line) next() {
	for i := range l.queue {
		if c := l.queue[i].take(); c != nil {
			close(c.granted)
			return
		}
	}
	l.free++
}

// waiting returns the number of callers that wait.
func (l *line) waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.queue {
		n += l.queue[i].waiting
	}
	return n
}

func (q *queue) add(name string, c *caller) (*flow, *list.Element) {
	f := q.flows[name]
	if f == nil {
		f = &flow{name: name}
		f.turn = q.turns.PushBack(f)
		q.flows[name] = f
	}
	q.waiting++
	return f, f.callers.PushBack(c)
}

func (q *queue) remove(f *flow, place *list.Element) {
	f.callers.Remove(place)
	q.waiting--
	if f.callers.Len() == 0 {
		q.turns.Remove(f.turn)
		delete(q.flows, f.name)
	}
}

// take takes out the next caller, nil if there is none.
func (q *queue) take() *caller {
	turn := q.turns.Front()
	if turn == nil {
		return nil
	}
	f, _ := turn.Value.(*flow)
	first := f.callers.Front()
	c, _ := first.Value.(*caller)
	q.turns.MoveToBack(turn)
	q.remove(f, first)
	return c
}
