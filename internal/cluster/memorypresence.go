package cluster

import (
	"context"
	"sync"
)

// memoryPresence is presence on a single node. It is lost with the process. Safe for concurrent use.
type memoryPresence struct {
	goroutines *goroutines // tells whether the node is closed

	mu    sync.Mutex
	rooms map[string]*memoryRoom
}

// memoryRoom is never empty: it is deleted with its last entry. There are as many rooms as accounts, and most hold the few
// sockets of one account, so a room gets an index only when it has many entries.
type memoryRoom struct {
	oldest, newest *memoryEntry
	size           int
	index          *memoryIndex // nil for at most fewEntries
}

// memoryEntry is a socket in a room. It is an element of a list in the order of joining.
type memoryEntry struct {
	member, id    string
	before, after *memoryEntry
}

// memoryIndex finds the entries of a room.
type memoryIndex struct {
	byID    map[string]*memoryEntry
	members map[string]int // the number of entries of each member
}

// fewEntries is the number of entries up to which a search of the list is as fast as an index.
const fewEntries = 16

func newMemoryPresence(c *goroutines) *memoryPresence {
	return &memoryPresence{goroutines: c, rooms: map[string]*memoryRoom{}}
}

// Join implements [Presence].
func (p *memoryPresence) Join(_ context.Context, room, member, id string) (first bool, err error) {
	if p.goroutines.stopped() {
		return false, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil {
		r = &memoryRoom{}
		p.rooms[room] = r
	}
	if r.find(id) == nil {
		r.add(&memoryEntry{member: member, id: id})
	}
	return r.entriesOf(member) == 1, nil
}

// Leave implements [Presence].
func (p *memoryPresence) Leave(_ context.Context, room, member, id string) (last bool, err error) {
	if p.goroutines.stopped() {
		return false, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil {
		return false, nil
	}
	e := r.find(id)
	if e == nil {
		return false, nil
	}
	r.remove(e)
	if r.size == 0 {
		delete(p.rooms, room)
	}
	return r.entriesOf(member) == 0, nil
}

// Members implements [Presence].
func (p *memoryPresence) Members(_ context.Context, room string, limit int) (members []string, total int, err error) {
	if p.goroutines.stopped() {
		return nil, 0, ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil {
		return nil, 0, nil
	}
	total = r.members()
	limit = min(limit, total)
	seen := make(map[string]bool, max(limit, 0))
	for e := r.oldest; e != nil && len(members) < limit; e = e.after {
		if !seen[e.member] {
			seen[e.member] = true
			members = append(members, e.member)
		}
	}
	return members, total, nil
}

// Online implements [Presence].
func (p *memoryPresence) Online(_ context.Context, rooms []string) ([]bool, error) {
	if p.goroutines.stopped() {
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

// find returns the entry of a socket, nil if there is none.
func (r *memoryRoom) find(id string) *memoryEntry {
	if r.index != nil {
		return r.index.byID[id]
	}
	e := r.oldest
	for e != nil && e.id != id {
		e = e.after
	}
	return e
}

// entriesOf returns the number of a member's entries.
func (r *memoryRoom) entriesOf(member string) (n int) {
	if r.index != nil {
		return r.index.members[member]
	}
	for e := r.oldest; e != nil; e = e.after {
		if e.member == member {
			n++
		}
	}
	return n
}

// members returns the number of members in the room.
func (r *memoryRoom) members() int {
	if r.index != nil {
		return len(r.index.members)
	}
	seen := make(map[string]bool, r.size)
	for e := r.oldest; e != nil; e = e.after {
		seen[e.member] = true
	}
	return len(seen)
}

// add appends an entry. The socket must have none.
func (r *memoryRoom) add(e *memoryEntry) {
	if e.before = r.newest; e.before == nil {
		r.oldest = e
	} else {
		e.before.after = e
	}
	r.newest = e
	r.size++
	switch {
	case r.index != nil:
		r.index.add(e)
	case r.size > fewEntries:
		r.index = &memoryIndex{byID: make(map[string]*memoryEntry, 2*r.size), members: make(map[string]int)}
		for each := r.oldest; each != nil; each = each.after {
			r.index.add(each)
		}
	}
}

// remove removes an entry.
func (r *memoryRoom) remove(e *memoryEntry) {
	if e.before == nil {
		r.oldest = e.after
	} else {
		e.before.after = e.after
	}
	if e.after == nil {
		r.newest = e.before
	} else {
		e.after.before = e.before
	}
	r.size--
	if r.index != nil {
		r.index.remove(e)
	}
}

func (i *memoryIndex) add(e *memoryEntry) {
	i.byID[e.id] = e
	i.members[e.member]++
}

func (i *memoryIndex) remove(e *memoryEntry) {
	delete(i.byID, e.id)
	if i.members[e.member]--; i.members[e.member] == 0 {
		delete(i.members, e.member)
	}
}
