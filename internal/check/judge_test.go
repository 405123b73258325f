package check

import (
	"strconv"
	"testing"
	"time"
)

// judge finds each kind of broken promise, and doesn't report what is allowed.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tc := range judgeCases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newExample()
			if tc.do != nil {
				tc.do(c)
			}
			got := c.trial.judge(c.contents).counts()
			for name, n := range got {
				if (n > 0) != (name == tc.found) {
					t.Errorf("%s: %d", name, n)
				}
			}
		})
	}
}

// counts returns the findings by name.
func (v *verdict) counts() map[string]int {
	return map[string]int{
		"missing": v.missing, "doubled": v.doubled, "misordered": v.misordered, "gaps": v.gaps, "unrightful": v.unrightful,
		"unstored": v.unstored, "misnumbered": v.misnumbered, "lostMarks": v.lostMarks, "wrong": len(v.violations), "repeated": v.repeated,
	}
}

// example is a group g:1 with the members a, on tim.v1, and k, on the contract's sockets; b was removed. Messages 1 to 3 say that they
// joined, 4 to 7 are a's, 8 says that b left, 9 and 10 are a's. Every client has received what it should.
type example struct {
	trial    *trial
	contents *contents
	group    *stored
	a, b, k  *clientLog
	began    time.Time
	sends    []*send
}

const exampleGroup = "g:1"

func newExample() *example {
	c := &example{trial: &trial{results: newResults()}, began: time.Now(), group: &stored{last: 10, seqs: map[uint64]int64{}}}
	c.contents = &contents{conversations: map[string]*stored{exampleGroup: c.group}, read: map[side]int64{{"a", exampleGroup}: 9}}
	conversations := []conversation{{key: exampleGroup}}
	a, b := &account{name: "a", conversations: conversations}, &account{name: "b", conversations: conversations}
	results := c.trial.results
	c.a, c.b = results.open(a, "a#1", false), results.open(b, "b#1", false)
	a.devices, b.devices = []*device{{clientLog: c.a}}, []*device{{clientLog: c.b}}
	c.k = results.open(&account{name: "k", conversations: conversations}, "k", true)
	for _, l := range []*clientLog{c.a, c.b, c.k} {
		l.arrive()
	}
	for seq := int64(1); seq <= 10; seq++ {
		c.store(seq)
	}
	results.removed("b", exampleGroup)
	results.marked("a", exampleGroup, 9)
	return c
}

// store stores a message, acknowledges it, and delivers it to the clients that may read it.
func (c *example) store(seq int64) {
	m := storedMessage{seq: seq, sender: "a"}
	switch seq {
	case 1, 2, 3:
		m.event, m.account = "joined", []string{"a", "b", "k"}[seq-1]
	case 8:
		m.event, m.account = "left", "b"
	default:
		m.text = "text " + strconv.FormatInt(seq, 10)
		m.clientID = m.text
		s := &send{account: c.a.account, conversation: conversation{key: exampleGroup}, text: m.text, clientID: m.text}
		c.trial.results.note(s)
		c.trial.results.acknowledge(s, seq)
		c.sends = append(c.sends, s)
	}
	m.hash = fingerprint(m.sender, m.text)
	c.group.messages = append(c.group.messages, m)
	if m.event == "" {
		c.group.seqs[m.hash] = seq
		if seq > 3 {
			c.deliver(c.k, seq)
		}
	}
	if seq > 1 {
		c.deliver(c.a, seq)
	}
	if seq > 2 && seq < 8 {
		c.deliver(c.b, seq)
	}
}

// deliver delivers a stored message to a client, in its newest visit.
func (c *example) deliver(l *clientLog, seq int64) {
	h := heard{seq: seq, hash: c.group.messages[seq-1].hash, at: c.began, visit: len(l.visits) - 1}
	if l.contract {
		h.seq = 0
	}
	l.receive(exampleGroup, h)
}

// forget undoes one delivery.
func (l *clientLog) forget(index int) {
	all := l.heard[exampleGroup]
	l.heard[exampleGroup] = append(all[:index:index], all[index+1:]...)
}

type judgeCase struct {
	name  string
	do    func(*example)
	found string
}

func judgeCases() []judgeCase {
	return []judgeCase{
		{name: "as it should be"},
		{name: "acknowledged and not there", found: "missing", do: func(c *example) { c.sends[0].seq = 11 }},
		{name: "acknowledged as another", found: "missing", do: func(c *example) { c.sends[0].seq = 5 }},
		{name: "acknowledged twice, differently", found: "wrong", do: func(c *example) { c.trial.results.acknowledge(c.sends[0], 5) }},
		{name: "a hole in the numbers", found: "misnumbered", do: func(c *example) { c.group.messages[8].seq = 12 }},
		{name: "the last number is too high", found: "misnumbered", do: func(c *example) { c.group.last = 9 }},
		{name: "heard twice", found: "doubled", do: func(c *example) { c.deliver(c.a, 10) }},
		{name: "heard twice in another visit", found: "doubled", do: func(c *example) { c.a.arrive(); c.deliver(c.a, 10) }},
		{name: "heard late", found: "misordered", do: func(c *example) { c.a.forget(3); c.deliver(c.a, 5) }},
		{name: "never heard", found: "gaps", do: func(c *example) { c.a.forget(3) }},
		{name: "the end was never heard", found: "gaps", do: func(c *example) { c.a.forget(8) }},
		{name: "a hole in a membership that is over", found: "gaps", do: func(c *example) { c.b.forget(2) }},
		{name: "away when the membership ended", do: func(c *example) { c.b.forget(4) }},
		{name: "installed later", do: func(c *example) { c.a.begin(exampleGroup, 3); c.a.forget(0); c.a.forget(0) }},
		{name: "heard and not stored", found: "unstored", do: func(c *example) { c.a.receive(exampleGroup, heard{seq: 11, at: c.began}) }},
		{name: "heard with another text", found: "unstored", do: func(c *example) { c.a.receive(exampleGroup, heard{seq: 6, hash: 1, at: c.began}) }},
		{name: "before it joined", found: "unrightful", do: func(c *example) {
			c.b.heard[exampleGroup] = nil
			for seq := int64(1); seq < 8; seq++ {
				c.deliver(c.b, seq)
			}
		}},
		{name: "long after the removal", found: "unrightful", do: func(c *example) {
			c.began = c.began.Add(time.Minute)
			c.deliver(c.b, 9)
		}},
		{name: "a moment after the removal", do: func(c *example) { c.deliver(c.b, 9) }},
		{name: "long after the session's end", found: "unrightful", do: func(c *example) {
			c.a.forget(8)
			c.a.sessionEnded(0)
			c.began = c.began.Add(time.Minute)
			c.deliver(c.a, 10)
		}},
		{name: "a mark went back", found: "lostMarks", do: func(c *example) { c.trial.results.marked("a", exampleGroup, 10) }},
		{name: "contract: never heard", found: "gaps", do: func(c *example) { c.k.forget(1) }},
		{name: "contract: again after a break", found: "repeated", do: func(c *example) { c.k.arrive(); c.deliver(c.k, 9); c.deliver(c.k, 10) }},
		{name: "contract: again after a clean end", found: "doubled", do: func(c *example) { c.k.leftCleanly(0); c.k.arrive(); c.deliver(c.k, 10) }},
		{name: "contract: twice on one connection", found: "doubled", do: func(c *example) { c.deliver(c.k, 10) }},
		{name: "contract: not stored", found: "unstored", do: func(c *example) { c.k.receive(exampleGroup, heard{hash: 1, at: c.began}) }},
	}
}
