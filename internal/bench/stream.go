package bench

import (
	"slices"
	"sync/atomic"
)

// conversation counts what was acknowledged, which all its readers must have in the end. Safe for concurrent use.
type conversation struct {
	last         atomic.Int64 // the highest seq that was acknowledged
	acknowledged atomic.Int64 // how many messages
	open         atomic.Int64 // how many are neither acknowledged nor refused
}

func (c *conversation) acknowledge(seq int64) {
	c.open.Add(-1)
	c.acknowledged.Add(1)
	for {
		last := c.last.Load()
		if seq <= last || c.last.CompareAndSwap(last, seq) {
			return
		}
	}
}

// stream is a conversation as one socket receives it. Not safe for concurrent use.
type stream struct {
	of    *conversation
	guest bool // a member for some of the time, so gaps are no loss

	last     int64  // seq
	gaps     []span // below last
	heard    int64  // messages of this run
	doubled  int64
	disorder int64
}

// span is a range of seqs that were skipped, both ends inclusive.
type span struct{ from, to int64 }

// receive notes a message. ours tells whether this run sent it.
func (s *stream) receive(seq int64, ours bool) {
	if ours {
		s.heard++
	}
	if seq > s.last {
		if seq > s.last+1 && !s.guest {
			s.gaps = append(s.gaps, span{s.last + 1, seq - 1})
		}
		s.last = seq
		return
	}
	for i, gap := range s.gaps {
		if seq < gap.from || seq > gap.to {
			continue
		}
		s.disorder++
		s.gaps = slices.Delete(s.gaps, i, i+1)
		if seq > gap.from {
			s.gaps = append(s.gaps, span{gap.from, seq - 1})
		}
		if seq < gap.to {
			s.gaps = append(s.gaps, span{seq + 1, gap.to})
		}
		return
	}
	s.doubled++
}

// inStep tells whether the socket has received everything that was acknowledged.
func (s *stream) inStep() bool { return s.guest || s.last >= s.of.last.Load() }

// forgetLast makes the stream one that lacks the last message, so that the server has to send it again.
func (s *stream) forgetLast() {
	if s.last > 0 && s.heard > 0 {
		s.last--
		s.heard--
	}
}

// judge counts the broken promises. A message that was stored twice has two seqs and leaves no gap, so messages are counted as
// well.
func (s *stream) judge() (p Promises) {
	p.OutOfOrder, p.Doubled = s.disorder, s.doubled
	if s.guest {
		return p
	}
	for _, gap := range s.gaps {
		p.Lost += gap.to - gap.from + 1
	}
	p.Lost += max(0, s.of.last.Load()-s.last)
	acknowledged := s.of.acknowledged.Load()
	p.Lost = max(p.Lost, acknowledged-s.heard)
	p.Doubled = max(p.Doubled, s.heard-acknowledged-s.of.open.Load())
	return p
}
