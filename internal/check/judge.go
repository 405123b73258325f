package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// grace is how long after its answer the end of a right may take to reach every node while the bus is away.
const grace = 5 * time.Second

// verdict is the result of the comparison. All numbers but those of the last line must be 0.
type verdict struct {
	missing, doubled, misordered, gaps, unrightful int
	unstored, misnumbered, lostMarks, wrongHistory int
	differing                                      int // members of a cluster that hold something else than the first
	violations, unprovoked                         []string
	examples                                       []string

	stored, acknowledged, delivered, repeated, late, failures int
}

// maxExamples is how many findings the report describes.
const maxExamples = 20

func (v *verdict) findf(count *int, format string, args ...any) {
	*count++
	if len(v.examples) < maxExamples {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// judge compares everything that clients received with the database.
func (t *trial) judge(contents *contents) *verdict {
	v := &verdict{}
	t.results.mu.Lock()
	defer t.results.mu.Unlock()
	v.violations = slices.Clone(t.results.violations)
	for key, s := range contents.conversations {
		v.stored += len(s.messages)
		v.numbers(key, s)
	}
	for _, s := range t.results.sends {
		v.acknowledgement(s, contents.conversations[s.conversation.key])
	}
	for at, seq := range t.results.marks {
		if contents.read[at] < seq && len(t.results.removals[at]) == 0 {
			v.findf(&v.lostMarks, "%s had read up to %d of %s; stored is %d", at.account, seq, at.conversation, contents.read[at])
		}
	}
	for _, l := range t.results.logs {
		l.mu.Lock()
		for key, s := range contents.conversations {
			v.compareLog(l, key, s, t.results.removals[side{l.account.name, key}])
		}
		l.mu.Unlock()
	}
	return v
}

// numbers checks that a conversation is numbered 1, 2, 3 … and has no text twice.
func (v *verdict) numbers(key string, s *stored) {
	if s.last != int64(len(s.messages)) {
		v.findf(&v.misnumbered, "%s has %d messages and says %d", key, len(s.messages), s.last)
	}
	seen := make(map[uint64]bool, len(s.messages))
	for i, m := range s.messages {
		if m.seq != int64(i)+1 {
			v.findf(&v.misnumbered, "%s: message %d has the number %d", key, i+1, m.seq)
		}
		if m.event == "" && seen[m.hash] {
			v.findf(&v.doubled, "%s: %q is stored twice", key, m.text)
		}
		seen[m.hash] = true
	}
}

func (v *verdict) acknowledgement(s *send, in *stored) {
	if s.seq == 0 {
		return
	}
	v.acknowledged++
	if in == nil || s.seq > int64(len(in.messages)) {
		v.findf(&v.missing, "%s: %q was acknowledged as %d and isn't there", s.conversation.key, s.text, s.seq)
		return
	}
	if m := in.messages[s.seq-1]; m.text != s.text || m.sender != s.account.name || m.clientID != s.clientID {
		v.findf(&v.missing, "%s: %q was acknowledged as %d, which is %q", s.conversation.key, s.text, s.seq, m.text)
	}
}

// compareLog compares what one client received of one conversation. The caller holds the log's mutex.
func (v *verdict) compareLog(l *clientLog, key string, s *stored, removals []time.Time) {
	memberships := s.memberships(l.account.name)
	if strings.HasPrefix(key, "d:") {
		if !slices.ContainsFunc(l.account.conversations, func(c conversation) bool { return c.key == key }) {
			return
		}
		memberships = []membership{{}}
	}
	got := reading{v: v, l: l, key: key, s: s, had: make(map[int64]bool)}
	for _, h := range l.heard[key] {
		v.delivered++
		seq, ok := got.identify(h)
		if !ok {
			v.findf(&v.unstored, "%s, %s: something was delivered that isn't stored (as %d)", l.who, key, h.seq)
			continue
		}
		got.take(seq, h)
		v.right(l, key, seq, h, memberships, removals)
	}
	got.complete(memberships)
}

// right checks that the client might read a message: by its membership, and by its session. What arrives within the grace is counted
// apart.
func (v *verdict) right(l *clientLog, key string, seq int64, h heard, memberships []membership, removals []time.Time) {
	if ended := l.visits[h.visit].ended; !ended.IsZero() && h.at.After(ended) {
		if h.at.Sub(ended) > grace {
			v.findf(&v.unrightful, "%s, %s: %d came %v after the session's end", l.who, key, seq, h.at.Sub(ended))
		} else if h.at.Sub(ended) > time.Second {
			v.late++
		}
	}
	left := -1
	for i, m := range memberships {
		if seq > m.after && (m.upTo == 0 || seq <= m.upTo) {
			return
		}
		if seq > m.after {
			left = i
		}
	}
	switch {
	case left < 0 || left >= len(removals):
		v.findf(&v.unrightful, "%s, %s: %d is not of its membership", l.who, key, seq)
	case h.at.Sub(removals[left]) > grace:
		v.findf(&v.unrightful, "%s, %s: %d came %v after the removal", l.who, key, seq, h.at.Sub(removals[left]))
	case h.at.Sub(removals[left]) > time.Second:
		v.late++
	}
}

// reading checks what one client received of one conversation, in the order in which it arrived.
type reading struct {
	v   *verdict
	l   *clientLog
	key string
	s   *stored

	had     map[int64]bool
	highest int64
	inVisit int64 // the highest of the present visit
	visit   int
	broken  bool // the visit before wasn't closed cleanly
}

// identify returns the seq of a message that was received, if it is stored.
func (r *reading) identify(h heard) (int64, bool) {
	if r.l.contract {
		seq, ok := r.s.seqs[h.hash]
		return seq, ok
	}
	if h.seq < 1 || h.seq > int64(len(r.s.messages)) || r.s.messages[h.seq-1].hash != h.hash {
		return 0, false
	}
	return h.seq, true
}

// take checks that a message is new, and in order. The contract's sockets may repeat what arrived before an unclean end.
func (r *reading) take(seq int64, h heard) {
	if h.visit != r.visit {
		r.broken = len(r.had) > 0 && !r.l.visits[r.visit].clean
		r.visit, r.inVisit = h.visit, 0
	}
	switch {
	case r.had[seq] && r.l.contract && r.broken && seq > r.inVisit:
		r.v.repeated++
	case r.had[seq]:
		r.v.findf(&r.v.doubled, "%s, %s: %d came twice", r.l.who, r.key, seq)
	case seq < r.highest:
		r.v.findf(&r.v.misordered, "%s, %s: %d came after %d", r.l.who, r.key, seq, r.highest)
	}
	r.had[seq] = true
	r.highest, r.inVisit = max(r.highest, seq), max(r.inVisit, seq)
}

// complete checks that nothing is missing. Of the present membership that is everything after its beginning, or after the client
// was installed. Of an earlier membership, which may have ended while the client was away, it is what lies between the messages
// that arrived.
func (r *reading) complete(memberships []membership) {
	if r.l.contract && len(r.l.visits) == 0 || !r.l.contract && !r.isLast() {
		return
	}
	for _, m := range memberships {
		from, to := max(m.after, r.l.base[r.key]), r.s.last
		if m.upTo != 0 {
			from, to = r.span(m)
		}
		for seq := from + 1; seq <= to; seq++ {
			if r.shown(seq) && !r.had[seq] {
				r.v.findf(&r.v.gaps, "%s, %s: %d never came", r.l.who, r.key, seq)
			}
		}
	}
}

// span returns the range between the first and the last message that arrived of an earlier membership.
func (r *reading) span(m membership) (after, upTo int64) {
	after = m.upTo
	for seq := range r.had {
		if seq > m.after && seq <= m.upTo {
			after, upTo = min(after, seq), max(upTo, seq)
		}
	}
	return after, upTo
}

// shown tells whether the server sends a message to this client: the contract's sockets have no notices, and one to one no echo.
func (r *reading) shown(seq int64) bool {
	m := r.s.messages[seq-1]
	if !r.l.contract {
		return true
	}
	return m.event == "" && (!strings.HasPrefix(r.key, "d:") || m.sender != r.l.account.name)
}

// isLast tells whether this is the log of what the device has installed now, so that it lasted to the end.
func (r *reading) isLast() bool {
	return slices.ContainsFunc(r.l.account.devices, func(d *device) bool { return d.installed() == r.l })
}
