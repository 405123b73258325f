package bench

import (
	"context"
	"errors"
	"sync/atomic"

	"tim/internal/client"
)

// Load is how messages are sent.
//
//nolint:tagalign // the tags read as sentences
type Load struct {
	Rate     float64   `help:"Messages a second of all senders together, whether or not the server keeps up (open loop); latency counts from the moment at which a message was due. 0: each sender sends when its last message is answered (closed loop)." default:"0" json:"rate,omitempty"`
	Sweep    []float64 `help:"Several rates, one after the other, for a plot." placeholder:"RATE,…" json:"sweep,omitempty"`
	InFlight int       `help:"In closed loop, how many messages of each sender are unanswered at a time." default:"1" json:"inFlight"`
	Bytes    int       `help:"Size of the texts." default:"100" json:"bytes"`
	Window
}

// sender is a socket and the conversation that it sends to.
type sender struct {
	*socket
	target string
	of     *conversation
}

// DirectOptions are those of `tim bench direct`.
//
//nolint:tagalign // as above
type DirectOptions struct {
	Pairs int `help:"How many pairs." default:"50" json:"pairs"`
	Load
}

func (o DirectOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	people, err := b.accounts(ctx, 2*o.Pairs)
	if err != nil {
		return nil, err
	}
	c := b.newPool(people, o.Bytes, 4096)
	var pairs [][2]*person
	var senders []sender
	for i := range o.Pairs {
		from, to := c.sockets[2*i], c.sockets[2*i+1]
		pairs = append(pairs, [2]*person{from.person, to.person})
		of := &conversation{}
		target := client.UserTarget(to.person.account)
		from.follow(target, of, false)
		from.uncounted = true // it receives its own messages as every device does; they are checked and not counted
		to.follow(client.UserTarget(from.person.account), of, false)
		senders = append(senders, sender{from, target, of})
	}
	if err := b.friends(ctx, pairs); err != nil {
		return nil, err
	}
	return o.chat(ctx, b, c, senders, "message", acknowledged)
}

// GroupOptions are those of `tim bench group`.
//
//nolint:tagalign // as above
type GroupOptions struct {
	Size    int `help:"How many members, all online." default:"100" json:"size"`
	Senders int `help:"How many of them write." default:"4" json:"senders"`
	Load
}

func (o GroupOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	people, err := b.accounts(ctx, o.Size)
	if err != nil {
		return nil, err
	}
	done := b.progress("they join a group")
	id, err := b.group(ctx, "", people)
	if err != nil {
		return nil, err
	}
	done()
	c := b.newPool(people, o.Bytes, 16384)
	of := &conversation{}
	var senders []sender
	for i, s := range c.sockets {
		s.follow(client.GroupTarget(id), of, false)
		if i < o.Senders {
			senders = append(senders, sender{s, client.GroupTarget(id), of})
		}
	}
	return o.chat(ctx, b, c, senders, "delivery", delivered)
}

// chat opens the sockets and measures while the senders send, once for each rate.
func (l Load) chat(ctx context.Context, b *bench, c *pool, senders []sender, unit string, k kind) (runs []Result, err error) {
	if len(senders) == 0 {
		return nil, errors.New("nobody is to send anything")
	}
	defer c.drop()
	if err := c.open(ctx, c.sockets, b.opts.Concurrency, opening{live: true}, 0); err != nil {
		return nil, err
	}
	rates := l.Sweep
	if len(rates) == 0 {
		rates = []float64{l.Rate}
	}
	for _, rate := range rates {
		rec := newRecorder()
		c.current.Store(rec)
		load := func(ctx context.Context) error { return closedLoop(ctx, senders, max(1, l.InFlight)) }
		if rate > 0 {
			b.logf("%.0f messages a second", rate)
			load = func(ctx context.Context) error { return openLoop(ctx, c, senders, rate) }
		}
		run, err := b.measure(ctx, rec, l.Window, load)
		if err != nil {
			return nil, err
		}
		if err := c.awaitDelivered(ctx); err != nil {
			return nil, err
		}
		run.OfferedRate, run.Promises = rate, c.judge()
		run.finish(rec, unit, k)
		runs = append(runs, run)
	}
	return runs, nil
}

// openLoop lets the senders send in turn, so many messages a second.
func openLoop(ctx context.Context, c *pool, senders []sender, rate float64) error {
	rec := c.recorder()
	return c.clock.pace(ctx, rate, func(i int, due int64) error {
		t := senders[i%len(senders)]
		if err := t.send(due); err != nil {
			return err
		}
		rec.record(i, late, due, c.clock.now())
		return nil
	})
}

// send sends a message that was due at a time, at once.
func (t sender) send(due int64) error {
	if err := t.queue(t.target, t.of, due); err != nil {
		return err
	}
	return t.conn.Flush()
}

// closedLoop lets each sender send whenever it is answered, with inFlight unanswered messages at a time.
func closedLoop(ctx context.Context, senders []sender, inFlight int) error {
	var over atomic.Bool
	for _, t := range senders {
		t.mu.Lock()
		t.next = func(s *socket, now int64) {
			if !over.Load() {
				_ = s.queueLocked(t.target, t.of, now) // the reader counts a connection that broke
			}
		}
		t.mu.Unlock()
		for range inFlight {
			if err := t.send(t.pool.clock.now()); err != nil {
				return err
			}
		}
	}
	<-ctx.Done()
	over.Store(true)
	return nil
}
