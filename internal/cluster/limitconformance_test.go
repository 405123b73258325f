package cluster_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tim/internal/cluster"
)

func limitsAreShared(t *testing.T, open installation) {
	ctx, a, b := t.Context(), open(options{}), open(options{})
	here := a.Limit("one", 3, time.Hour)
	there := here
	if a != b { // a node alone shares with nobody
		there = b.Limit("one", 3, time.Hour)
	}
	other := a.Limit("other", 1, time.Hour)
	none := a.Limit("none", 0, time.Hour)
	free := func(what string, l *cluster.Limit, key string, want bool) {
		t.Helper()
		if wait := l.Wait(ctx, key); (wait == 0) != want || wait > time.Hour {
			t.Errorf("%s: %s waits %s", what, key, wait)
		}
	}
	here.Spend(ctx, "x")
	free("one spent", there, "x", true)
	if wait := there.Take(ctx, "x"); wait != 0 {
		t.Errorf("the second: wait %s", wait)
	}
	there.Spend(ctx, "x")
	for _, l := range []*cluster.Limit{here, there} {
		free("three spent", l, "x", false)
		free("three spent", l, "y", true)
		if wait := l.Take(ctx, "x"); wait <= 0 {
			t.Error("a fourth is taken")
		}
	}
	free("another limit", other, "x", true)
	here.Return(ctx, "x")
	free("given back", there, "x", true)
	if wait := there.Take(ctx, "x"); wait != 0 {
		t.Errorf("what was given back: wait %s", wait)
	}
	free("taken again", here, "x", false)
	for range 100 {
		none.Spend(ctx, "x")
	}
	free("no limit", none, "x", true)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	here.Spend(ended, "z") // the client has gone: it counts all the same
	here.Spend(ended, "z")
	here.Spend(ended, "z")
	free("by one who has gone", there, "z", false)
	for _, key := range []string{"", "\x00\xff", strings.Repeat("x", 10000), "{0}", "one:x"} {
		here.Spend(ctx, key)
		free("odd keys", there, key, true)
	}
}

func limitsRefill(t *testing.T, open installation) {
	ctx := t.Context()
	l := open(options{}).Limit("refill", 2, 50*time.Millisecond)
	for range 5 {
		l.Spend(ctx, "x")
	}
	if wait := l.Wait(ctx, "x"); wait > 50*time.Millisecond {
		t.Errorf("wait %s", wait)
	}
	await(t, "a token", func() bool { return l.Take(ctx, "x") == 0 })
	await(t, "two tokens", func() bool { return l.Wait(ctx, "x") == 0 })
}

// Many takers on two nodes get as many tokens as there are.
func limitsAtOnce(t *testing.T, open installation) {
	ctx, a, b := t.Context(), open(options{}), open(options{})
	limits := []*cluster.Limit{a.Limit("many", 10, time.Hour)}
	if a != b {
		limits = append(limits, b.Limit("many", 10, time.Hour))
	}
	var work sync.WaitGroup
	var taken atomic.Int64
	for i := range 60 {
		work.Go(func() {
			if limits[i%len(limits)].Take(ctx, "x") == 0 {
				taken.Add(1)
			}
		})
	}
	work.Wait()
	if taken.Load() != 10 {
		t.Errorf("%d tokens were taken of 10", taken.Load())
	}
}
