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
	// All nodes must deal topics and rooms out to the same number of lanes. In a cluster a lane is a slot, so
	// there have to be many more of them than masters.
	standaloneLanes = 4
	clusterLanes    = 64
)

// Redis is one node of a cluster that meets in Redis. Make it with [NewRedis].
type Redis struct {
	opts    Options
	client  redis.UniversalClient
	sharded bool
	crew    *crew
	bell    *bell
	lanes   []*lane
	scripts scripts
	refresh chan struct{} // wakes the refresher for the lanes that are due
}

var _ Node = (*Redis)(nil)

// lane is everything that concerns one share of the topics and rooms. Its names share the hash tag, so that in
// a cluster all of it lives on one master, and it is away or back as a whole.
type lane struct {
	name     string // "tim:{3}": the lane's own channel, and what all its channels and keys begin with
	local    *dispatcher
	sender   *sender
	link     *link
	register *register
}

// NewRedis returns this process's node of a cluster that meets in Redis. urls is one URL as understood by
// [redis.ParseURL] for a standalone Redis, or several with commas between them for a Redis Cluster, whose user,
// password and TLS are those of the first. It fails when a URL is wrong or when Redis refuses us (password,
// rights, not a cluster, too old); when Redis is away, the node starts all the same and joins the others when it
// comes back: ask Healthy. ctx bounds this call alone. The caller closes the node.
func NewRedis(ctx context.Context, urls string, opts Options) (*Redis, error) {
	opts = opts.withDefaults()
	client, err := connect(urls, opts)
	if err != nil {
		return nil, err
	}
	r := &Redis{
		opts: opts, client: client, crew: newCrew(), bell: newBell(opts.OnLost),
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
	if err := r.introduce(ctx); err != nil {
		_ = client.Close()
		return nil, err
	}
	r.crew.run(r.bell.run)
	r.crew.run(r.watch)
	r.crew.run(r.keepRefreshing)
	for _, l := range r.lanes {
		r.crew.run(l.local.run)
		r.crew.run(l.sender.run)
	}
	return r, nil
}

func (r *Redis) newLane(name string, node nodeID, received, outgoing *budget) *lane {
	l := &lane{name: name, local: newDispatcher(r.bell, received, r.opts.Log), register: newRegister()}
	again := func() { r.refreshSoon(l) }
	l.sender = &sender{
		client: r.client, sharded: r.sharded, channel: name, node: node, opts: r.opts,
		local: l.local, bell: r.bell, room: outgoing, back: again,
		pause: r.opts.Beat, echoes: map[uint64]struct{}{}, wake: make(chan struct{}, 1),
	}
	l.link = &link{
		client: r.client, sharded: r.sharded, channel: name, opts: r.opts,
		peers: newPeers(node, r.opts.silence(), r.opts.Expiry), bell: r.bell, crew: r.crew,
		up: again, away: l.sender.isAway, message: l.receive,
		topics: map[string]*want{}, wake: make(chan struct{}, 1),
	}
	return l
}

// receive passes on what came from Redis.
func (l *lane) receive(topic string, e envelope) {
	if e.from == l.sender.node && l.sender.isEcho(e.number) {
		return
	}
	l.local.put(message{topic: topic, payload: e.payload})
}

func (r *Redis) lane(name string) *lane { return r.lanes[laneOf(name, len(r.lanes))] }

// Publish implements [Bus].
func (r *Redis) Publish(topic string, payload []byte) error {
	if r.crew.isDismissed() {
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

// watch has the subscribers look into the database for as long as a node is silent, be it this one.
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
			r.bell.ring()
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
	if !r.crew.dismiss() {
		return nil
	}
	if err := r.client.Close(); err != nil {
		r.opts.Log.Warn("bus: closing", slog.Any("error", err))
	}
	return nil
}

func (r *Redis) refuse(ctx context.Context) error {
	if r.crew.isDismissed() {
		return ErrClosed
	}
	return ctx.Err()
}
