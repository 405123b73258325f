package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// All nodes must use the same number of lanes. In a Redis Cluster a lane is a slot, so there must be many more lanes than
	// masters.
	standaloneLanes = 4
	clusterLanes    = 64
)

// Redis is one node of a cluster of nodes that share a Redis. Make it with [NewRedis].
type Redis struct {
	opts       Options
	client     redis.UniversalClient
	sharded    bool
	goroutines *goroutines
	losses     *notifier
	lanes      []*lane
	scripts    scripts
	refresh    chan struct{} // wakes the refresher
}

var _ Node = (*Redis)(nil)

// lane has everything about one share of the topics and rooms. The names of its keys and channels share the hash tag, so in a
// Redis Cluster they all live on one master, which is reachable or not as a whole.
type lane struct {
	name     string // like "tim:{3}": the lane's own channel, with which its other channels and keys begin
	local    *dispatcher
	sender   *sender
	link     *link
	register *register
}

// NewRedis returns this process's node. urls is one URL, as [redis.ParseURL] understands it, for a standalone Redis. Several
// URLs, separated by commas, are a Redis Cluster; user, password and TLS are then those of the first. A URL like [SentinelForm] is a
// Redis that Sentinels watch. NewRedis returns an error
// if a URL is wrong or Redis refuses the connection (password, rights, not a cluster, too old). If Redis can't be reached, the
// node is made nonetheless and connects when Redis is back; Healthy tells. ctx bounds this call alone. The caller must start
// and close the node.
func NewRedis(ctx context.Context, urls string, opts Options) (*Redis, error) {
	opts = opts.withDefaults()
	client, err := connect(urls, opts)
	if err != nil {
		return nil, err
	}
	r := &Redis{
		opts: opts, client: client, goroutines: newGoroutines(), losses: newNotifier(),
		scripts: newScripts(), refresh: make(chan struct{}, 1),
	}
	lanes := standaloneLanes
	if _, r.sharded = client.(*redis.ClusterClient); r.sharded {
		lanes = clusterLanes
	}
	node, received, outgoing := newNodeID(), newBudget(opts.QueueBytes), newBudget(opts.QueueBytes)
	for i := range lanes {
		r.lanes = append(r.lanes, r.newLane(opts.Prefix+":{"+strconv.Itoa(i)+"}", node, received, outgoing))
	}
	if err := r.checkServer(ctx); err != nil {
		_ = client.Close()
		return nil, err
	}
	return r, nil
}

// Start implements [Node].
func (r *Redis) Start(onLost func()) {
	r.goroutines.run(func(ctx context.Context) { r.losses.run(ctx, orNothing(onLost)) })
	r.goroutines.run(r.watch)
	r.goroutines.run(r.keepRefreshing)
	for _, l := range r.lanes {
		r.goroutines.run(l.local.run)
		r.goroutines.run(l.sender.run)
	}
}

func (r *Redis) newLane(name string, node nodeID, received, outgoing *budget) *lane {
	l := &lane{name: name, local: newDispatcher(r.losses, received, r.opts.Log), register: newRegister()}
	again := func() { r.refreshSoon(l) }
	l.sender = &sender{
		client: r.client, sharded: r.sharded, channel: name, node: node, opts: r.opts,
		local: l.local, losses: r.losses, room: outgoing, back: again,
		pause: r.opts.Beat, echoes: map[uint64]struct{}{}, wake: make(chan struct{}, 1),
	}
	l.link = &link{
		client: r.client, sharded: r.sharded, channel: name, opts: r.opts,
		peers: newPeers(node, r.opts.silence(), r.opts.Expiry), losses: r.losses, goroutines: r.goroutines,
		up: again, away: l.sender.isAway, message: l.receive,
		topics: map[string]*want{}, wake: make(chan struct{}, 1),
	}
	return l
}

// receive passes on a message that came from Redis.
func (l *lane) receive(topic string, e envelope) {
	if e.from == l.sender.node && l.sender.isEcho(e.number) {
		return
	}
	l.local.put(message{topic: topic, payload: e.payload})
}

func (r *Redis) lane(name string) *lane { return r.lanes[laneOf(name, len(r.lanes))] }

// Publish implements [Bus].
func (r *Redis) Publish(topic string, payload []byte) error {
	if r.goroutines.stopped() {
		return ErrClosed
	}
	return r.lane(topic).sender.publish(message{topic: topic, payload: payload})
}

// Subscribe implements [Bus].
func (r *Redis) Subscribe(ctx context.Context, topic string, h func(payload []byte)) (cancel func(), err error) {
	if err := r.refuse(ctx); err != nil {
		return nil, err
	}
	l := r.lane(topic)
	s := l.local.add(topic, h)
	cancel = func() {
		if l.local.remove(s) {
			l.link.release(topic)
		}
	}
	if err := l.link.acquire(ctx, topic); err != nil {
		cancel()
		return nil, err
	}
	return cancel, nil
}

// watch reports a loss every three beats while a node is silent, this one included.
func (r *Redis) watch(ctx context.Context) {
	ticker := time.NewTicker(r.opts.Beat)
	defer ticker.Stop()
	var rung time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		silent := false
		for _, l := range r.lanes {
			silent = l.link.silent() || silent
		}
		if silent && time.Since(rung) >= r.opts.silence() {
			rung = time.Now()
			r.losses.notify()
		}
	}
}

// Healthy implements [Node].
func (r *Redis) Healthy(ctx context.Context) error {
	if err := r.refuse(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	if err := r.ping(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	for _, l := range r.lanes {
		if l.sender.isAway() {
			return fmt.Errorf("%w: lane %s", ErrAway, l.name)
		}
		if err := l.link.check(); err != nil {
			return err
		}
	}
	return nil
}

// Close implements [Node].
func (r *Redis) Close() error {
	if !r.goroutines.stop() {
		return nil
	}
	if err := r.client.Close(); err != nil {
		r.opts.Log.Warn("bus: closing", slog.Any("error", err))
	}
	return nil
}

func (r *Redis) refuse(ctx context.Context) error {
	if r.goroutines.stopped() {
		return ErrClosed
	}
	return ctx.Err()
}
