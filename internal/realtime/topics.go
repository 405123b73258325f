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
	roster      sync.Mutex    // see rosterLock
	subscribed  chan struct{} // closed when cancel and err are set
	cancel      func()
	err         error // why nobody hears anything here
	mu          sync.Mutex
	connections set
}

func newTopics(bus cluster.Bus, handle func(*topic, []byte)) *topics {
	return &topics{bus: bus, handle: handle, open: make(map[string]*topic)}
}

// join makes a connection hear of a topic. When it returns, nothing published from now on is missed, except what the
// bus loses.
func (ts *topics) join(ctx context.Context, name string, c *connection) error {
	t, first := ts.enter(name, c)
	if first {
		t.cancel, t.err = ts.bus.Subscribe(context.WithoutCancel(ctx), name, func(payload []byte) { ts.handle(t, payload) })
		if t.err != nil {
			t.cancel = func() {}
		}
		close(t.subscribed)
	}
	var err error
	select {
	case <-t.subscribed:
		err = t.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		ts.leave(name, c)
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// enter adds a connection to a topic; the first one of a topic has to subscribe to it.
func (ts *topics) enter(name string, c *connection) (t *topic, first bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, known := ts.open[name]
	if !known {
		t = &topic{name: name, subscribed: make(chan struct{})}
		ts.open[name] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connections.add(c)
	return t, !known
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
	empty := len(t.connections.all) == 0
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
	for _, c := range t.connections.all {
		f(c)
	}
}

// size is the number of the topic's connections.
func (t *topic) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.connections.all)
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
	if len(connections.all) == 0 {
		delete(s.open, c.session.ID)
		return
	}
	s.open[c.session.ID] = connections
}

func (s *sessions) of(session string) []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open[session].all)
}
