package check

import (
	"strconv"
	"testing"
	"time"
)

// A judge who finds nothing is no judge: each kind of wrong is found, and what is allowed isn't.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tc := range judgeCases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCourt()
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

// counts are the findings by name.
func (v *verdict) counts() map[string]int {
	return map[string]int{
		"missing": v.missing, "doubled": v.doubled, "misordered": v.misordered, "gaps": v.gaps, "unrightful": v.unrightful,
		"unstored": v.unstored, "misnumbered": v.misnumbered, "lostMarks": v.lostMarks, "wrong": len(v.violations), "repeated": v.repeated,
	}
}

// court is a group g:1 whose members are a, on tim.v1, and k, on the contract's sockets; b was removed. Its messages: 1 to
// 3 say that they joined, 4 to 7 are a's, 8 says that b left, 9 and 10 are a's. Everybody was told what they should be.
type court struct {
	trial    *trial
	contents *contents
	group    *stored
	a, b, k  *clientLog
	began    time.Time
	sends    []*send
}

const courtGroup = "g:1"

func newCourt() *court {
	c := &court{trial: &trial{results: newResults()}, began: time.Now(), group: &stored{last: 10, seqs: map[uint64]int64{}}}
	c.contents = &contents{conversations: map[string]*stored{courtGroup: c.group}, read: map[side]int64{{"a", courtGroup}: 9}}
	conversations := []conversation{{key: courtGroup}}
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
	results.removed("b", courtGroup)
	results.marked("a", courtGroup, 9)
	return c
}

// store stores a message, acknowledges it, and tells it to whom it concerns.
func (c *court) store(seq int64) {
	m := storedMessage{seq: seq, sender: "a"}
	switch seq {
	case 1, 2, 3:
		m.event, m.account = "joined", []string{"a", "b", "k"}[seq-1]
	case 8:
		m.event, m.account = "left", "b"
	default:
		m.text = "text " + strconv.FormatInt(seq, 10)
		m.clientID = m.text
		s := &send{account: c.a.account, conversation: conversation{key: courtGroup}, text: m.text, clientID: m.text}
		c.trial.results.note(s)
		c.trial.results.acknowledge(s, seq)
		c.sends = append(c.sends, s)
	}
	m.hash = fingerprint(m.sender, m.text)
	c.group.messages = append(c.group.messages, m)
	if m.event == "" {
		c.group.seqs[m.hash] = seq
		if seq > 3 {
			c.reportProgress(c.k, seq)
		}
	}
	if seq > 1 {
		c.reportProgress(c.a, seq)
	}
	if seq > 2 && seq < 8 {
		c.reportProgress(c.b, seq)
	}
}

// reportProgress delivers a stored message to a client, in its newest visit.
func (c *court) reportProgress(l *clientLog, seq int64) {
	h := heard{seq: seq, hash: c.group.messages[seq-1].hash, at: c.began, visit: len(l.visits) - 1}
	if l.contract {
		h.seq = 0
	}
	l.receive(courtGroup, h)
}

// forget undoes one delivery.
func (l *clientLog) forget(index int) {
	all := l.heard[courtGroup]
	l.heard[courtGroup] = append(all[:index:index], all[index+1:]...)
}

type judgeCase struct {
	name  string
	do    func(*court)
	found string
}

func judgeCases() []judgeCase {
	return []judgeCase{
		{name: "as it should be"},
		{name: "acknowledged and not there", found: "missing", do: func(c *court) { c.sends[0].seq = 11 }},
		{name: "acknowledged as another", found: "missing", do: func(c *court) { c.sends[0].seq = 5 }},
		{name: "acknowledged twice, differently", found: "wrong", do: func(c *court) { c.trial.results.acknowledge(c.sends[0], 5) }},
		{name: "a hole in the numbers", found: "misnumbered", do: func(c *court) { c.group.messages[8].seq = 12 }},
		{name: "the last number is too high", found: "misnumbered", do: func(c *court) { c.group.last = 9 }},
		{name: "heard twice", found: "doubled", do: func(c *court) { c.reportProgress(c.a, 10) }},
		{name: "heard twice in another visit", found: "doubled", do: func(c *court) { c.a.arrive(); c.reportProgress(c.a, 10) }},
		{name: "heard late", found: "misordered", do: func(c *court) { c.a.forget(3); c.reportProgress(c.a, 5) }},
		{name: "never heard", found: "gaps", do: func(c *court) { c.a.forget(3) }},
		{name: "the end was never heard", found: "gaps", do: func(c *court) { c.a.forget(8) }},
		{name: "a hole in a membership that is over", found: "gaps", do: func(c *court) { c.b.forget(2) }},
		{name: "away when the membership ended", do: func(c *court) { c.b.forget(4) }},
		{name: "installed later", do: func(c *court) { c.a.begin(courtGroup, 3); c.a.forget(0); c.a.forget(0) }},
		{name: "heard and not stored", found: "unstored", do: func(c *court) { c.a.receive(courtGroup, heard{seq: 11, at: c.began}) }},
		{name: "heard with another text", found: "unstored", do: func(c *court) { c.a.receive(courtGroup, heard{seq: 6, hash: 1, at: c.began}) }},
		{name: "before it joined", found: "unrightful", do: func(c *court) {
			c.b.heard[courtGroup] = nil
			for seq := int64(1); seq < 8; seq++ {
				c.reportProgress(c.b, seq)
			}
		}},
		{name: "long after the removal", found: "unrightful", do: func(c *court) {
			c.began = c.began.Add(time.Minute)
			c.reportProgress(c.b, 9)
		}},
		{name: "a moment after the removal", do: func(c *court) { c.reportProgress(c.b, 9) }},
		{name: "long after the session's end", found: "unrightful", do: func(c *court) {
			c.a.forget(8)
			c.a.sessionEnded(0)
			c.began = c.began.Add(time.Minute)
			c.reportProgress(c.a, 10)
		}},
		{name: "a mark went back", found: "lostMarks", do: func(c *court) { c.trial.results.marked("a", courtGroup, 10) }},
		{name: "contract: never heard", found: "gaps", do: func(c *court) { c.k.forget(1) }},
		{name: "contract: again after a break", found: "repeated", do: func(c *court) { c.k.arrive(); c.reportProgress(c.k, 9); c.reportProgress(c.k, 10) }},
		{name: "contract: again after a clean end", found: "doubled", do: func(c *court) { c.k.leftCleanly(0); c.k.arrive(); c.reportProgress(c.k, 10) }},
		{name: "contract: twice on one connection", found: "doubled", do: func(c *court) { c.reportProgress(c.k, 10) }},
		{name: "contract: not stored", found: "unstored", do: func(c *court) { c.k.receive(courtGroup, heard{hash: 1, at: c.began}) }},
	}
}
