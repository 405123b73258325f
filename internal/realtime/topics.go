package realtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tim/internal/cluster"
)

// topics knows which of this node's connections hear of what. Each topic that has one is subscribed to once. Safe for
// concurrent use.
type topics struct {
	bus    cluster.Bus
	handle func(t *topic, payload []byte)

	mu   sync.Mutex
	open map[string]*topic
}

// topic is what some connections listen to.
type topic struct {
	name        string
	roster      sync.Mutex   // see rosterLock
	subscribing *subscribing // nil once it is subscribed to; guarded by the topics' mu
	cancel      func()
	mu          sync.Mutex
	connections set
}

// subscribing is on its way to the bus, or has failed.
type subscribing struct {
	done chan struct{} // closed when err is set, and the topic's cancel
	err  error         // why nobody hears anything here
}

func newTopics(bus cluster.Bus, handle func(*topic, []byte)) *topics {
	return &topics{bus: bus, handle: handle, open: make(map[string]*topic)}
}

// join makes a connection hear of a topic. When it returns, nothing published from now on is missed, except what the
// bus loses.
func (ts *topics) join(ctx context.Context, name string, c *connection) error {
	t, s, first := ts.enter(name, c)
	if first {
		ts.subscribe(ctx, t, s)
	}
	var err error
	if s != nil {
		select {
		case <-s.done:
			err = s.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		ts.leave(name, c)
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// subscribe is for the first connection of a topic.
func (ts *topics) subscribe(ctx context.Context, t *topic, s *subscribing) {
	t.cancel, s.err = ts.bus.Subscribe(context.WithoutCancel(ctx), t.name, func(payload []byte) { ts.handle(t, payload) })
	if s.err != nil {
		t.cancel = func() {}
	} else {
		ts.mu.Lock()
		t.subscribing = nil
		ts.mu.Unlock()
	}
	close(s.done)
}

// enter adds a connection to a topic; the first one of a topic has to subscribe to it, and others to wait for that unless
// it is done.
func (ts *topics) enter(name string, c *connection) (t *topic, s *subscribing, first bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, known := ts.open[name]
	if !known {
		t = &topic{name: name, subscribing: &subscribing{done: make(chan struct{})}}
		ts.open[name] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connections.add(c)
	return t, t.subscribing, !known
}

// leave ends what join began. Leaving a topic that one has not joined does nothing.
func (ts *topics) leave(name string, c *connection) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.open[name]
	if !ok {
		return
	}
	t.mu.Lock()
	t.connections.remove(c)
	empty := t.connections.size() == 0
	t.mu.Unlock()
	if empty {
		delete(ts.open, name)
		// The one who subscribes is among the connections until it has, so cancel is set.
		t.cancel()
	}
}

// get returns a topic, nil if no connection listens to it.
func (ts *topics) get(name string) *topic {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.open[name]
}

// withPrefix lists the rests of the topics' names that begin so.
func (ts *topics) withPrefix(prefix string) (rests []string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for name := range ts.open {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			rests = append(rests, rest)
		}
	}
	return rests
}

// of lists the connections that listen to a topic.
func (ts *topics) of(name string) (connections []*connection) {
	if t := ts.get(name); t != nil {
		t.each(func(c *connection) { connections = append(connections, c) })
	}
	return connections
}

// has tells whether a connection of a kind listens to a topic.
func (ts *topics) has(name string, k kind) bool {
	return slices.ContainsFunc(ts.of(name), func(c *connection) bool { return c.kind == k })
}

// each calls f with every connection of the topic. f must not block, nor join or leave.
func (t *topic) each(f func(*connection)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connections.each(f)
}

// size is the number of the topic's connections.
func (t *topic) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.connections.size()
}

// sessions knows the connections of each session. Safe for concurrent use.
type sessions struct {
	mu   sync.Mutex
	open map[string]set
}

func newSessions() *sessions { return &sessions{open: make(map[string]set)} }

func (s *sessions) add(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	connections := s.open[c.session.ID]
	connections.add(c)
	s.open[c.session.ID] = connections
}

func (s *sessions) remove(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	connections := s.open[c.session.ID]
	connections.remove(c)
	if connections.size() == 0 {
		delete(s.open, c.session.ID)
		return
	}
	s.open[c.session.ID] = connections
}

func (s *sessions) of(session string) (all []*connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	connections := s.open[session]
	connections.each(func(c *connection) { all = append(all, c) })
	return all
}
