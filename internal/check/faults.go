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
	faultLasts    = 3 * time.Second // on average
	pauseLasts    = 2 * time.Second
	repairTimeout = 5 * time.Minute // a member of a cluster rejoins late on a busy machine
	// aftermath is how long after a fault of the database a clean close may still leave marks unstored: as long as a statement may
	// take.
	aftermath = 15 * time.Second
)

// faults breaks one thing at a time, sometimes two, and repairs them.
type faults struct {
	t      *trial
	random *rand.Rand
	err    error // what could not be repaired; read after run
	did    map[string]int

	mu       sync.Mutex
	database time.Time // when its last fault ends or ended
}

// fault is one thing to break. inject and repair are called in turn; repair also after an inject that failed.
type fault struct {
	subject        string // what it breaks; two faults at once have different subjects
	name           string
	inject, repair func(context.Context) error
	ofNode         bool // repaired last: a node starts only when what it needs is there
	ofDatabase     bool
	longer         time.Duration // how much longer than others it lasts
}

func newFaults(t *trial) *faults {
	return &faults{t: t, random: t.random("faults"), did: make(map[string]int)}
}

// run breaks and repairs until ctx ends. It leaves everything repaired.
func (tr *faults) run(ctx context.Context) {
	for sleep(ctx, nil, randomAround(tr.random, pauseLasts)) {
		chosen := []fault{tr.choose()}
		if tr.random.IntN(5) == 0 {
			if second := tr.choose(); second.subject != chosen[0].subject {
				chosen = append(chosen, second)
			}
		}
		lasts := time.Second/2 + randomAround(tr.random, faultLasts)
		for _, m := range chosen {
			lasts += m.longer
		}
		if err := tr.apply(ctx, chosen, lasts); err != nil {
			tr.err = err
			return
		}
	}
}

// apply injects faults, waits, and repairs them.
func (tr *faults) apply(ctx context.Context, chosen []fault, lasts time.Duration) error {
	repairing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lasts+repairTimeout)
	defer cancel()
	var errs []error
	tr.t.results.disturb()
	for _, m := range chosen {
		tr.t.logf("%s", m.name)
		tr.did[m.name]++
		tr.noteDatabase(m, lasts+repairTimeout)
		errs = append(errs, m.inject(repairing))
	}
	sleep(ctx, nil, lasts)
	slices.SortStableFunc(chosen, func(a, b fault) int { return cmp.Compare(order(a), order(b)) })
	for _, m := range chosen {
		errs = append(errs, m.repair(repairing))
		tr.noteDatabase(m, 0)
		tr.t.logf("%s: repaired", m.name)
	}
	return errors.Join(errs...)
}

// order is the order in which faults are repaired.
func order(m fault) int {
	if m.ofNode {
		return 1
	}
	return 0
}

// noteDatabase notes that a fault of the database lasts for some time from now on.
func (tr *faults) noteDatabase(m fault, lasts time.Duration) {
	if !m.ofDatabase {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.database = time.Now().Add(lasts)
}

// databaseIsFine tells whether the last fault of the database was so long ago that it has no effects any more.
func (tr *faults) databaseIsFine() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return time.Since(tr.database) > aftermath
}

// choose chooses the next fault among those that the installation can have.
func (tr *faults) choose() fault {
	site := tr.t.site
	n := site.nodes[tr.random.IntN(len(site.nodes))]
	choices := []func() fault{
		func() fault { return killed(n) }, func() fault { return restarted(n) }, func() fault { return paused(n) },
	}
	switch {
	case site.stack == nil:
	case site.stack.Galera != nil:
		if len(tr.did) == 0 || tr.random.IntN(membersHurt) == 0 {
			return tr.member()
		}
		choices = append(choices, func() fault { return tr.cut(n, "its member of the database", n.database[0]) })
	default:
		choices = append(choices, func() fault { return tr.server(site.database(), site.stack.Database[0], true) })
	}
	if site.stack != nil {
		choices = append(choices, func() fault { return tr.cut(n, "database", n.database...) })
		one := tr.random.IntN(len(site.stack.Redis))
		name := "Redis"
		if len(site.stack.Redis) > 1 {
			name = fmt.Sprintf("Redis master %d", one+1)
		}
		choices = append(choices, func() fault { return tr.server(name, site.stack.Redis[one], false) })
		if n.redis != nil {
			choices = append(choices, func() fault { return tr.cut(n, "Redis", n.redis) }, func() fault { return tr.cut(n, "both", n.proxies()...) })
		}
	}
	return choices[tr.random.IntN(len(choices))]()
}

// killed ends a node by SIGKILL.
func killed(n *node) fault {
	return fault{
		subject: n.name, ofNode: true,
		name:   n.name + " is killed (-9)",
		inject: func(context.Context) error { return n.Kill() },
		repair: n.StartPatiently,
	}
}

// restarted stops a node by SIGTERM, as for an upgrade.
func restarted(n *node) fault {
	return fault{
		subject: n.name, ofNode: true,
		name:   n.name + " is stopped",
		inject: func(context.Context) error { return n.Stop() },
		repair: n.StartPatiently,
	}
}

// paused stops a node by SIGSTOP, as a machine that swaps does for a while.
func paused(n *node) fault {
	return fault{
		subject: n.name, ofNode: true,
		name:   n.name + " is paused",
		inject: func(context.Context) error { return n.Pause() },
		repair: func(context.Context) error { return n.Resume() },
	}
}

// server kills a server that the nodes use, or pauses it. A Redis that was killed has lost its data when it starts again.
func (tr *faults) server(name string, s *servers.Server, ofDatabase bool) fault {
	if tr.random.IntN(2) == 0 {
		return fault{
			subject:    name,
			name:       name + " is killed (-9)",
			inject:     func(context.Context) error { return s.Kill() },
			repair:     func(context.Context) error { return s.Start() },
			ofDatabase: ofDatabase,
		}
	}
	return fault{
		subject:    name,
		name:       name + " is paused",
		inject:     func(context.Context) error { return s.Pause() },
		repair:     func(context.Context) error { return s.Resume() },
		ofDatabase: ofDatabase,
	}
}

// cut separates one node from servers that it uses: connections are closed and refused, or nothing passes any more.
func (tr *faults) cut(n *node, from string, proxies ...*proxy) fault {
	state, how := proxyCut, " is cut from "
	if tr.random.IntN(2) == 0 {
		state, how = proxyStalled, " gets no packets from "
	}
	set := func(s proxyState) func(context.Context) error {
		return func(context.Context) error {
			for _, g := range proxies {
				g.set(s)
			}
			return nil
		}
	}
	return fault{
		subject: "the proxies of " + n.name, name: n.name + how + from, inject: set(state), repair: set(proxyOpen),
		ofDatabase: strings.Contains(from, "database") || from == "both",
	}
}
