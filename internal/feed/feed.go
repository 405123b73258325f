// Package feed is what nodes tell each other, and how it reaches the sockets that it concerns: one Go type for each kind of
// event, its JSON on the bus, and the topics that sockets subscribe to.
//
//	feed.go      publishing, and delivering to this node's subscribers; joining and leaving topics
//	events.go    the events: one type for each kind, and the list of all kinds
//	notify.go    … and which of them an event of package chat becomes
//	codec.go     the JSON of an event on the bus
//	stored.go    … and that of MessageStored, the most frequent one, written and read by hand
//	topics.go    a topic and its subscribers
//	set.go       … in sets that are small while they hold few
//	sessions.go  the end of a session, which every node is told
//
// Adding a kind of event: its type in events.go with the four methods of Event, its line in kinds, and a method of
// Subscriber. The compiler then asks each kind of socket for that method, and tests ask for the line in kinds and for the
// case in eventOf (notify.go) of a kind that package chat tells of.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"tim/internal/cluster"
)

// Feed publishes events and brings them to this node's subscribers. Safe for concurrent use.
type Feed struct {
	bus cluster.Bus
	log *slog.Logger

	mu   sync.Mutex
	open map[string]*Topic
}

// New returns a feed over a bus.
func New(bus cluster.Bus, log *slog.Logger) *Feed {
	return &Feed{bus: bus, log: log, open: make(map[string]*Topic)}
}

// Publish tells every node of an event. It never waits and never fails: a socket that misses it catches up from the
// database. This node's subscribers hear of it over the bus as well.
func (f *Feed) Publish(e Event) {
	payload, err := encode(e)
	if err != nil {
		f.log.Error("an event can't be encoded", "event", e.kind(), "err", err)
		return
	}
	for _, topic := range e.topics() {
		_ = f.bus.Publish(topic, payload) // the bus itself logs and tells of what it loses
	}
}

// deliver brings an event to the subscribers of a topic. It runs on the bus's goroutine and must not block.
func (f *Feed) deliver(t *Topic, payload []byte) {
	defer f.survive(t.name)
	e, err := decode(payload)
	switch {
	case err != nil:
		f.log.Error("unreadable event", "topic", t.name, "err", err)
	case e == nil:
		f.log.Debug("an event of a newer version", "topic", t.name)
	default:
		n := Announcement{Topic: t, Target: e.target(t.name)}
		t.mu.Lock()
		defer t.mu.Unlock()
		n.Subscribers = t.subscribers.size()
		t.subscribers.each(func(s Subscriber) { e.tell(s, &n) })
	}
}

// survive keeps a panic in what is done for many sockets from ending the process. Deferred.
func (f *Feed) survive(where string) {
	if p := recover(); p != nil {
		f.log.Error("panic", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// Join makes a subscriber hear of a topic. When it returns, nothing published from now on is missed, except what the bus
// loses. Joining a topic once more does nothing.
func (f *Feed) Join(ctx context.Context, topic string, s Subscriber) error {
	t, pending, first := f.enter(topic, s)
	if first {
		f.subscribe(ctx, t, pending)
	}
	var err error
	if pending != nil {
		select {
		case <-pending.done:
			err = pending.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		f.Leave(topic, s)
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// subscribe is for the first subscriber of a topic.
func (f *Feed) subscribe(ctx context.Context, t *Topic, p *pending) {
	t.cancel, p.err = f.bus.Subscribe(context.WithoutCancel(ctx), t.name, func(payload []byte) { f.deliver(t, payload) })
	if p.err != nil {
		t.cancel = func() {}
	} else {
		f.mu.Lock()
		t.pending = nil
		f.mu.Unlock()
	}
	close(p.done)
}

// enter adds a subscriber to a topic. The first one of a topic has to subscribe to the bus, and others have to wait for
// that while it is pending.
func (f *Feed) enter(name string, s Subscriber) (t *Topic, p *pending, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, known := f.open[name]
	if !known {
		t = &Topic{name: name, pending: &pending{done: make(chan struct{})}}
		f.open[name] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers.add(s)
	return t, t.pending, !known
}

// Leave ends what Join began. Leaving a topic that one has not joined does nothing.
func (f *Feed) Leave(topic string, s Subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.open[topic]
	if !ok {
		return
	}
	t.mu.Lock()
	t.subscribers.remove(s)
	empty := t.subscribers.size() == 0
	t.mu.Unlock()
	if empty {
		delete(f.open, topic)
		t.cancel() // is set: the one who subscribes to the bus is among the subscribers until it has
	}
}

// Topic returns a topic, nil if this node has no subscriber to it.
func (f *Feed) Topic(name string) *Topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[name]
}

// Subscribers lists this node's subscribers to a topic.
func (f *Feed) Subscribers(topic string) (all []Subscriber) {
	if t := f.Topic(topic); t != nil {
		t.Each(func(s Subscriber) { all = append(all, s) })
	}
	return all
}

// Topics lists the names of the topics that this node has subscribers to.
func (f *Feed) Topics() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.open))
}

// The names of topics begin with what they are about.
const (
	aboutAccount      = "a:"
	aboutConversation = "c:"
	aboutPresence     = "p:"
)

// AccountTopic carries what concerns one account: its one-to-one messages, its contacts, its memberships.
func AccountTopic(account string) string { return aboutAccount + account }

// ConversationTopic carries what concerns the members of a group.
func ConversationTopic(conversation string) string { return aboutConversation + conversation }

// PresenceTopic carries whether an account is online, for those who follow it.
func PresenceTopic(account string) string { return aboutPresence + account }

// PresenceOf undoes PresenceTopic, and reports whether topic is one.
func PresenceOf(topic string) (account string, ok bool) {
	return strings.CutPrefix(topic, aboutPresence)
}

// ConversationOf undoes ConversationTopic, and reports whether topic is one.
func ConversationOf(topic string) (conversation string, ok bool) {
	return strings.CutPrefix(topic, aboutConversation)
}
