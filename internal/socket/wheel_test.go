package socket

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Each connection has its turn once in a turn of the wheel, whoever has gone.
func TestWheel(t *testing.T) {
	t.Parallel()
	var w wheel
	var all []*Conn
	for range 3 {
		for range 5 {
			c := new(Conn)
			w.add(c)
			all = append(all, c)
		}
		w.turn(nil)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for len(all) > 0 {
		var due []*Conn
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
		h := bare(t, Timing{SlowAfter: 10 * time.Second})
		time.Sleep(time.Second) // 0 is no moment
		c := h.bareConn(&quiet{bye: []byte("bye")})
		c.since = h.now()
		c.tick()
		time.Sleep(h.Timing.SlowAfter)
		c.tick()
		if !c.pinging || len(c.queue) != 0 || c.closing != nil {
			t.Fatalf("a write stands still as long as it may: a ping is due: %t, beside %d frames, %v", c.pinging, len(c.queue), c.closing)
		}
		time.Sleep(time.Millisecond)
		c.tick()
		if c.closing == nil || c.closing.code != TryLater {
			t.Errorf("a write stands still longer than it may: %v", c.closing)
		}
		if len(c.queue) != 1 {
			t.Errorf("%d frames are queued, want the last words alone", len(c.queue))
		}
	})
}

// Memory is given back when many connections have come or gone, but once a minute at most, whoever comes and goes.
func TestQuietAfterChurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := bare(t, Timing{SlowAfter: 10 * time.Second})
		var seen churn
		times := 0
		time.Sleep(time.Second)
		for begun := time.Now(); time.Since(begun) < 10*time.Minute; time.Sleep(time.Second) {
			h.moves += 2 * fewMoves
			if h.quietAfterChurn(&seen) {
				t.Error("while they come and go")
			}
			if h.quietAfterChurn(&seen) {
				times++
			}
		}
		if times != 10 {
			t.Errorf("%d times in ten minutes", times)
		}
		h.moves += fewMoves - 1
		time.Sleep(2 * freeEvery)
		h.quietAfterChurn(&seen)
		if !h.quietAfterChurn(&seen) {
			t.Error("what came during the last minute is forgotten")
		}
		h.moves += fewMoves - 1
		time.Sleep(2 * freeEvery)
		h.quietAfterChurn(&seen)
		if h.quietAfterChurn(&seen) {
			t.Error("for a few")
		}
	})
}
