package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		us, other := nodeID{1}, nodeID{2}
		p := newPeers(us, 3*time.Second, 45*time.Second)
		p.listen()
		beat := func(from nodeID, lost uint64) bool {
			return p.hear(envelope{kind: kindBeat, from: from, number: lost})
		}
		expect := func(when string, silent, deaf bool) {
			t.Helper()
			if got := p.silent(); got != silent {
				t.Errorf("%s: silent = %v", when, got)
			}
			if got := p.deaf(); got != deaf {
				t.Errorf("%s: deaf = %v", when, got)
			}
		}
		step := func(d time.Duration) {
			time.Sleep(d)
			beat(us, 0)
		}

		expect("at first", false, false)
		if beat(other, 0) {
			t.Error("a new node that lost nothing")
		}
		step(2 * time.Second)
		if !beat(other, 2) || beat(other, 2) {
			t.Error("a loss is told once")
		}
		if beat(us, 7) {
			t.Error("we know what we have lost ourselves")
		}
		step(2 * time.Second)
		expect("all are there", false, false)
		step(2 * time.Second)
		expect("the other is late", true, false)
		if !beat(other, 3) {
			t.Error("a late loss")
		}
		expect("the other is back", false, false)

		time.Sleep(4 * time.Second)
		expect("nobody is heard", true, true)
		p.listen()
		expect("after reconnecting", false, false)

		step(44 * time.Second)
		expect("the other is long gone", true, false)
		step(2 * time.Second)
		expect("the other is forgotten", false, false)
		if !beat(other, 3) {
			t.Error("a node that we hear for the first time has lost something that we may have wanted")
		}
		p.hear(envelope{kind: kindGoodbye, from: other, number: 3})
		p.hear(envelope{kind: kindGoodbye, from: us})
		expect("after goodbyes", false, false)
		step(4 * time.Second)
		expect("who said goodbye isn't missed", false, false)
	})
}
