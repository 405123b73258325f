package bench

import (
	"slices"
	"sync/atomic"
)

// conversation is what all its readers must have in the end: everything that was acknowledged.
type conversation struct {
	last         atomic.Int64 // the highest seq that was acknowledged
	acknowledged atomic.Int64 // how many messages
	open         atomic.Int64 // how many were neither acknowledged nor refused
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

// stream is a conversation as one socket hears it. Not safe for concurrent use.
type stream struct {
	of    *conversation
	guest bool // comes and goes as a member, and so misses what it has no right to

	last     int64  // seq
	gaps     []span // below last
	heard    int64  // messages of this run
	doubled  int64
	disorder int64
}

// span is seqs that were passed over, both inclusive.
type span struct{ from, to int64 }

// receive takes note of a message.
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

// inStep tells whether it has got as far as what was acknowledged.
func (s *stream) inStep() bool { return s.guest || s.last >= s.of.last.Load() }

// forgetLast makes it one that has missed the last message, which is to come again.
func (s *stream) forgetLast() {
	if s.last > 0 && s.heard > 0 {
		s.last--
		s.heard--
	}
}

// judge says what became of the promises. Seqs alone would not show a message that was stored twice, so messages are
// counted, too.
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
