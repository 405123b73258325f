package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// The largest number of channels in one subscribing command.
	commandChannels = 1000

	firstReconnect = 50 * time.Millisecond // doubled after each attempt, up to lastReconnect
	lastReconnect  = time.Second
)

// link is this node's subscription to one lane: the topics that are wanted, and a connection to Redis that brings them. The
// connection is made when the first topic of the lane is wanted, and again whenever it breaks. At most one command for a topic
// is on its way at a time; its answer decides about the next.
type link struct {
	client     redis.UniversalClient
	sharded    bool
	channel    string // the lane's own channel, with which the names of its topics' channels begin
	opts       Options
	peers      *peers
	losses     *notifier
	goroutines *goroutines
	up         func() // called when all subscriptions are in force again after a loss
	away       func() bool
	message    func(topic string, e envelope)

	mu      sync.Mutex
	state   linkState
	lossy   bool // messages may have been missed; reported once the subscriptions are in force
	topics  map[string]*want
	pending []string // topics whose command has yet to be sent
	wake    chan struct{}
}

type linkState int

const (
	linkIdle    linkState = iota // no topic was ever wanted
	linkOpening                  // connecting and subscribing
	linkOpen                     // every topic that was wanted when the connection was made is in force
	linkDown                     // waiting before the next attempt
)

// want is a topic that is subscribed, or is being subscribed or unsubscribed.
type want struct {
	refs  int
	state wantState
	late  bool          // a caller went on without waiting; a loss is reported once the topic is in force
	ready chan struct{} // closed when the topic is in force or the connection is down; nil if nobody waits
}

type wantState int

const (
	wantNone wantState = iota
	wantAsked
	wantInForce
	wantLeaving
)

var (
	errDeaf       = errors.New("no word from ourselves")
	errMovedAway  = errors.New("redis ended a subscription")
	errUnexpected = errors.New("unexpected answer")
)

// acquire subscribes to a topic, and returns when it is in force or the link is down. It returns an error only if ctx is
// cancelled. In either case the caller must release the topic.
func (l *link) acquire(ctx context.Context, topic string) error {
	ready := l.want(topic)
	if ready == nil {
		return nil
	}
	patience := time.NewTimer(l.opts.Timeout)
	defer patience.Stop()
	select {
	case <-ready:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.topics[topic]; w != nil && w.state != wantInForce {
		w.late = true
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("subscribe: %w", ctx.Err())
	}
	return nil
}

// want counts one more caller that wants a topic. It returns a channel to wait for, nil if there is nothing to wait for.
func (l *link) want(topic string) (ready <-chan struct{}) {
	away := l.away()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == linkIdle {
		l.state = linkOpening
		l.goroutines.run(l.run)
	}
	w := l.topics[topic]
	if w == nil {
		w = &want{}
		l.topics[topic] = w
	}
	w.refs++
	if w.state == wantInForce {
		return nil
	}
	if w.state == wantNone {
		l.command(topic, w, wantAsked)
	}
	if away || l.state == linkDown {
		w.late = true
		return nil
	}
	if w.ready == nil {
		w.ready = make(chan struct{})
	}
	return w.ready
}

// release undoes one acquire.
func (l *link) release(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.topics[topic]
	if w.refs--; w.refs == 0 && w.state == wantInForce {
		l.command(topic, w, wantLeaving)
	}
}

// command queues the command that leads to a state. The caller holds mu.
func (l *link) command(topic string, w *want, state wantState) {
	w.state = state
	l.pending = append(l.pending, topic)
	signal(l.wake)
}

// run keeps the link connected until ctx ends.
func (l *link) run(ctx context.Context) {
	pause := firstReconnect
	for ctx.Err() == nil {
		l.restart()
		err := l.session(ctx)
		wasOpen := l.stop()
		if ctx.Err() != nil {
			return
		}
		if wasOpen {
			pause = firstReconnect
			l.opts.Log.Warn("bus: subscription lost", slog.String("lane", l.channel), slog.Any("error", err))
		}
		if c, ok := l.client.(*redis.ClusterClient); ok {
			c.ReloadState(ctx) // in the background, since the lane may have a new master
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // no secret
		}
		pause = min(2*pause, lastReconnect)
	}
}

// restart forgets the state of the last connection and subscribes to every wanted topic again.
func (l *link) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = linkOpening
	l.pending = nil
	for topic, w := range l.topics {
		if w.refs == 0 {
			w.wakeUp()
			delete(l.topics, topic)
			continue
		}
		l.command(topic, w, wantAsked)
	}
}

// stop notes that the connection has ended. It reports whether the connection was open.
func (l *link) stop() (wasOpen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wasOpen = l.state == linkOpen
	l.state, l.lossy = linkDown, true
	for _, w := range l.topics {
		w.state = wantNone
		w.wakeUp()
	}
	return wasOpen
}

func (w *want) wakeUp() {
	if w.ready != nil {
		close(w.ready)
		w.ready = nil
	}
}

// session makes one connection and reads from it until it breaks.
func (l *link) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ps := l.client.Subscribe(ctx) // sends nothing yet
	closePS := func() { _ = ps.Close() }
	defer closePS()
	defer context.AfterFunc(ctx, closePS)() // closing ends the reading

	l.peers.listen()
	if err := l.write(ctx, ps); err != nil {
		return err
	}
	// The lane's own channel comes last. Redis answers commands in order, so the answer for this channel says that all topics
	// before it are in force.
	if err := l.subscribe(ctx, ps, []string{l.channel}); err != nil {
		return err
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		if l.keepWriting(ctx, ps) != nil {
			cancel()
		}
	})
	err := l.read(ctx, ps)
	cancel()
	writer.Wait()
	return err
}

func (l *link) keepWriting(ctx context.Context, ps *redis.PubSub) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		}
		if err := l.write(ctx, ps); err != nil {
			return err
		}
	}
}

// write sends the queued commands, each for many topics.
func (l *link) write(ctx context.Context, ps *redis.PubSub) error {
	l.mu.Lock()
	var join, leave []string
	for _, topic := range l.pending {
		if l.topics[topic].state == wantAsked {
			join = append(join, l.channel+":"+topic)
		} else {
			leave = append(leave, l.channel+":"+topic)
		}
	}
	l.pending = nil
	l.mu.Unlock()

	if err := l.subscribe(ctx, ps, join); err != nil {
		return err
	}
	return l.unsubscribe(ctx, ps, leave)
}

func (l *link) subscribe(ctx context.Context, ps *redis.PubSub, channels []string) error {
	do := ps.Subscribe
	if l.sharded {
		do = ps.SSubscribe
	}
	return inChunks(ctx, channels, do)
}

func (l *link) unsubscribe(ctx context.Context, ps *redis.PubSub, channels []string) error {
	do := ps.Unsubscribe
	if l.sharded {
		do = ps.SUnsubscribe
	}
	return inChunks(ctx, channels, do)
}

func inChunks(ctx context.Context, channels []string, do func(context.Context, ...string) error) error {
	for len(channels) > 0 {
		n := min(len(channels), commandChannels)
		if err := do(ctx, channels[:n]...); err != nil {
			return err
		}
		channels = channels[n:]
	}
	return nil
}

// read handles what Redis sends. Our own beats arrive once a second. A connection that brings nothing is therefore broken, and
// so is one that brings only other nodes' messages.
func (l *link) read(ctx context.Context, ps *redis.PubSub) error {
	for {
		received, err := ps.ReceiveTimeout(ctx, l.opts.silence())
		if err != nil {
			return err
		}
		switch r := received.(type) {
		case *redis.Message:
			err = l.hear(r.Channel, r.Payload)
		case *redis.Subscription:
			err = l.answered(r.Kind, r.Channel)
		}
		if err != nil {
			return err
		}
	}
}

func (l *link) hear(channel, text string) error {
	e, err := decode([]byte(text))
	if err != nil {
		return nil //nolint:nilerr // not a message for this version
	}
	if channel != l.channel {
		if e.kind == kindMessage {
			l.message(channel[len(l.channel)+1:], e)
		}
		return nil
	}
	if e.kind != kindMessage && l.peers.hear(e) {
		l.losses.notify()
	}
	if l.peers.deaf() {
		return errDeaf
	}
	return nil
}

// answered handles Redis's answer to a command for a channel. Without a command, it means that Redis has ended the
// subscription, because the slot has moved to another master.
func (l *link) answered(kind, channel string) error {
	joined := kind == "subscribe" || kind == "ssubscribe"
	if channel == l.channel {
		if !joined {
			return errMovedAway
		}
		l.inForce()
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	topic := channel[min(len(l.channel)+1, len(channel)):]
	w := l.topics[topic]
	switch {
	case w == nil:
		return errUnexpected
	case joined && w.state == wantAsked:
		l.joined(topic, w)
	case !joined && w.state == wantLeaving:
		if w.refs > 0 {
			l.command(topic, w, wantAsked)
		} else {
			delete(l.topics, topic)
		}
	case !joined:
		return errMovedAway
	default:
		return errUnexpected
	}
	return nil
}

// joined notes that a topic is in force. The caller holds mu.
func (l *link) joined(topic string, w *want) {
	w.state = wantInForce
	w.wakeUp()
	if w.late {
		w.late = false
		l.losses.notify()
	}
	if w.refs == 0 {
		l.command(topic, w, wantLeaving)
	}
}

// inForce notes that all subscriptions are in force.
func (l *link) inForce() {
	l.mu.Lock()
	lossy := l.lossy
	l.state, l.lossy = linkOpen, false
	l.mu.Unlock()
	if lossy {
		l.opts.Log.Info("bus: subscription is back", slog.String("lane", l.channel))
		l.losses.notify()
		l.up()
	}
}

// check returns an error while messages may be missed.
func (l *link) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lossy {
		return fmt.Errorf("%w: subscription of lane %s is down", ErrAway, l.channel)
	}
	return nil
}

// silent reports whether a node of this lane that should be heard isn't, or none can be heard.
func (l *link) silent() bool {
	l.mu.Lock()
	used, deaf := l.state != linkIdle, l.lossy
	l.mu.Unlock()
	return deaf || used && l.peers.silent()
}
