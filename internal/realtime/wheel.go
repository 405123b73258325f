package realtime

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// wheelSlots is in how many steps the wheel turns around.
const wheelSlots = 16

// wheel reminds connections of their heartbeats: of all of a hub's on one goroutine, and of those that are due about
// the same time together, so that an idle connection has no timer of its own. Safe for concurrent use.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots][]*connection
	now   int
}

// add has a connection reminded within a heartbeat, and every one after it. Called once.
func (w *wheel) add(c *connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.slot, c.spoke = int32(w.now), int32(len(w.slots[w.now])) //nolint:gosec // a node has fewer connections
	w.slots[c.slot] = append(w.slots[c.slot], c)
}

// remove ends that. Called once, of a connection that was added.
func (w *wheel) remove(c *connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slot := w.slots[c.slot]
	end := len(slot) - 1
	last := slot[end]
	slot[c.spoke], slot[end] = last, nil
	last.spoke = c.spoke
	w.slots[c.slot] = slot[:end]
}

// turn goes on by a slot and lists the connections in it.
func (w *wheel) turn(due []*connection) []*connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = (w.now + 1) % wheelSlots
	return append(due, w.slots[w.now]...)
}

// beat turns the wheel until the hub's life ends.
func (h *Hub) beat() {
	ticker := time.NewTicker(max(h.Timing.Heartbeat/wheelSlots, time.Millisecond))
	defer ticker.Stop()
	var due []*connection
	var crowd crowd
	for {
		select {
		case <-h.life.Done():
			return
		case <-ticker.C:
		}
		due = h.wheel.turn(due[:0])
		for _, c := range due {
			c.guardLocked(c.tick)
			runtime.Gosched() // so that its writer is done before the next one begins: some stacks will do for all of them
		}
		clear(due)
		if h.settled(&crowd) {
			h.watch.running.Go(debug.FreeOSMemory)
		}
	}
}

// crowd is what was seen of the coming and going of connections.
type crowd struct {
	seen    int    // how many had come and gone when it was looked last
	trimmed int    // … when memory was given back
	at      moment // when that was; 0 for never
}

const (
	// fewMoves is how many connections come and go without a trace.
	fewMoves = 1000
	// trimEvery is how often memory is given back at most: it is a whole collection, and whoever opens and closes sockets
	// again and again must not make the server collect all the time.
	trimEvery = time.Minute
)

// settled tells whether many connections have come or gone and now, for a while, none: what their handshakes needed can
// be given back to the system, which the runtime by itself would keep for the next crowd. It says so once a minute at most.
func (h *Hub) settled(c *crowd) bool {
	h.mu.Lock()
	moves, open := h.moves, len(h.open)
	h.mu.Unlock()
	quiet := moves == c.seen
	c.seen = moves
	now := h.now()
	if !quiet || moves-c.trimmed < max(fewMoves, open/4) || c.at != 0 && now.sub(c.at) < trimEvery {
		return false
	}
	c.trimmed, c.at = moves, now
	return true
}
