package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"tim/internal/client"
)

// MixedOptions are those of `tim bench mixed`.
//
//nolint:tagalign // the tags read as sentences
type MixedOptions struct {
	Connections int     `help:"How many sockets." default:"1000" json:"connections"`
	Writers     int     `help:"How many of them write, each to a friend and to its group." default:"50" json:"writers"`
	Size        int     `help:"Members of a group; everybody is in one." default:"50" json:"size"`
	Rate        float64 `help:"Messages a second, of all writers; latency counts from when a message was due." default:"100" json:"rate"`
	Groups      int     `help:"How many of a hundred messages go to groups." default:"30" json:"groups"`
	Churn       float64 `help:"Sockets a second that break, and come back half a second later." default:"5" json:"churn"`
	Joins       float64 `help:"Joins and leaves of groups a second." default:"2" json:"joins"`
	Bytes       int     `help:"Size of the texts." default:"100" json:"bytes"`
	Window
}

// mixedLoad is one run of the scenario.
type mixedLoad struct {
	MixedOptions
	b       *bench
	c       *pool
	direct  []sender // by socket
	group   []sender
	writers []int
	idle    []*socket // that break and return
	guests  []*socket // that join and leave
	groups  []int32

	mu   sync.Mutex
	away map[*socket]bool
}

func (o MixedOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	if o.Size < 2 || o.Rate <= 0 || o.Connections < 2*max(1, o.Writers) {
		return nil, errors.New("mixed needs at least two sockets for each writer, two members in a group, and a rate")
	}
	if err := raiseFileLimit(uint64(o.Connections) + 1000); err != nil { //nolint:gosec // not negative
		return nil, err
	}
	members, guests := o.Connections/2*2, max(1, o.Connections/50)
	people, err := b.accounts(ctx, members+guests)
	if err != nil {
		return nil, err
	}
	d := &mixedLoad{MixedOptions: o, b: b, c: b.newPool(people, o.Bytes, 1024), away: make(map[*socket]bool)}
	if err := d.populate(ctx, members); err != nil {
		return nil, err
	}
	defer d.c.drop()
	if err := d.c.open(ctx, d.c.sockets, b.opts.Concurrency, opening{live: true}, 0); err != nil {
		return nil, err
	}
	rec := newRecorder()
	d.c.current.Store(rec)
	run, err := b.measure(ctx, rec, o.Window, d.run)
	if err != nil {
		return nil, err
	}
	if err := d.c.awaitDelivered(ctx); err != nil {
		return nil, err
	}
	run.OfferedRate, run.Promises = o.Rate, d.c.judge()
	run.finish(rec, "message", acknowledged)
	return []Result{run}, nil
}

// populate makes friends and groups, and chooses who writes, who is idle and who joins.
func (d *mixedLoad) populate(ctx context.Context, members int) error {
	var pairs [][2]*person
	all := d.c.sockets
	d.direct, d.group = make([]sender, members), make([]sender, members)
	for i := 0; i < members; i += 2 {
		of := &conversation{}
		for _, pair := range [][2]*socket{{all[i], all[i+1]}, {all[i+1], all[i]}} {
			target := client.UserTarget(pair[1].person.account)
			pair[0].follow(target, of, false)
			d.direct[pair[0].index] = sender{pair[0], target, of}
		}
		pairs = append(pairs, [2]*person{all[i].person, all[i+1].person})
	}
	if err := d.b.friends(ctx, pairs); err != nil {
		return err
	}
	done := d.b.progress("they join groups")
	defer done()
	for from := 0; from < members; from += d.Size {
		if err := d.makeGroup(ctx, all[from:min(from+d.Size, members)], all[members:]); err != nil {
			return err
		}
	}
	each := members / max(1, d.Writers)
	for i := range members {
		if i%each == 0 && len(d.writers) < d.Writers {
			d.writers = append(d.writers, i)
		} else {
			d.idle = append(d.idle, all[i])
		}
	}
	d.guests = all[members:]
	return nil
}

func (d *mixedLoad) makeGroup(ctx context.Context, members, guests []*socket) error {
	var people []*person
	for _, s := range members {
		people = append(people, s.person)
	}
	id, err := d.b.group(ctx, "-"+strconv.Itoa(len(d.groups)), people)
	if err != nil {
		return err
	}
	d.groups = append(d.groups, id)
	of := &conversation{}
	for _, s := range members {
		s.follow(client.GroupTarget(id), of, false)
		d.group[s.index] = sender{s, client.GroupTarget(id), of}
	}
	for _, s := range guests {
		s.follow(client.GroupTarget(id), of, true)
	}
	return nil
}

// run runs the parts of the load until ctx ends or one fails.
func (d *mixedLoad) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, part := range []func(context.Context) error{d.write, d.churn, d.joinAndLeave} {
		all.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, errOver) {
		return cause
	}
	return nil
}

// write sends from the writers in turn.
func (d *mixedLoad) write(ctx context.Context) error {
	rec := d.c.recorder()
	return d.c.clock.pace(ctx, d.Rate, func(i int, due int64) error {
		who := d.writers[i%len(d.writers)]
		t := d.direct[who]
		if rand.IntN(100) < d.Groups { //nolint:gosec // no secret
			t = d.group[who]
		}
		if err := t.send(due); err != nil {
			return err
		}
		rec.record(i, late, due, d.c.clock.now())
		return nil
	})
}

// awayFor is how long a socket that broke stays away.
const awayFor = 500 * time.Millisecond

// churn breaks idle sockets, which return after awayFor and must then have everything.
func (d *mixedLoad) churn(ctx context.Context) error {
	return d.repeat(ctx, d.Churn, func() error {
		s := d.idleSocket()
		if s == nil {
			return nil // all are away: the server is slower than the rate
		}
		s.drop()
		back := time.NewTimer(awayFor)
		defer back.Stop()
		select { // it returns in any case, because it must have everything in the end
		case <-ctx.Done():
		case <-back.C:
		}
		ctx := context.WithoutCancel(ctx)
		err := d.c.open(ctx, []*socket{s}, 1, opening{live: true, again: true}, 0)
		d.mu.Lock()
		delete(d.away, s)
		d.mu.Unlock()
		return err
	})
}

// idleSocket chooses an idle socket that isn't away, and marks it as away; nil when it finds none in ten tries.
func (d *mixedLoad) idleSocket() *socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range 10 {
		if s := d.idle[rand.IntN(len(d.idle))]; !d.away[s] { //nolint:gosec // no secret
			d.away[s] = true
			return s
		}
	}
	return nil
}

// joinAndLeave lets guests join groups and leave them.
func (d *mixedLoad) joinAndLeave(ctx context.Context) error {
	rec := d.c.recorder()
	inside := make(map[*socket]int32)
	var mu sync.Mutex
	return d.repeat(ctx, d.Joins, func() error {
		guest := d.guests[rand.IntN(len(d.guests))] //nolint:gosec // no secret
		mu.Lock()
		defer mu.Unlock() // one after the other, so that a guest doesn't join and leave at once
		ctx, due := context.WithoutCancel(ctx), d.c.clock.now()
		var err error
		if id, in := inside[guest]; in {
			delete(inside, guest)
			err = d.b.leave(ctx, guest.person, id)
		} else {
			inside[guest] = d.groups[rand.IntN(len(d.groups))] //nolint:gosec // no secret
			err = d.b.join(ctx, guest.person, inside[guest])
		}
		rec.record(guest.index, joined, due, d.c.clock.now())
		return err
	})
}

// repeat starts do so many times a second, until ctx ends or do fails, and waits for those that it has started.
func (d *mixedLoad) repeat(ctx context.Context, rate float64, do func() error) error {
	if rate <= 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var begun sync.WaitGroup
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			begun.Wait()
			if cause := context.Cause(ctx); !errors.Is(cause, errOver) {
				return cause
			}
			return nil
		case <-tick.C:
			begun.Go(func() {
				if err := do(); err != nil {
					cancel(err)
				}
			})
		}
	}
}
