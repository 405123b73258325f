package pace

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	t.Parallel()
	p, now := New(2, 3), time.Now()
	for i, step := range []struct {
		account string
		after   time.Duration
		wait    time.Duration // 0 if it may send
	}{
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, time.Second / 2},
		{"a", 0, time.Second / 2}, // a refusal doesn't count
		{"b", 0, 0},
		{"a", 400 * time.Millisecond, 100 * time.Millisecond},
		{"a", 100 * time.Millisecond, 0},
		{"a", 0, time.Second / 2},
		{"a", time.Hour, 0},
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, time.Second / 2},
	} {
		now = now.Add(step.after)
		if got := p.Try(step.account, now); (got - step.wait).Abs() > time.Millisecond {
			t.Errorf("%d: %s must wait %s, want %s", i, step.account, got, step.wait)
		}
	}
}

// What was sent counts, however much it is; who comes next waits for that, too.
func TestTake(t *testing.T) {
	t.Parallel()
	p, now := New(2, 3), time.Now()
	for i, step := range []struct {
		messages int
		wait     time.Duration
	}{
		{0, 0},
		{3, 0},
		{1, 500 * time.Millisecond},
		{1, time.Second},
		{10, 6 * time.Second},
		{-1, 0},
		{1, 6500 * time.Millisecond},
	} {
		if got := p.Take("a", step.messages, now); (got - step.wait).Abs() > time.Millisecond {
			t.Errorf("%d: must wait %s, want %s", i, got, step.wait)
		}
	}
	if got := p.Try("a", now); got < 6*time.Second {
		t.Errorf("then a message must wait %s", got)
	}
	if got := p.Take("b", 3, now); got != 0 {
		t.Errorf("another account must wait %s", got)
	}
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	for _, p := range []*Pace{New(0, 5), New(5, 0), New(0, 0)} {
		for range 10 {
			if p.Try("a", time.Now()) != 0 || p.Take("a", 100, time.Now()) != 0 {
				t.Error("there is a limit")
			}
		}
	}
}

func (p *Pace) remembered() (accounts int) {
	for i := range p.shards {
		accounts += len(p.shards[i].limiters)
	}
	return accounts
}

// However many accounts send, the number of those remembered is bounded. Idle ones are forgotten before busy ones.
func TestBound(t *testing.T) {
	t.Parallel()
	p, now := New(1, 2), time.Now()
	for i := range 10_000 {
		p.Try(fmt.Sprint("quiet", i), now)
	}
	if got := p.remembered(); got != 10_000 {
		t.Errorf("%d are remembered", got)
	}
	now = now.Add(time.Minute)
	p.Take("busy", 2, now)
	for i := range 10_000 {
		p.Try(fmt.Sprint("later", i), now)
	}
	if got := p.remembered(); got > 20_000 {
		t.Errorf("%d are remembered", got)
	}
	if p.Try("busy", now) == 0 {
		t.Error("the busy one may send")
	}
	for i := range 4 * shards * maxPaced { // each of them has just sent
		p.Try(fmt.Sprint("flood", i), now)
	}
	if got := p.remembered(); got > shards*maxPaced {
		t.Errorf("%d are remembered", got)
	}
	now = now.Add(time.Minute)
	for i := range 4 * shards * maxPaced { // one after the other
		now = now.Add(2 * time.Second)
		p.Try(fmt.Sprint("slow", i), now)
	}
	if got := p.remembered(); got > shards*fewPaced {
		t.Errorf("%d are remembered", got)
	}
}

// Messages that come at once are counted one by one.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	p, now := New(1, 50), time.Now()
	var sent atomic.Int64
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 20 {
				if p.Try("a", now) == 0 {
					sent.Add(1)
				}
			}
		})
	}
	work.Wait()
	if sent.Load() != 50 {
		t.Errorf("%d were sent", sent.Load())
	}
}

func BenchmarkTake(b *testing.B) {
	p := New(1e12, 1<<30)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Take("alice", 1, time.Now())
		}
	})
}
