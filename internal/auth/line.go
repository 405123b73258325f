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

// rank orders those who wait for a slot: while one of a higher rank waits, none of a lower rank gets one. Devices that have logged
// in before come first, so that they notice little of a flood of logins.
type rank int

const (
	ofKnownDevice rank = iota
	ofLogin
	ofRegistration
	ranks
)

const (
	// maxWaiting bounds the callers of one rank that wait, and maxOfOne those of one of its flows.
	maxWaiting = 1024
	maxOfOne   = 64
	// maxWait is the longest wait, for callers without a deadline or with a later one.
	maxWait = 10 * time.Second
	// registerEvery is the interval at which a registration goes first.
	registerEvery = time.Second
)

// line gives out the slots for hashing. Within a rank callers belong to flows (a client's address, or an account at an address),
// which get slots in turn: one who sends many requests waits behind its own. Where there are several slots, registrations leave one
// free, so that a login finds it; but one registration a second goes first, so that logins alone can't keep all of them out. A
// caller that would wait longer than its deadline allows, or that finds the line full, is refused at once. Safe for concurrent use.
type line struct {
	mu         sync.Mutex
	free       int
	slots      int
	spare      int           // the slots that a registration must leave free
	took       time.Duration // how long a caller keeps its slot, on average
	registered time.Time     // when a registration last got a slot
	queue      [ranks]queue
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
	l := &line{free: slots, slots: slots, spare: min(1, slots-1), took: took}
	for i := range l.queue {
		l.queue[i].flows = make(map[string]*flow)
	}
	return l
}

// enter waits for a slot. It returns the function that gives the slot back, which must be called once. The fault Busy says that
// the line is full, or that the wait would be too long, or was. Any other error is that of a ctx that was cancelled.
func (l *line) enter(ctx context.Context, r rank, name string) (leave func(), err error) {
	l.mu.Lock()
	if l.hasRoom(r) {
		l.free--
		l.mu.Unlock()
		return l.leaver(), nil
	}
	if err := l.refusal(ctx, r, name); err != nil {
		l.mu.Unlock()
		return nil, err
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

// admit returns the refusal that enter would return at once.
func (l *line) admit(ctx context.Context, r rank, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hasRoom(r) {
		return nil
	}
	return l.refusal(ctx, r, name)
}

// hasRoom reports whether a new caller gets a slot at once. Then nobody waits who might have it.
func (l *line) hasRoom(r rank) bool {
	if r == ofRegistration {
		return l.free > l.spare
	}
	return l.free > 0
}

func (l *line) refusal(ctx context.Context, r rank, name string) error {
	wait, full := l.forecast(r, name)
	if full || wait > maxWait || tooLate(ctx, wait+l.took) {
		return fault.Retry(fault.Busy, wait)
	}
	return nil
}

// forecast returns how long a new caller would wait, and whether there is no room for it.
func (l *line) forecast(r rank, name string) (wait time.Duration, full bool) {
	q, own := &l.queue[r], 0
	if f := q.flows[name]; f != nil {
		own = f.callers.Len()
	}
	ahead := min(q.waiting, (own+1)*q.turns.Len())
	for i := range r {
		ahead += l.queue[i].waiting
	}
	slots := l.slots
	if r == ofRegistration {
		slots -= l.spare
	}
	return time.Duration(ahead+1) * l.took / time.Duration(slots), q.waiting >= maxWaiting || own >= maxOfOne
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

// next gives the slot of one who leaves to the next caller, or keeps it free.
func (l *line) next() {
	c := l.choose()
	if c == nil {
		l.free++
		return
	}
	close(c.granted)
}

func (l *line) choose() *caller {
	now, registrations := time.Now(), &l.queue[ofRegistration]
	if registrations.waiting > 0 && now.Sub(l.registered) >= registerEvery {
		l.registered = now
		return registrations.take()
	}
	for r := range ofRegistration {
		if c := l.queue[r].take(); c != nil {
			return c
		}
	}
	if l.free < l.spare {
		return nil
	}
	l.registered = now
	return registrations.take()
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
