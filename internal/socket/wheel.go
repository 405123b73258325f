package socket

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// wheelSlots is in how many steps the wheel turns around once.
const wheelSlots = 16

// wheel deals the connections out to 16 slots and gives one slot after the other its heartbeat. So an idle connection has no
// timer of its own, and not all ping at once. Safe for concurrent use.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots][]*Conn
	now   int
}

// add gives a connection a heartbeat within the next turn, and one in every turn after it. Called once.
func (w *wheel) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.slot, c.spoke = int32(w.now), int32(len(w.slots[w.now])) //nolint:gosec // a node has fewer connections
	w.slots[c.slot] = append(w.slots[c.slot], c)
}

// remove ends the heartbeats of a connection that was added. Called once.
func (w *wheel) remove(c *Conn) {
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
func (w *wheel) turn(due []*Conn) []*Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = (w.now + 1) % wheelSlots
	return append(due, w.slots[w.now]...)
}

// beat turns the wheel until the server's life ends.
func (s *Server) beat() {
	ticker := time.NewTicker(max(s.Timing.Heartbeat/wheelSlots, time.Millisecond))
	defer ticker.Stop()
	var due []*Conn
	var seen churn
	for {
		select {
		case <-s.life.Done():
			return
		case <-ticker.C:
		}
		due = s.wheel.turn(due[:0])
		for _, c := range due {
			c.tick()
			runtime.Gosched() // lets its writer end before the next one begins, so that a few stacks serve all of them
		}
		clear(due)
		if s.quietAfterChurn(&seen) {
			s.beating.Go(debug.FreeOSMemory)
		}
	}
}

// tick pings the peer, closes a connection whose write stands still, and gives the handler its heartbeat.
func (c *Conn) tick() {
	c.beat()
	c.Guard(c.handler.Heartbeat)
}

func (c *Conn) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.recovered()
	switch {
	case c.sealed:
	case c.since != 0 && c.server.now().sub(c.since) > c.server.Timing.SlowAfter:
		c.beginClose(TryLater, TooSlow, true)
	default:
		c.pinging = true
		c.wake()
	}
}

// churn is what was seen of the coming and going of connections.
type churn struct {
	moves int    // how many had come and gone when it was looked last
	freed int    // … when memory was given back
	at    moment // when that was; 0 for never
}

const (
	// fewMoves is after how many comings and goings memory is given back at the earliest.
	fewMoves = 1000
	// freeEvery is how often memory is given back at most. It costs a whole collection, and whoever opens and closes
	// sockets again and again must not make the server collect all the time.
	freeEvery = time.Minute
)

// quietAfterChurn tells whether many connections have come or gone and, since it was asked last, none. Then what their
// handshakes needed can be given back to the system, which the runtime would keep otherwise. It says so once a minute at most.
func (s *Server) quietAfterChurn(c *churn) bool {
	s.mu.Lock()
	moves, open := s.moves, len(s.open)
	s.mu.Unlock()
	quiet := moves == c.moves
	c.moves = moves
	now := s.now()
	if !quiet || moves-c.freed < max(fewMoves, open/4) || c.at != 0 && now.sub(c.at) < freeEvery {
		return false
	}
	c.freed, c.at = moves, now
	return true
}
