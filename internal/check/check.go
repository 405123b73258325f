// Package check is `tim check`. It tests what the server promises about delivery: it starts nodes and the servers that they use,
// lets many clients chat, breaks nodes, servers and connections, and then compares what each client received with the database.
//
//	check.go     a run from beginning to end
//	site.go      the installation: nodes, the servers that they use, and proxies between them (proxy.go)
//	faults.go    what is broken and repaired; members.go the same of a Galera cluster
//	people.go    accounts, their friends and groups, and members who join and leave
//	device.go    a device on tim.v1; talk.go sends messages, also over REST (rest.go)
//	contract.go  a client of the contract's sockets
//	results.go   what each client received and was answered
//	database.go  what the database holds
//	judge.go     compares the two
//	report.go    the figures and the verdict
//
// It uses the server as the specs describe it, as any client does. It reads the database's tables itself, so that it doesn't depend
// on what the server says.
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
	On       string        `help:"What the nodes use: embedded (SQLite, one node), servers (MariaDB, Redis, MinIO), mysql (the same with MySQL), cluster (the same with a Redis Cluster of three masters), galera (the same with a Galera cluster of three members, of which each node uses another), vitess (the same with a Vitess of two shards)." enum:"embedded,servers,mysql,cluster,galera,vitess" default:"embedded"`
	Nodes    int           `help:"How many nodes to start; with --on=embedded always one." default:"2"`
	Duration time.Duration `help:"How long the clients chat while things break." default:"1m"`
	Accounts int           `help:"How many accounts chat on tim.v1; half as many others chat on the contract's sockets." default:"16"`
	Rate     float64       `help:"Messages a second of all accounts together." default:"60"`
	Seed     uint64        `help:"The same seed repeats who does what, and what breaks when. 0 chooses one."`
	Peace    bool          `help:"Break nothing but the clients' connections, and also fail when the memory of a node grows."`
	Growth   float64       `help:"With --peace: by how many percent a node's memory may grow after the first third of the time." default:"5"`
	Logs     string        `help:"Folder for the nodes' logs; by default they are deleted." placeholder:"DIR" type:"path"`

	Binary string    `kong:"-"` // the program that the nodes run
	Out    io.Writer `kong:"-"` // receives a line whenever something breaks
}

const (
	completeTimeout = 90 * time.Second // for all clients to catch up at the end
	statusEvery     = 10 * time.Second
)

// trial is one run.
type trial struct {
	opts       Options
	site       *site
	http       *http.Client
	dialer     client.Dialer
	spec       *client.Spec
	began      time.Time
	faultsOver chan struct{} // closed when everything is repaired and nobody writes any more
	results    *results

	accounts []*account
	groups   []*group
	faults   *faults
	printing sync.Mutex
	nodeChoice
}

// Run runs a whole trial, until ctx ends at the latest. It returns a report also when a promise was broken; an error means that there
// is no report.
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

// random returns a generator for each name. The same seed and name give the same numbers.
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
		disturbers.Go(func() {
			if sleep(talking, nil, t.calm()) {
				t.faults.run(talking)
			}
			if t.faults.err != nil { // there is nothing more to find out
				stopTalking()
			}
		})
	}
	var talkers sync.WaitGroup
	t.talk(talking, living, &talkers)
	<-talking.Done()
	disturbers.Wait()
	if err := t.faults.err; err != nil {
		return nil, fmt.Errorf("what was broken could not be repaired: %w", err)
	}
	close(t.faultsOver)
	t.logf("everything is repaired; waiting until all clients have everything")
	talkers.Wait()
	verdict, err := t.awaitComplete(ctx)
	stopLiving()
	clients.Wait()
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return t.report(verdict, memory), nil
}

// calm returns for how long nothing is broken at first. On a Galera cluster nodes meet conflicts then, which must cost a retry alone.
func (t *trial) calm() time.Duration {
	const share = 5
	if t.opts.On == onGalera {
		return t.opts.Duration / share
	}
	return 0
}

// startClients starts the clients, which end with ctx.
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

// awaitComplete waits until no client lacks anything, or for completeTimeout. Then it reads the history over REST, stops the nodes,
// and compares everything with the database.
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
			t.logf("some clients lack something")
			break
		}
	}
	reading, done := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer done()
	violations, err := t.compareHistory(reading)
	failures, unprovoked := t.results.cannotServe() // a node that stops refuses who comes then
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
	v.wrongHistory, v.failures, v.unprovoked = violations, failures, unprovoked
	v.differing, err = t.site.differingMembers(reading, contents)
	return v, err
}

// reportProgress prints every 10 s how many messages were acknowledged and delivered.
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

// sleep waits until d has passed, wake is closed or ctx ends. It reports whether d has passed.
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

// randomAround returns a random duration with this mean (exponential, as between independent events), at most four times the mean.
func randomAround(random *rand.Rand, mean time.Duration) time.Duration {
	return min(time.Duration(random.ExpFloat64()*float64(mean)), 4*mean)
}
