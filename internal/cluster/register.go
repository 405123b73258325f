package cluster

import (
	"strconv"
	"sync"
	"time"
)

// register is what this node knows of the presence of its own sockets, in the rooms of one lane. Redis can be rebuilt from the
// registers of all nodes. Safe for concurrent use.
type register struct {
	// A refresh holds writing while it writes what it has read from here. Whoever removes entries from Redis shares it.
	// Otherwise a refresh could bring back an entry that has just been removed.
	writing sync.RWMutex

	mu      sync.Mutex
	due     bool // a script has failed since the last refresh
	entries map[place]entry
	leaving map[place]leaver
}

// place is a socket in a room.
type place struct{ room, id string }

type entry struct {
	member string
	joined int64 // in µs since 1970 by Redis's clock; 0 until Redis has the entry
}

// leaver is an entry that was removed while Redis couldn't be reached.
type leaver struct {
	member string
	until  time.Time // when the entry expires in Redis
}

// written is an entry with its place.
type written struct {
	place
	entry
}

// name is the entry's name in the scripts.
func (w written) name() string { return strconv.Itoa(len(w.member)) + ":" + w.member + w.id }

// maxLeaving bounds the number of leavers. Those beyond it expire in Redis.
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

// leave notes that an entry must still be removed from Redis.
func (r *register) leave(w written, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.leaving) < maxLeaving {
		r.leaving[w.place] = leaver{member: w.member, until: until}
	}
}

// left notes that entries were removed from Redis.
func (r *register) left(all []written) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range all {
		delete(r.leaving, w.place)
	}
}

// leavers returns the entries that must still be removed from Redis.
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

// places returns the places of this node's sockets.
func (r *register) places() []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]place, 0, len(r.entries))
	for p := range r.entries {
		all = append(all, p)
	}
	return all
}

// still returns the entries at places, without those that were removed meanwhile.
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

// stamp notes when an entry joined, if that isn't known yet.
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
