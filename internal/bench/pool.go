package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tim/internal/client"
)

// pool is all sockets of a run.
type pool struct {
	clock    clock
	run      []byte // what the run's texts begin with
	size     int    // of texts, in bytes
	sockets  []*socket
	loopback bool
	current  atomic.Pointer[recorder]
	dial     client.Dialer
}

// newPool makes a closed socket for each person. The sockets are spread over the nodes.
func (b *bench) newPool(people []*person, size, readBuffer int) *pool {
	c := &pool{
		clock: b.clock, run: b.run, size: size, loopback: true,
		dial: client.Dialer{
			Handshake: handshakeTimeout, Write: writeTimeout, Silence: silenceTimeout,
			ReadBuffer: readBuffer, WriteBuffer: 1024, Buffers: &sync.Pool{},
		},
	}
	c.current.Store(newRecorder())
	for _, u := range b.site.urls {
		parsed, err := url.Parse(u)
		c.loopback = c.loopback && err == nil && net.ParseIP(parsed.Hostname()).IsLoopback()
	}
	for i, p := range people {
		c.sockets = append(c.sockets, &socket{
			pool: c, index: i, person: p, url: b.site.urls[i%len(b.site.urls)], streams: make(map[string]*stream),
		})
	}
	return c
}

func (c *pool) recorder() *recorder { return c.current.Load() }

// portsOfAddress is below how many connections Linux opens from one address to one port.
const portsOfAddress = 20_000

// source is the address that a socket comes from: another of the loopback interface's when one has no ports left.
func (c *pool) source(index int) net.Addr {
	if !c.loopback || index < portsOfAddress {
		return nil
	}
	return &net.TCPAddr{IP: loopbackAddress(index)}
}

func loopbackAddress(index int) net.IP {
	return net.IPv4(127, 0, 0, byte(1+index/portsOfAddress%250)) //nolint:gosec // below 256
}

// opening is what sockets do when they are opened.
type opening struct {
	live  bool // sync
	again bool // say what they have
}

// open opens sockets, concurrency of them at once. The latency of each counts from its own beginning, or from since unless that is
// 0: sockets that all broke at one moment.
func (c *pool) open(ctx context.Context, sockets []*socket, concurrency int, how opening, since int64) error {
	return each(ctx, sockets, concurrency, func(ctx context.Context, s *socket) error {
		due := since
		if due == 0 {
			due = c.clock.now()
		}
		if err := s.dial(ctx); err != nil {
			return err
		}
		c.recorder().record(s.index, connected, due, c.clock.now())
		if how.live {
			if err := s.sync(ctx, how.again); err != nil {
				s.conn.Reset()
				return err
			}
			c.recorder().record(s.index, inStep, due, c.clock.now())
		}
		s.start()
		return nil
	})
}

// drop breaks all connections at once.
func (c *pool) drop() {
	var all sync.WaitGroup
	for i := range dropWorkers {
		all.Go(func() {
			for j := i; j < len(c.sockets); j += dropWorkers {
				c.sockets[j].drop()
			}
		})
	}
	all.Wait()
}

const dropWorkers = 16

// each calls do for each element, concurrency of them at once, until one fails or ctx ends.
func each[T any](ctx context.Context, all []T, concurrency int, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	var next atomic.Int64
	for range min(max(1, concurrency), len(all)) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) || ctx.Err() != nil {
					return
				}
				if err := do(ctx, all[i]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

const (
	deliveredTimeout = 30 * time.Second
	deliveredLook    = 10 * time.Millisecond
)

// awaitDelivered waits until every request is answered and every socket has received what was acknowledged. It is no error when
// that doesn't happen in time: judge then says what is missing.
func (c *pool) awaitDelivered(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, deliveredTimeout, errUndelivered)
	defer cancel()
	look := time.NewTicker(deliveredLook)
	defer look.Stop()
	for _, s := range c.sockets {
		for !s.isDelivered() {
			select {
			case <-ctx.Done():
				if err := context.Cause(ctx); !errors.Is(err, errUndelivered) {
					return err
				}
				return nil
			case <-look.C:
			}
		}
	}
	return nil
}

var errUndelivered = errors.New("not everything was delivered in time")

func (s *socket) isDelivered() bool {
	s.mu.Lock()
	gone, open := s.gone, len(s.pending)
	s.mu.Unlock()
	return gone || open == 0 && s.inStep()
}

// judge counts the broken promises of all sockets.
func (c *pool) judge() (p Promises) {
	for _, s := range c.sockets {
		s.mu.Lock()
		for _, heard := range s.streams {
			p.add(heard.judge())
		}
		p.Unanswered += int64(len(s.pending))
		s.mu.Unlock()
	}
	return p
}

// newRun returns the beginning of this run's texts and client ids, which no other run has.
func newRun() []byte { return []byte("b" + strconv.FormatInt(time.Now().UnixNano(), 36)) }

func (p *Promises) add(q Promises) {
	p.Lost += q.Lost
	p.Doubled += q.Doubled
	p.OutOfOrder += q.OutOfOrder
	p.Unanswered += q.Unanswered
	p.Corrupted += q.Corrupted
	p.Disconnected += q.Disconnected
}

func (p *Promises) String() string {
	return fmt.Sprintf("lost %d, doubled %d, out of order %d, unanswered %d, corrupted %d, disconnected %d",
		p.Lost, p.Doubled, p.OutOfOrder, p.Unanswered, p.Corrupted, p.Disconnected)
}

// kept tells whether no promise was broken.
func (p *Promises) kept() bool { return *p == Promises{} }
