// Package check proves what the server promises about delivery: it starts nodes and the servers below them, lets many
// clients chat on both faces, breaks what can break, and then compares what each client was told with the database.
//
//	check.go     the run from beginning to end
//	site.go      the installation: nodes and the servers that they use, with gates (gate.go) between
//	trouble.go   what breaks
//	people.go    accounts, their friends and groups, and whose rights come and go
//	device.go    a device on tim.v1; talk.go sends, also over REST (rest.go)
//	contract.go  a client of the contract's sockets
//	ledger.go    what each client was told
//	truth.go     what the database holds
//	judge.go     whether the two agree
//	report.go    the figures and the verdict
//
// It knows the server by its specs, as any client does, and the database's tables, to read the truth behind the server's
// back.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"tim/internal/client"
)

// Options of Run. The command line fills them in.
//
//nolint:tagalign // the tags read as sentences
type Options struct {
	On       string        `help:"What the nodes stand on: embedded (SQLite, one node), servers (MariaDB and Redis), cluster (MariaDB and a Redis Cluster of three masters). MinIO goes with the last two." enum:"embedded,servers,cluster" default:"embedded"`
	Nodes    int           `help:"How many nodes there are; on embedded it is one." default:"2"`
	Duration time.Duration `help:"How long the clients chat while things break." default:"1m"`
	Accounts int           `help:"How many accounts chat on tim.v1; half as many again do so on the contract's sockets." default:"16"`
	Rate     float64       `help:"Messages a second, of all together." default:"60"`
	Seed     uint64        `help:"Repeats a run: who does what, and what breaks when. 0 takes one by chance."`
	Peace    bool          `help:"Nothing breaks but the clients' own connections; then the memory of the nodes is judged, too."`
	Growth   float64       `help:"In peace: by how much a node's memory may grow after the first third, in percent." default:"5"`
	Logs     string        `help:"Folder that keeps the nodes' logs." placeholder:"DIR" type:"path"`

	Binary string    `kong:"-"` // what runs `serve`
	Out    io.Writer `kong:"-"` // gets a line whenever something breaks
}

const (
	completeTimeout = 90 * time.Second // for everybody to catch up at the end
	statusEvery     = 10 * time.Second
)

// trial is one run under way.
type trial struct {
	opts       Options
	site       *site
	http       *http.Client
	dialer     client.Dialer
	spec       *client.Spec
	began      time.Time
	faultsOver chan struct{} // closed when nothing breaks any more and nobody talks
	results    *results

	accounts []*account
	groups   []*group
	faults   *faults
	printing sync.Mutex
	nodeChoice
}

// Run runs a whole trial. The report is there also when its verdict is bad; an error says that there is none. It ends
// early with ctx. Not to be called twice at the same time on one machine that is small.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if opts.On == onEmbedded {
		opts.Nodes = 1
	}
	if opts.Seed == 0 {
		opts.Seed = rand.Uint64() //nolint:gosec // no secret
	}
	spec, err := client.NewSpec()
	if err != nil {
		return nil, err
	}
	t := &trial{
		opts: opts, spec: spec, began: time.Now(), faultsOver: make(chan struct{}), results: newResults(),
		dialer: client.Dialer{Handshake: handshakeTimeout, Write: writeTimeout},
		http:   &http.Client{Timeout: askTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 10 * time.Second}},
	}
	defer t.http.CloseIdleConnections()
	t.logf("seed %d, on %s, %d nodes", opts.Seed, opts.On, opts.Nodes)
	t.site, err = newSite(ctx, opts)
	if t.site != nil {
		defer t.site.close() //nolint:errcheck // all is read by then
	}
	if err != nil {
		return nil, err
	}
	return t.run(ctx)
}

// random returns a source of chance of its own for each name, the same for the same seed.
func (t *trial) random(name string) *rand.Rand {
	hash := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(name) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(t.opts.Seed, hash)) //nolint:gosec // no secret
}

func (t *trial) run(ctx context.Context) (*Report, error) {
	t.nodes = t.site.nodes
	if err := t.populate(ctx); err != nil {
		return nil, fmt.Errorf("before the run: %w", err)
	}
	t.faults = newFaults(t)
	living, stopLiving := context.WithCancel(ctx)
	defer stopLiving()
	var clients, disturbers sync.WaitGroup
	t.startClients(living, &clients)

	talking, stopTalking := context.WithTimeout(ctx, t.opts.Duration)
	defer stopTalking()
	memory := newMemoryWatch(t.site.nodes)
	disturbers.Go(func() { memory.run(talking) })
	disturbers.Go(func() { t.reportProgress(talking) })
	disturbers.Go(func() { t.churn(talking, living) })
	if !t.opts.Peace {
		disturbers.Go(func() { t.faults.run(talking) })
	}
	var talkers sync.WaitGroup
	t.talk(talking, living, &talkers)
	<-talking.Done()
	disturbers.Wait()
	if err := t.faults.err; err != nil {
		return nil, fmt.Errorf("what was broken could not be mended: %w", err)
	}
	close(t.faultsOver)
	t.logf("nothing breaks any more; waiting until everybody has everything")
	talkers.Wait()
	verdict, err := t.awaitComplete(ctx)
	stopLiving()
	clients.Wait()
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return t.report(verdict, memory), nil
}

// startClients starts the clients, which live until ctx ends.
func (t *trial) startClients(ctx context.Context, clients *sync.WaitGroup) {
	for _, a := range t.accounts {
		for _, d := range a.devices {
			clients.Go(func() { d.live(ctx) })
		}
		if a.contractClient != nil {
			clients.Go(func() { a.contractClient.live(ctx) })
		}
	}
}

// awaitComplete waits until nobody lacks anything, then reads history as clients do, ends the nodes, and judges.
func (t *trial) awaitComplete(ctx context.Context) (*verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	var v *verdict
	for {
		contents, err := t.site.readDatabase(ctx)
		if err != nil {
			return nil, err
		}
		if v = t.judge(contents); v.gaps == 0 && v.missing == 0 {
			break
		}
		if !sleep(ctx, nil, time.Second) {
			t.logf("not everybody has everything")
			break
		}
	}
	reading, done := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer done()
	violations, err := t.compareHistory(reading)
	if err == nil {
		err = t.site.stopNodes()
	}
	if err != nil {
		return nil, err
	}
	contents, err := t.site.readDatabase(reading)
	if err != nil {
		return nil, err
	}
	v = t.judge(contents)
	v.wrongHistory = violations
	return v, nil
}

// reportProgress says how far things are, from time to time.
func (t *trial) reportProgress(ctx context.Context) {
	for sleep(ctx, nil, statusEvery) {
		acknowledged, heard := t.results.totals()
		t.logf("%d acknowledged, %d delivered", acknowledged, heard)
	}
}

func (t *trial) logf(format string, args ...any) {
	t.printing.Lock()
	defer t.printing.Unlock()
	fmt.Fprintf(t.opts.Out, "%7.1fs  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...)) //nolint:errcheck // progress alone
}

// sleep lets time pass, unless ctx ends or wake is closed, and reports whether all of it has passed.
func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return false
	case <-ctx.Done():
		return false
	}
}

// randomAround is a duration around a mean, as independent events have them, at most four times as long.
func randomAround(random *rand.Rand, mean time.Duration) time.Duration {
	return min(time.Duration(random.ExpFloat64()*float64(mean)), 4*mean)
}
