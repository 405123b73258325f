package cluster

import (
	"container/list"
	"context"
	"sync"
)

// memoryPresence is presence on a single node; it ends with the process.
type memoryPresence struct {
	crew *crew // only to know whether the node is closed

	mu    sync.Mutex
	rooms map[string]*memoryRoom
}

// memoryRoom is never empty: it goes with its last entry.
type memoryRoom struct {
	order   *list.List               // of memoryEntry, by the time of joining
	byID    map[string]*list.Element // socket id → its place in order
	entries map[string]int           // member → number of its entries
}

type memoryEntry struct{ member, id string }

func newMemoryPresence(c *crew) *memoryPresence {
	return &memoryPresence{crew: c, rooms: map[string]*memoryRoom{}}
}

// Join implements [Presence].
func (p *memoryPresence) Join(_ context.Context, room, member, id string) (first bool, err error) {
	if p.crew.isDismissed() {
		return false, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil {
		r = &memoryRoom{order: list.New(), byID: map[string]*list.Element{}, entries: map[string]int{}}
		p.rooms[room] = r
	}
	if r.byID[id] == nil {
		r.byID[id] = r.order.PushBack(memoryEntry{member: member, id: id})
		r.entries[member]++
	}
	return r.entries[member] == 1, nil
}

// Leave implements [Presence].
func (p *memoryPresence) Leave(_ context.Context, room, member, id string) (last bool, err error) {
	if p.crew.isDismissed() {
		return false, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil || r.byID[id] == nil {
		return false, nil
	}
	r.order.Remove(r.byID[id])
	delete(r.byID, id)
	r.entries[member]--
	if last = r.entries[member] == 0; last {
		delete(r.entries, member)
	}
	if r.order.Len() == 0 {
		delete(p.rooms, room)
	}
	return last, nil
}

// Members implements [Presence].
func (p *memoryPresence) Members(_ context.Context, room string, limit int) (members []string, total int, err error) {
	if p.crew.isDismissed() {
		return nil, 0, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil {
		return nil, 0, nil
	}
	limit = min(limit, len(r.entries))
	seen := make(map[string]bool, max(limit, 0))
	for e := r.order.Front(); e != nil && len(members) < limit; e = e.Next() {
		if member := e.Value.(memoryEntry).member; !seen[member] { //nolint:forcetypeassert // nothing else is in it
			seen[member] = true
			members = append(members, member)
		}
	}
	return members, len(r.entries), nil
}

// Online implements [Presence].
func (p *memoryPresence) Online(_ context.Context, rooms []string) ([]bool, error) {
	if p.crew.isDismissed() {
		return nil, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	online := make([]bool, len(rooms))
	for i, room := range rooms {
		online[i] = p.rooms[room] != nil
	}
	return online, nil
}
