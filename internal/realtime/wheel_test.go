package realtime

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tim/internal/auth"
)

// bareConnection is one that nobody has admitted.
func (h *Hub) bareConnection(k kind) *connection {
	return h.newConnection(k, newID(), auth.Session{Account: "alice", ID: "s"})
}

// A set holds each connection once, however many there are and in whatever order they come and go.
func TestSet(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, fewConnections, fewConnections + 1, 100} {
		var s set
		want := map[*connection]bool{}
		all := make([]*connection, most)
		for i := range all {
			all[i] = new(connection)
		}
		check := func() {
			t.Helper()
			held := map[*connection]bool{}
			n := 0
			s.each(func(c *connection) {
				n++
				held[c] = true
			})
			if s.size() != len(want) || n != len(want) || !maps.Equal(held, want) {
				t.Fatalf("of %d: it holds %d of a size of %d, want %d", most, n, s.size(), len(want))
			}
		}
		for _, c := range all {
			s.add(c)
			s.add(c)
			want[c] = true
			check()
		}
		random := rand.New(rand.NewPCG(1, uint64(most)))
		for range 20 * most {
			c := all[random.IntN(most)]
			if want[c] {
				s.remove(c)
				delete(want, c)
			} else {
				s.remove(c)
				s.add(c)
				want[c] = true
			}
			check()
		}
		for _, c := range all {
			s.remove(c)
			delete(want, c)
			check()
		}
		if s != (set{}) {
			t.Errorf("of %d: an empty one keeps memory", most)
		}
	}
}

// Each connection has its turn once in a turn of the wheel, whoever has gone.
func TestWheel(t *testing.T) {
	t.Parallel()
	var w wheel
	var all []*connection
	for range 3 {
		for range 5 {
			c := new(connection)
			w.add(c)
			all = append(all, c)
		}
		w.turn(nil)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for len(all) > 0 {
		var due []*connection
		for range wheelSlots {
			due = w.turn(due)
		}
		if len(due) != len(all) {
			t.Fatalf("%d have their turn, want %d", len(due), len(all))
		}
		for _, c := range all {
			if !slices.Contains(due, c) {
				t.Fatal("one is left out")
			}
		}
		gone := random.IntN(len(all))
		w.remove(all[gone])
		all = slices.Delete(all, gone, gone+1)
	}
}

// A heartbeat asks a peer that reads for a sign of life, and closes a connection whose write stands still.
func TestTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := bare(t, Timing{})
		time.Sleep(time.Second) // 0 is no moment
		c := h.bareConnection(kindModern)
		c.since = h.now()
		c.guardLocked(c.tick)
		time.Sleep(h.Timing.SlowAfter)
		c.guardLocked(c.tick)
		if !c.pinging || len(c.queue) != 0 || c.closing != nil {
			t.Fatalf("a write stands still as long as it may: a ping is due: %t, beside %d frames, %v", c.pinging, len(c.queue), c.closing)
		}
		time.Sleep(time.Millisecond)
		c.guardLocked(c.tick)
		if c.closing == nil || c.closing.Code != int(codeTooSlow) {
			t.Errorf("a write stands still longer than it may: %v", c.closing)
		}
		if len(c.queue) != 1 {
			t.Errorf("%d frames are queued, want the bye alone", len(c.queue))
		}
	})
}

// A token that is renewed before or after there is a timer for its end ends when the new one does.
func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := bare(t, Timing{})
		c := h.bareConnection(kindModern)
		beat := h.Timing.Heartbeat
		on := func(d time.Duration) { // as the wheel does
			for end := time.Now().Add(d); time.Now().Before(end); {
				time.Sleep(min(beat, time.Until(end)))
				synctest.Wait()
				c.guardLocked(c.tick)
			}
		}
		timed := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.expiry != nil
		}
		c.expireAt(time.Now().Add(10 * beat)) // no timer yet
		on(7 * beat)
		if timed() {
			t.Error("there is a timer for an end that is far")
		}
		c.expireAt(time.Now().Add(10 * beat))
		on(9 * beat)
		if !timed() {
			t.Error("there is no timer for an end that is near")
		}
		c.expireAt(time.Now().Add(10 * beat)) // there was one
		on(2 * beat)
		c.expireAt(time.Now().Add(beat / 2)) // near at once
		c.expireAt(time.Now().Add(beat))
		c.guardLocked(c.expire) // the first timer's, which was late
		on(beat - time.Millisecond)
		if c.shutting() {
			t.Fatalf("closed too early: %v", c.closing)
		}
		on(time.Millisecond)
		synctest.Wait()
		if c.closing == nil || c.closing.Code != int(codeTokenExpired) {
			t.Errorf("after its end: %v", c.closing)
		}
	})
}

// Memory is given back when a crowd has come or gone, but once a minute at most, whoever comes and goes.
func TestSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := bare(t, Timing{})
		var seen crowd
		times := 0
		time.Sleep(time.Second)
		for begun := time.Now(); time.Since(begun) < 10*time.Minute; time.Sleep(time.Second) {
			h.moves += 2 * fewMoves
			if h.settled(&seen) {
				t.Error("in the middle of a crowd")
			}
			if h.settled(&seen) {
				times++
			}
		}
		if times != 10 {
			t.Errorf("%d times in ten minutes", times)
		}
		h.moves += fewMoves - 1
		time.Sleep(2 * trimEvery)
		h.settled(&seen)
		if !h.settled(&seen) {
			t.Error("what came during the last minute is forgotten")
		}
		h.moves += fewMoves - 1
		time.Sleep(2 * trimEvery)
		h.settled(&seen)
		if h.settled(&seen) {
			t.Error("for a few")
		}
	})
}
