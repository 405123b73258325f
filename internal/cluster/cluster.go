// Package cluster is what the nodes of one installation tell each other: a bus that carries messages between
// them, and presence, which knows who has which room open. In memory for one node, over Redis (standalone or
// Redis Cluster) for many. The package knows nothing of chats: topics, rooms, members and payloads are the caller's.
//
// # The path of a published message
//
// Topics are dealt out to a fixed number of lanes. In memory:
//
//	Memory.Publish → dispatcher.put (a queue, bounded in bytes) → dispatcher.run → handlers
//
// Over Redis, where a lane is one slot of the cluster:
//
//	Redis.Publish → sender.publish (a queue, bounded in bytes) → sender.run → PUBLISH, in batches, on a pooled connection
//	→ Redis → link.read, on each node that subscribed → dispatcher.put → dispatcher.run → handlers
//
// Publishing never delivers by itself, with one exception: what Redis can't take goes from the sender straight to
// this node's own dispatcher, so that a node goes on serving its sockets.
//
// # What is lost, and who is told
//
// Push is a hint; the truth is in the database. The bus loses messages when Redis or a connection fails, or when
// a queue is full, and then calls [Options.OnLost], upon which the subscribers catch up from the database. Three
// things make sure that a loss is noticed:
//
//   - a subscriber whose connection broke knows it (link);
//   - every node says once a second, on each lane's own channel, that it is there and how many of its messages
//     Redis didn't take: a number that grew tells of messages which nobody else could know of (sender, peers);
//   - a node that is silent for three seconds may be publishing where we don't hear it (peers). A node also
//     listens for itself, which proves the whole way there and back.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

// Bus carries messages to everyone who subscribed to their topic, on every node. Implemented by [Memory] and
// [Redis]. All methods may be called from any goroutine, also from handlers.
type Bus interface {
	// Publish hands payload to the bus, which delivers it to all subscribers of topic, on this node too. It never
	// waits: neither for Redis nor for a handler. Payloads that one goroutine publishes to one topic arrive in that
	// order, and all subscribers of a node see the same order. The caller must not change payload afterwards.
	//
	// Without an error the payload is on its way, and no more: what Redis then doesn't take is delivered on this node
	// alone, and OnLost is called, here and on the others as soon as they can be told. Where it couldn't be known
	// whether Redis took it, it may come twice.
	//
	// An error says that it is known already that not everybody gets the payload. With [ErrAway] it is delivered on
	// this node alone, with [ErrFull] on this node at most, and the others are told as above; the bus writes to the
	// log when that begins, not for each message. What is delivered so may overtake what is still on its way through
	// Redis; OnLost is then called here, too. After [ErrClosed] nothing is delivered.
	Publish(topic string, payload []byte) error

	// Subscribe calls h with every payload published to topic from now on: when it returns, a message published
	// by any node is delivered. It waits for that until ctx ends, Options.Timeout at most. When Redis is away or the
	// time is over, it returns without an error all the same; the subscription comes into force by itself, and
	// OnLost follows. The only errors are [ErrClosed] and a cancelled ctx, and then nothing is subscribed.
	//
	// h runs on the bus's goroutine: it must not block, nor change payload, which all subscribers share. It may
	// call any method but Close. cancel ends the subscription, may be called more than once, never blocks, and
	// after it no new call of h begins (one that runs may still be running).
	Subscribe(ctx context.Context, topic string, h func(payload []byte)) (cancel func(), err error)
}

// Presence knows who has which room open, by socket, on all nodes. Implemented by [Memory] and [Redis]. All
// methods may be called from any goroutine, but those for one id one after the other.
//
// While Redis is away every method fails within two seconds, at once when that is known already.
type Presence interface {
	// Join enters member into room by its socket id, which no other socket of any node may use in this room.
	// first tells whether the member had no live entry in the room before. After an error the entry is kept
	// on this node and written as soon as Redis can be reached; it must be taken back with Leave like any other.
	// The entry lives until Leave, Close, or [Options.Expiry] after this node died.
	Join(ctx context.Context, room, member, id string) (first bool, err error)

	// Leave takes the entry back. last tells whether the member has no live entry in the room any more. After
	// an error it is carried out as soon as Redis can be reached. Leaving what was not joined here does nothing.
	Leave(ctx context.Context, room, member, id string) (last bool, err error)

	// Members returns who is in room, each member once, by the time at which its oldest live entry joined, the
	// first limit of them, and the number of all.
	Members(ctx context.Context, room string, limit int) (members []string, total int, err error)

	// Online tells for each of rooms whether it has any live entry.
	Online(ctx context.Context, rooms []string) ([]bool, error)
}

// Node is one node's part in the cluster: what internal/app constructs, once, and hands to those who need the
// Bus or the Presence of it.
type Node interface {
	Bus
	Presence

	// Healthy returns nil when this node hears the others and they hear it. It asks Redis, for at most
	// [Options.Timeout].
	Healthy(ctx context.Context) error

	// Close brings what was published to Redis, for at most [Options.Timeout], takes this node's entries out of all
	// rooms, says goodbye to the other nodes, and returns when all goroutines of the bus have ended, two to three
	// seconds later at worst. No handler is called afterwards.
	// It must not be called from a handler or from OnLost. The second call does nothing.
	Close() error
}

var (
	// ErrAway says that Redis can't be reached, or doesn't answer in time.
	ErrAway = errors.New("redis is away")
	// ErrFull says that a queue was full: the message is lost, for the other nodes or for all, and they are told.
	ErrFull = errors.New("the bus's queue is full")
	// ErrClosed says that the node was closed.
	ErrClosed = errors.New("the cluster node is closed")
)

// Options are the settings of a node; the zero value of each means its default. Nodes that shall hear each other
// need the same Prefix, Beat and Expiry.
type Options struct {
	// OnLost is called on a goroutine of its own, never twice at the same time, whenever messages may have been
	// lost, after the subscriptions are in force again. While Redis is away, or another node is silent, it is
	// called every three Beats, because the only way to learn of anything then is to look into the database.
	OnLost func()

	// Prefix begins the name of every key and channel. No braces. Default: tim.
	Prefix string

	// Timeout is how long one request to Redis may take. Default: 1 s.
	Timeout time.Duration

	// Beat is how often each node says that it is there. Default: 1 s. A node not heard for three Beats is silent.
	Beat time.Duration

	// Expiry is how long an entry of presence outlives its last refresh, Refresh how often a node refreshes its
	// own. Defaults: 45 s, and a third of Expiry.
	Expiry, Refresh time.Duration

	// QueueBytes bounds what waits for handlers, and again what waits for Redis. Default: 64 MiB.
	QueueBytes int64

	// Log gets the few lines about Redis going away and coming back. Default: none.
	Log *slog.Logger
}

const (
	silentBeats = 3 // so many beats without a word, and a node is silent

	defaultPrefix     = "tim"
	defaultTimeout    = time.Second
	defaultBeat       = time.Second
	defaultExpiry     = 45 * time.Second
	defaultQueueBytes = 64 << 20
)

func (o Options) withDefaults() Options {
	if o.OnLost == nil {
		o.OnLost = func() {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Prefix = cmp.Or(o.Prefix, defaultPrefix)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.Beat = cmp.Or(o.Beat, defaultBeat)
	o.Expiry = cmp.Or(o.Expiry, defaultExpiry)
	o.Refresh = cmp.Or(o.Refresh, o.Expiry/3)
	o.QueueBytes = cmp.Or(o.QueueBytes, defaultQueueBytes)
	return o
}

// silence is how long a node may be unheard of before the others look after what it may have said.
func (o Options) silence() time.Duration { return silentBeats * o.Beat }
