package bench

import (
	"context"
	"time"

	"tim/internal/client"
)

// ConnectOptions are those of `tim bench connect`.
//
//nolint:tagalign // the tags read as sentences
type ConnectOptions struct {
	Connections int  `help:"How many sockets." default:"10000" json:"connections"`
	Sync        bool `help:"Each socket syncs, as a device does; otherwise it counts as connected when it has received hello." json:"sync,omitempty"`
}

// sampleSteps is how many samples of the memory are taken while sockets are opened.
const sampleSteps = 10

func (o ConnectOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	c, err := b.freshPool(ctx, o.Connections)
	if err != nil {
		return nil, err
	}
	defer c.drop()
	rec := c.recorder()
	m, err := b.open(rec)
	if err != nil {
		return nil, err
	}
	samples, err := b.ramp(ctx, c, m, opening{live: o.Sync})
	if err != nil {
		return nil, err
	}
	run, err := b.close(rec, m)
	if err != nil {
		return nil, err
	}
	run.Samples = samples
	run.finish(rec, "connect", connected)
	run.memoryOf(o.Connections)
	return []Result{run}, nil
}

// freshPool makes sockets that send nothing, and restarts the nodes, so that making the accounts isn't in their memory.
func (b *bench) freshPool(ctx context.Context, n int) (*pool, error) {
	if err := raiseFileLimit(uint64(n) + 1000); err != nil { //nolint:gosec // not negative
		return nil, err
	}
	people, err := b.accounts(ctx, n)
	if err != nil {
		return nil, err
	}
	b.http.CloseIdleConnections()
	return b.newPool(people, 0, 512), b.site.refresh(ctx)
}

// ramp opens all sockets in steps, and samples the memory after each.
func (b *bench) ramp(ctx context.Context, c *pool, m *meter, how opening) (samples []Sample, err error) {
	done := b.progress("the sockets are opened")
	defer done()
	for i := range sampleSteps + 1 {
		from, to := len(c.sockets)*max(0, i-1)/sampleSteps, len(c.sockets)*i/sampleSteps
		if err := c.open(ctx, c.sockets[from:to], b.opts.Concurrency, how, 0); err != nil {
			return nil, err
		}
		memory, err := m.sample()
		if err != nil {
			return nil, err
		}
		samples = append(samples, Sample{to, memory})
	}
	return samples, nil
}

// IdleOptions are those of `tim bench idle`.
//
//nolint:tagalign // as above
type IdleOptions struct {
	Connections int           `help:"How many sockets." default:"10000" json:"connections"`
	Warmup      time.Duration `help:"How long the sockets are held before they are measured." default:"15s" json:"-"`
	Duration    time.Duration `help:"How long they are measured; heartbeats come every 15 s." default:"45s" json:"-"`
}

func (o IdleOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	c, err := b.freshPool(ctx, o.Connections)
	if err != nil {
		return nil, err
	}
	defer c.drop()
	all, err := newMeter(b.site.processes())
	if err != nil {
		return nil, err
	}
	samples, err := b.ramp(ctx, c, all, opening{live: true})
	if err != nil {
		return nil, err
	}
	rec := c.recorder()
	run, err := b.measure(ctx, rec, Window{o.Warmup, o.Duration}, nil)
	if err != nil {
		return nil, err
	}
	for i := range run.Processes { // memory counts from before the first socket was opened
		run.Processes[i].RSSBefore = all.used[i].RSSBefore
		run.Processes[i].RSSPeak = max(run.Processes[i].RSSPeak, all.used[i].RSSPeak)
	}
	run.Samples, run.Promises = samples, c.judge()
	run.finishUnits(rec, "socket and second", int64(float64(o.Connections)*run.Seconds))
	run.memoryOf(o.Connections)
	return []Result{run}, nil
}

// memoryOf computes how much memory each socket takes in each process.
func (run *Result) memoryOf(sockets int) {
	for i := range run.Processes {
		p := &run.Processes[i]
		p.RSSPerSocket = float64(p.RSSAfter-p.RSSBefore) / float64(sockets)
	}
}

// ReconnectOptions are those of `tim bench reconnect`.
//
//nolint:tagalign // as above
type ReconnectOptions struct {
	Connections int `help:"How many sockets, an even number." default:"10000" json:"connections"`
}

func (o ReconnectOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	c, err := b.freshPool(ctx, o.Connections/2*2)
	if err != nil {
		return nil, err
	}
	defer c.drop()
	senders, err := b.befriendNeighbours(ctx, c)
	if err != nil {
		return nil, err
	}
	done := b.progress("the sockets are opened")
	if err := c.open(ctx, c.sockets, b.opts.Concurrency, opening{live: true}, 0); err != nil {
		return nil, err
	}
	done()
	done = b.progress("a message is sent in each pair")
	err = each(ctx, senders, b.opts.Concurrency, func(_ context.Context, t sender) error { return t.send(b.clock.now()) })
	if err != nil {
		return nil, err
	}
	if err := c.awaitDelivered(ctx); err != nil {
		return nil, err
	}
	done()
	before := c.recorder()
	rec := newRecorder()
	c.current.Store(rec)
	run, err := b.reconnectAll(ctx, c, rec)
	if err != nil {
		return nil, err
	}
	if err := c.awaitDelivered(ctx); err != nil {
		return nil, err
	}
	run.Promises = c.judge()
	run.Promises.Disconnected += before.disconnected.Load()
	run.finish(rec, "reconnect", inStep)
	run.facts("all back and in step", run.Seconds, "s")
	return []Result{run}, nil
}

// befriendNeighbours makes the accounts of each socket and the next one friends.
func (b *bench) befriendNeighbours(ctx context.Context, c *pool) (senders []sender, err error) {
	var pairs [][2]*person
	for i := 0; i+1 < len(c.sockets); i += 2 {
		from, to := c.sockets[i], c.sockets[i+1]
		pairs = append(pairs, [2]*person{from.person, to.person})
		of := &conversation{}
		from.follow(client.UserTarget(to.person.account), of, false)
		to.follow(client.UserTarget(from.person.account), of, false)
		senders = append(senders, sender{from, client.UserTarget(to.person.account), of})
	}
	return senders, b.friends(ctx, pairs)
}

// reconnectAll breaks all connections and opens them again at once. Each device says that it lacks the last message. The window is
// from the first break until the last device has everything.
func (b *bench) reconnectAll(ctx context.Context, c *pool, rec *recorder) (Result, error) {
	done := b.progress("all sockets break and return")
	defer done()
	m, err := b.open(rec)
	if err != nil {
		return Result{}, err
	}
	began := b.clock.now()
	c.drop()
	dropped := b.clock.now()
	for _, s := range c.sockets {
		for _, heard := range s.streams {
			heard.forgetLast()
		}
	}
	if err := c.open(ctx, c.sockets, b.opts.Concurrency, opening{live: true, again: true}, began); err != nil {
		return Result{}, err
	}
	run, err := b.close(rec, m)
	run.facts("all broken", float64(dropped-began)/1e9, "s")
	return run, err
}
