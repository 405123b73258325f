package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"tim/internal/servers"
)

const (
	troubleLasts = 3 * time.Second // on average
	peaceLasts   = 2 * time.Second
	mendTimeout  = 90 * time.Second
	// aftermath is how long after the database was in trouble connections may still end with marks unstored: as long as
	// a statement may take.
	aftermath = 15 * time.Second
)

// trouble breaks what can break, one thing or two at a time, and mends it.
type trouble struct {
	t      *trial
	random *rand.Rand
	err    error // what could not be mended; after run
	did    map[string]int

	mu       sync.Mutex
	database time.Time // when it was last in trouble, or is
}

// mishap is something that breaks. strike and mend are called one after the other, mend also after a strike that failed.
type mishap struct {
	subject      string // two at once concern different ones
	name         string
	strike, mend func(context.Context) error
	ofNode       bool // a node comes back only when what it needs has
	ofDatabase   bool
}

func newTrouble(t *trial) *trouble {
	return &trouble{t: t, random: t.random("trouble"), did: make(map[string]int)}
}

// run breaks and mends until ctx ends, and leaves everything mended.
func (tr *trouble) run(ctx context.Context) {
	for rest(ctx, nil, about(tr.random, peaceLasts)) {
		chosen := []mishap{tr.choose()}
		if tr.random.IntN(5) == 0 {
			if second := tr.choose(); second.subject != chosen[0].subject {
				chosen = append(chosen, second)
			}
		}
		lasts := time.Second/2 + about(tr.random, troubleLasts)
		if err := tr.suffer(ctx, chosen, lasts); err != nil {
			tr.err = err
			return
		}
	}
}

// suffer lets things be broken for some time.
func (tr *trouble) suffer(ctx context.Context, chosen []mishap, lasts time.Duration) error {
	mending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lasts+mendTimeout)
	defer cancel()
	var errs []error
	for _, m := range chosen {
		tr.t.sayf("%s", m.name)
		tr.did[m.name]++
		tr.noteDatabase(m, lasts+mendTimeout)
		errs = append(errs, m.strike(mending))
	}
	rest(ctx, nil, lasts)
	slices.SortStableFunc(chosen, func(a, b mishap) int { return cmp.Compare(order(a), order(b)) })
	for _, m := range chosen {
		errs = append(errs, m.mend(mending))
		tr.noteDatabase(m, 0)
		tr.t.sayf("%s: mended", m.name)
	}
	return errors.Join(errs...)
}

// order is in which things are mended.
func order(m mishap) int {
	if m.ofNode {
		return 1
	}
	return 0
}

// noteDatabase notes that the database is in trouble for some time from now on.
func (tr *trouble) noteDatabase(m mishap, lasts time.Duration) {
	if !m.ofDatabase {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.database = time.Now().Add(lasts)
}

// databaseIsFine tells whether it is so long ago that the database was in trouble that nothing follows from it any more.
func (tr *trouble) databaseIsFine() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return time.Since(tr.database) > aftermath
}

// choose picks what breaks next among what there is.
func (tr *trouble) choose() mishap {
	site := tr.t.site
	n := site.nodes[tr.random.IntN(len(site.nodes))]
	choices := []func() mishap{
		func() mishap { return killed(n) }, func() mishap { return restarted(n) }, func() mishap { return paused(n) },
	}
	if site.stack != nil {
		choices = append(choices, func() mishap { return tr.server("MariaDB", site.stack.MariaDB, true) }, func() mishap { return tr.cut(n, "database", n.database) })
		one := tr.random.IntN(len(site.stack.Redis))
		name := "Redis"
		if len(site.stack.Redis) > 1 {
			name = fmt.Sprintf("Redis master %d", one+1)
		}
		choices = append(choices, func() mishap { return tr.server(name, site.stack.Redis[one], false) })
		if n.redis != nil {
			choices = append(choices, func() mishap { return tr.cut(n, "Redis", n.redis) }, func() mishap { return tr.cut(n, "both", n.redis, n.database) })
		}
	}
	return choices[tr.random.IntN(len(choices))]()
}

// killed ends a node as a power cut does.
func killed(n *node) mishap {
	return mishap{
		subject: n.name, ofNode: true,
		name:   n.name + " is killed (-9)",
		strike: func(context.Context) error { return n.Kill() },
		mend:   n.StartPatiently,
	}
}

// restarted stops a node in peace, as for an upgrade.
func restarted(n *node) mishap {
	return mishap{
		subject: n.name, ofNode: true,
		name:   n.name + " is stopped",
		strike: func(context.Context) error { return n.Stop() },
		mend:   n.StartPatiently,
	}
}

// paused lets a node fall silent, as a machine does that swaps.
func paused(n *node) mishap {
	return mishap{
		subject: n.name, ofNode: true,
		name:   n.name + " stands still",
		strike: func(context.Context) error { return n.Pause() },
		mend:   func(context.Context) error { return n.Resume() },
	}
}

// server kills a server that the nodes stand on, or lets it fall silent. A Redis has lost its data when it comes back.
func (tr *trouble) server(name string, s *servers.Server, ofDatabase bool) mishap {
	if tr.random.IntN(2) == 0 {
		return mishap{
			subject:    name,
			name:       name + " is killed (-9)",
			strike:     func(context.Context) error { return s.Kill() },
			mend:       func(context.Context) error { return s.Start() },
			ofDatabase: ofDatabase,
		}
	}
	return mishap{
		subject:    name,
		name:       name + " stands still",
		strike:     func(context.Context) error { return s.Pause() },
		mend:       func(context.Context) error { return s.Resume() },
		ofDatabase: ofDatabase,
	}
}

// cut separates one node from what it needs, so that it knows at once, or so that packets are lost.
func (tr *trouble) cut(n *node, from string, gates ...*gate) mishap {
	state, how := gateCut, " is cut from "
	if tr.random.IntN(2) == 0 {
		state, how = gateStalled, " hears nothing from "
	}
	set := func(s gateState) func(context.Context) error {
		return func(context.Context) error {
			for _, g := range gates {
				g.set(s)
			}
			return nil
		}
	}
	return mishap{
		subject: "the gates of " + n.name, name: n.name + how + from, strike: set(state), mend: set(gateOpen),
		ofDatabase: strings.Contains(from, "database") || from == "both",
	}
}
