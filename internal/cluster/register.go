package cluster

import (
	"strconv"
	"sync"
	"time"
)

// register is what this node itself knows of presence in the rooms of one lane: the entries of its own sockets.
// Redis can be rebuilt from the registers of all nodes.
type register struct {
	// writing is held by a refresh while it writes what it has read from here, and shared by those who take
	// entries out of Redis: else a refresh could bring back what has just left.
	writing sync.RWMutex

	mu      sync.Mutex
	due     bool // something didn't get through
	entries map[place]entry
	leaving map[place]leaver
}

// place is where a socket is: an id in a room.
type place struct{ room, id string }

type entry struct {
	member string
	joined int64 // microseconds by Redis's clock; 0 when it was never written
}

// leaver is an entry that left while Redis didn't listen.
type leaver struct {
	member string
	until  time.Time // then it has expired
}

// written is an entry with its place.
type written struct {
	place
	entry
}

// name is what the scripts call it.
func (w written) name() string { return strconv.Itoa(len(w.member)) + ":" + w.member + w.id }

// maxLeaving bounds the memory of leavers; those beyond it expire by themselves.
const maxLeaving = 1 << 16

func newRegister() *register {
	return &register{entries: map[place]entry{}, leaving: map[place]leaver{}}
}

func (r *register) add(w written) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.leaving, w.place)
	r.entries[w.place] = w.entry
}

func (r *register) remove(p place) (e entry, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok = r.entries[p]
	delete(r.entries, p)
	return e, ok
}

// leave notes that an entry must still be taken out of Redis.
func (r *register) leave(w written, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.leaving) < maxLeaving {
		r.leaving[w.place] = leaver{member: w.member, until: until}
	}
}

// left notes that entries have been taken out of Redis.
func (r *register) left(all []written) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range all {
		delete(r.leaving, w.place)
	}
}

// leavers returns the entries that must still be taken out of Redis.
func (r *register) leavers() []written {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []written
	for p, l := range r.leaving {
		if time.Now().After(l.until) {
			delete(r.leaving, p)
			continue
		}
		all = append(all, written{place: p, entry: entry{member: l.member}})
	}
	return all
}

// places returns where this node's sockets are.
func (r *register) places() []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]place, 0, len(r.entries))
	for p := range r.entries {
		all = append(all, p)
	}
	return all
}

// still returns the entries at those of the places where there still is one.
func (r *register) still(places []place) []written {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]written, 0, len(places))
	for _, p := range places {
		if e, ok := r.entries[p]; ok {
			all = append(all, written{place: p, entry: e})
		}
	}
	return all
}

// stamp notes when an entry has joined, the first time that this is known.
func (r *register) stamp(p place, joined int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[p]; ok && e.joined == 0 {
		e.joined = joined
		r.entries[p] = e
	}
}

func (r *register) setDue(due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due = due
}

func (r *register) isDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.due
}
