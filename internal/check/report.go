package check

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"tim/internal/client"
)

// Report is the outcome of a run.
type Report struct {
	Seed     uint64
	Passed   bool
	Rows     []Row
	Troubles map[string]int // what was broken, and how often
	Findings []string       // the first of what was wrong
}

// Row is one figure. A figure above its limit fails the run.
type Row struct {
	Name  string
	Value float64
	Limit float64 // -1 for none
	Unit  string
}

func (t *trial) report(v *verdict, memory *memoryWatch) *Report {
	r := &Report{Seed: t.opts.Seed, Troubles: t.faults.did, Findings: append(v.examples, v.violations[:min(len(v.violations), maxExamples)]...)}
	r.Findings = append(r.Findings, v.unprovoked[:min(len(v.unprovoked), maxExamples)]...)
	zero := func(name string, n int) { r.Rows = append(r.Rows, Row{Name: name, Value: float64(n)}) }
	told := func(name string, n int) { r.Rows = append(r.Rows, Row{Name: name, Value: float64(n), Limit: -1}) }
	zero("acknowledged and missing", v.missing)
	zero("doubled", v.doubled)
	zero("out of order", v.misordered)
	zero("gaps", v.gaps)
	zero("delivered without the right", v.unrightful)
	zero("delivered and not stored", v.unstored)
	zero("numbered wrongly", v.misnumbered)
	zero("marks acknowledged and lost", v.lostMarks)
	zero("history that differs", v.wrongHistory)
	zero("answers that no server may give", len(v.violations))
	zero("answers that a server can't serve, before anything broke", len(v.unprovoked))
	if t.opts.On == onGalera {
		zero("members that differ from the first", v.differing)
	}
	told("stored", v.stored)
	told("acknowledged", v.acknowledged)
	told("delivered", v.delivered)
	told("repeated after an unclean end (contract)", v.repeated)
	if t.opts.Peace {
		zero("delivered over 1 s after the right's end", v.late)
		for name, growth := range memory.growths() {
			r.Rows = append(r.Rows, Row{Name: "memory of " + name + " grew by", Value: growth, Limit: t.opts.Growth, Unit: " %"})
		}
	} else {
		told("delivered 1 to 5 s after the right's end", v.late)
		told("answers that a server can't serve", v.failures)
	}
	r.Passed = v.acknowledged > 0 && v.delivered > 0
	for _, row := range r.Rows {
		r.Passed = r.Passed && !row.fails()
	}
	return r
}

func (r Row) fails() bool { return r.Limit >= 0 && r.Value > r.Limit }

// String returns the table and the verdict.
func (r *Report) String() string {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, row := range r.Rows {
		word := ""
		switch {
		case row.fails():
			word = "WRONG"
		case row.Limit >= 0:
			word = "ok"
		}
		fmt.Fprintf(table, "  %s\t%.4g%s\t%s\n", row.Name, row.Value, row.Unit, word) //nolint:errcheck // to memory
	}
	_ = table.Flush() // to memory
	for _, finding := range r.Findings {
		fmt.Fprintf(&out, "  - %s\n", finding)
	}
	verdict := "passed"
	if !r.Passed {
		verdict = "FAILED"
	}
	fmt.Fprintf(&out, "%s (seed %d)\n", verdict, r.Seed)
	return out.String()
}

// compareHistory reads each conversation over REST, as an account that was always in it, and counts those that differ from the
// database.
func (t *trial) compareHistory(ctx context.Context) (violations int, err error) {
	contents, err := t.site.readDatabase(ctx)
	if err != nil {
		return 0, err
	}
	random := t.random("compare")
	done := make(map[string]bool)
	for _, a := range t.accounts {
		token, err := t.logIn(ctx, random, a.name)
		if err != nil {
			return 0, err
		}
		for _, c := range a.conversations {
			s := contents.conversations[c.key]
			if done[c.key] || s == nil || t.isGuest(a, c) {
				continue
			}
			done[c.key] = true
			got, err := t.history(ctx, a, token, c)
			if err != nil {
				return 0, err
			}
			if !s.equals(got, s.floor(a.name)) {
				violations++
			}
		}
	}
	return violations, nil
}

func (t *trial) isGuest(a *account, c conversation) bool {
	for _, g := range t.groups {
		for _, guest := range g.guests {
			if guest == a && g.key == c.key {
				return true
			}
		}
	}
	return false
}

// floor returns the seq after which an account may read.
func (s *stored) floor(account string) int64 {
	if all := s.memberships(account); len(all) > 0 {
		return all[len(all)-1].after
	}
	return 0
}

// equals tells whether the messages are those that are stored after a seq; more may follow.
func (s *stored) equals(got []client.HistoryMessage, after int64) bool {
	want := s.messages[after:]
	if len(got) < len(want) { // more than that was stored later
		return false
	}
	for i, m := range want {
		if got[i].Seq != m.seq || got[i].Sender != m.sender || got[i].Text != m.text {
			return false
		}
	}
	return true
}

const lookAtMemoryEvery = time.Second

// memoryWatch samples the memory of the nodes.
type memoryWatch struct {
	nodes []*node

	mu      sync.Mutex
	samples map[string][]int64 // by node; of its present process
	lives   map[string]int
}

func newMemoryWatch(nodes []*node) *memoryWatch {
	return &memoryWatch{nodes: nodes, samples: make(map[string][]int64), lives: make(map[string]int)}
}

func (w *memoryWatch) run(ctx context.Context) {
	for sleep(ctx, nil, lookAtMemoryEvery) {
		for _, n := range w.nodes {
			bytes, life := n.Memory()
			w.add(n.name, bytes, life)
		}
	}
}

func (w *memoryWatch) add(name string, bytes int64, life int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lives[name] != life {
		w.samples[name], w.lives[name] = nil, life
	}
	if bytes > 0 {
		w.samples[name] = append(w.samples[name], bytes)
	}
}

// growths returns by how many percent each node's memory grew from the second third of the time to the last.
func (w *memoryWatch) growths() map[string]float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	growths := make(map[string]float64)
	for name, samples := range w.samples {
		third := len(samples) / 3
		if third == 0 {
			continue
		}
		before, after := mean(samples[third:2*third]), mean(samples[2*third:])
		growths[name] = max(0, 100*(after-before)/before)
	}
	return growths
}

func mean(samples []int64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += float64(s)
	}
	return sum / float64(len(samples))
}
