package feed

import (
	"sync"

	"tim/internal/chat"
)

// Topic is what some of this node's sockets have subscribed to. Each topic is subscribed to on the bus once.
type Topic struct {
	name    string
	roster  sync.Mutex // see Roster
	pending *pending   // nil once the bus has it; guarded by the feed's mu
	cancel  func()

	mu          sync.Mutex
	subscribers set
}

// pending is a subscription on its way to the bus, or one that has failed.
type pending struct {
	done chan struct{} // closed when err is set, and the topic's cancel
	err  error         // why nobody hears anything here
}

// Name is the topic's name.
func (t *Topic) Name() string { return t.name }

// Each calls f with every subscriber. f must not block, join or leave.
func (t *Topic) Each(f func(Subscriber)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers.each(f)
}

// Roster is the lock under which this node enters and leaves the group's room of presence and publishes who is in it. So the
// newest list is also the last that comes.
func (t *Topic) Roster() sync.Locker { return &t.roster }

// Announcement is an event as the subscribers of one topic get it.
type Announcement struct {
	Topic       *Topic
	Subscribers int         // how many the topic has
	Target      chat.Target // the conversation as these subscribers name it

	// Frames is the event as a frame of each face, made by the first subscriber that needs it: an event is encoded once for
	// all subscribers. Subscribers hear of an event one after the other, so no lock is needed.
	Frames [faces][]byte
}

// Face is a way in which sockets encode an event: by the socket's kind, and by the audience where an event differs for it.
type Face int

// The faces.
const (
	Contract Face = iota // the three sockets of the interface document
	TimV1
	TimV1Sender // a message as its sender gets it
	TimV1Marks  // the marks that a message moves
	faces
)
