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
	// A subscribing command names at most so many channels.
	commandChannels = 1000

	firstReconnect = 50 * time.Millisecond // then twice as long each time, up to
	lastReconnect  = time.Second
)

// link is this node's subscription to one lane: a connection to Redis, made when the lane's first topic is
// wanted and made anew whenever it breaks, and the topics it is to bring. Of each topic at most one command is
// on its way; the answer decides about the next.
type link struct {
	client  redis.UniversalClient
	sharded bool
	channel string // the lane's own channel, and what the names of its topics begin with
	opts    Options
	peers   *peers
	bell    *bell
	crew    *crew
	up      func() // called when all subscriptions are in force again after a loss
	away    func() bool
	message func(topic string, e envelope)

	mu      sync.Mutex
	state   linkState
	lossy   bool // messages may have been missed: ring when the subscriptions are in force
	topics  map[string]*want
	pending []string // topics whose command is to be sent
	wake    chan struct{}
}

type linkState int

const (
	linkIdle    linkState = iota // nothing was ever wanted
	linkOpening                  // connecting, subscribing
	linkOpen                     // everything wanted when it was made is in force
	linkDown                     // waiting before the next attempt
)

// want is a topic that is subscribed, or on its way to be or not to be.
type want struct {
	refs  int
	state wantState
	late  bool          // somebody went on without waiting: ring when it is in force
	ready chan struct{} // closed when it is in force, or the connection is down; nil when nobody waits
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

// acquire has the topic brought, and returns when it is in force or the link is down. It fails only when ctx is
// cancelled; the caller then releases the topic like any other.
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

// want counts one who wants the topic. It returns what to wait for, nil for nothing.
func (l *link) want(topic string) (ready <-chan struct{}) {
	away := l.away()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == linkIdle {
		l.state = linkOpening
		l.crew.run(l.run)
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

// release takes back one acquire.
func (l *link) release(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.topics[topic]
	if w.refs--; w.refs == 0 && w.state == wantInForce {
		l.command(topic, w, wantLeaving)
	}
}

// command has the writer send the command that leads to state; mu is held.
func (l *link) command(topic string, w *want, state wantState) {
	w.state = state
	l.pending = append(l.pending, topic)
	signal(l.wake)
}

// run keeps the link up until ctx ends.
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
			c.ReloadState(ctx) // in the background: the lane may have a new master
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // no secret
		}
		pause = min(2*pause, lastReconnect)
	}
}

// restart forgets what the last connection had, and has everything wanted subscribed.
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

// stop notes that the connection is gone. It tells whether it was open.
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

// session makes one connection and reads it until it breaks.
func (l *link) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ps := l.client.Subscribe(ctx) // sends nothing yet
	closePS := func() { _ = ps.Close() }
	defer closePS()
	defer context.AfterFunc(ctx, closePS)() // which ends the reading

	l.peers.listen()
	if err := l.write(ctx, ps); err != nil {
		return err
	}
	// The lane's own channel comes last: answers keep the order of the commands, so its answer says that all
	// topics above are in force.
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

// write sends the pending commands, many topics in one.
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

// read takes in what Redis says. Our own beats come once a second, so a connection on which nothing comes is
// broken, and so is one on which only others are heard.
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
		return nil //nolint:nilerr // not for us: perhaps from a later version
	}
	if channel != l.channel {
		if e.kind == kindMessage {
			l.message(channel[len(l.channel)+1:], e)
		}
		return nil
	}
	if e.kind != kindMessage && l.peers.hear(e) {
		l.bell.ring()
	}
	if l.peers.deaf() {
		return errDeaf
	}
	return nil
}

// answered takes in that Redis has carried out a command for a channel, or has ended the subscription by itself
// because the slot moved to another master.
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

// joined notes that a topic is in force; mu is held.
func (l *link) joined(topic string, w *want) {
	w.state = wantInForce
	w.wakeUp()
	if w.late {
		w.late = false
		l.bell.ring()
	}
	if w.refs == 0 {
		l.command(topic, w, wantLeaving)
	}
}

// inForce notes that all subscriptions are in force again.
func (l *link) inForce() {
	l.mu.Lock()
	lossy := l.lossy
	l.state, l.lossy = linkOpen, false
	l.mu.Unlock()
	if lossy {
		l.opts.Log.Info("bus: subscription is back", slog.String("lane", l.channel))
		l.bell.ring()
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

// silent tells whether somebody on this lane should be heard and isn't, or nobody can be.
func (l *link) silent() bool {
	l.mu.Lock()
	used, deaf := l.state != linkIdle, l.lossy
	l.mu.Unlock()
	return deaf || used && l.peers.silent()
}
