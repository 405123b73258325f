// Package cluster connects the nodes of one installation: a bus carries messages between them, and presence knows which members
// have a room open. A single node has both in memory; several nodes have them in Redis (standalone or Redis Cluster). The
// package knows nothing of chats: topics, rooms, members and payloads are the caller's.
//
//	cluster.go         Bus, Presence and Node, which both kinds of node keep
//	memory.go          a single node; memorypresence.go its presence
//	redis.go           a node of several; connect.go, sentinel.go and clientlog.go its Redis client
//	sender.go          … publishing, in batches
//	link.go            … the connection that it subscribes on
//	peers.go           … which nodes are there, and what they lost
//	envelope.go        … what travels with a message
//	presence.go        … who has which room open; scripts.go what Redis runs for that
//	register.go        … its own members, entered again after a loss
//	limit.go           token buckets, in memory and shared
//	mark.go            … which Redis it is
//	dispatcher.go      the queue of messages that have come, and the handlers
//	notifier.go        calling onLost; goroutines.go ending a node's goroutines
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
// Publishing never delivers by itself, with one exception: messages that Redis doesn't take go from the sender straight to this
// node's own dispatcher, so that the node goes on serving its sockets.
//
// # What is lost, and who is told
//
// The bus is a hint; the database has the truth. The bus loses messages when Redis or a connection fails, or when a queue is
// full. It then calls onLost (see [Node].Start), and the subscribers catch up from the database. Three things make sure that a
// loss is noticed:
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

// Bus carries messages to all subscribers of their topic, on every node. [Memory] and [Redis] implement it. All methods are
// safe for concurrent use, and handlers may call them.
type Bus interface {
	// Publish hands payload to the bus, which delivers it to all subscribers of topic, also on this node. It waits neither for
	// Redis nor for a handler. Payloads that one goroutine publishes to one topic arrive in that order, and all subscribers of
	// a node see the same order. The caller must not change payload afterwards.
	//
	// Without an error the payload is queued. If Redis then doesn't take it, it is delivered on this node alone, and onLost is
	// called here, and on the others as soon as they can be told. If it isn't known whether Redis has taken it, it may be
	// delivered twice.
	//
	// An error says that some subscribers don't get the payload. With [ErrAway] it is delivered on this node alone, with
	// [ErrFull] on this node at most, and the others are told as above. The bus logs the first such error, not each. The
	// payload may then overtake those that are on their way through Redis, so onLost is called here, too. With [ErrClosed]
	// nothing is delivered.
	Publish(topic string, payload []byte) error

	// Subscribe calls h with every payload published to topic after it returns, by any node. It waits until Redis confirms the
	// subscription, at most Options.Timeout and while ctx lives. If Redis is away or doesn't confirm in time, Subscribe returns
	// without an error nonetheless; the subscription takes effect later, and onLost is called then. The only errors are
	// [ErrClosed] and a cancelled ctx, after which nothing is subscribed.
	//
	// The bus calls h on its own goroutine. h must not block and must not change payload, which all subscribers share. It may
	// call any method but Close. cancel ends the subscription. It never blocks and may be called more than once. After it no
	// new call of h begins, but one may still be running.
	Subscribe(ctx context.Context, topic string, h func(payload []byte)) (cancel func(), err error)
}

// Presence knows which members have a room open, by socket, on all nodes. [Memory] and [Redis] implement it. All methods are
// safe for concurrent use, but calls for one id must come one after the other.
//
// While Redis is away every method returns an error, within two seconds, or at once when that is known already.
type Presence interface {
	// Join enters member into room under the id of its socket. No other socket of any node may use the id in this room. first
	// reports whether the member had no live entry in the room before. After an error the entry is kept on this node and
	// written as soon as Redis can be reached; Leave must be called for it, too. The entry lives until Leave or Close, or until
	// [Options.Expiry] after the node's death.
	Join(ctx context.Context, room, member, id string) (first bool, err error)

	// Leave removes the entry of a socket. last reports whether the member has no live entry in the room any more. After an
	// error the entry is removed as soon as Redis can be reached. For an entry that this node hasn't joined, Leave does
	// nothing.
	Leave(ctx context.Context, room, member, id string) (last bool, err error)

	// Members returns the members in room, each once, in the order in which their oldest live entries joined: the first limit
	// of them, and the number of all.
	Members(ctx context.Context, room string, limit int) (members []string, total int, err error)

	// Online reports for each of rooms whether it has a live entry.
	Online(ctx context.Context, rooms []string) ([]bool, error)
}

// Node is one node's part in the cluster. internal/app makes one and hands it to the users of its Bus and its Presence.
type Node interface {
	Bus
	Presence

	// Start begins to deliver messages and, over Redis, to send them. Before it, Publish queues, and Subscribe and
	// Presence work. It must be called once, after whoever onLost calls has been built.
	//
	// onLost is called on a goroutine of its own, never twice at the same time, whenever messages may have been lost,
	// after the subscriptions are in force again. While Redis is away, or another node is silent, it is called every
	// three Beats, because then only the database can tell what has happened. It may be nil.
	Start(onLost func())

	// Limit returns a token bucket for each key. Nodes share the buckets of Limits with the same name, which must have the same
	// burst and refill on all of them. It may be called once for each name.
	Limit(name string, burst int, refill time.Duration) *Limit

	// Healthy returns nil if this node and the others hear each other. It asks Redis, for [Options.Timeout] at most.
	Healthy(ctx context.Context) error

	// Close sends the queued messages, for [Options.Timeout] at most, removes this node's entries from all rooms, says goodbye
	// to the other nodes, and returns when all goroutines of the bus have ended, at most two to three seconds later. No handler
	// is called afterwards. It must not be called from a handler or from onLost. A second call does nothing.
	Close() error
}

var (
	// ErrAway says that Redis can't be reached or doesn't answer in time.
	ErrAway = errors.New("redis is away")
	// ErrFull says that a queue was full. The message is lost for the other nodes, or for all, and they are told.
	ErrFull = errors.New("the bus's queue is full")
	// ErrClosed says that the node was closed.
	ErrClosed = errors.New("the cluster node is closed")
)

// Options are the settings of a node. The zero value of each means its default. Nodes of one installation need the same Prefix,
// Beat and Expiry.
type Options struct {
	// Prefix begins the name of every key and channel. It must not contain braces. Installations with different prefixes can share
	// a Redis: they hear nothing of each other. Default: tim.
	Prefix string

	// Timeout is how long one request to Redis may take. Default: 1 s.
	Timeout time.Duration

	// Beat is the interval at which a node announces that it is alive. Default: 1 s. A node without a beat for three intervals
	// is silent.
	Beat time.Duration

	// Expiry is how long an entry of presence outlives its last refresh. Refresh is the interval of this node's refreshes.
	// Defaults: 45 s and a third of Expiry.
	Expiry, Refresh time.Duration

	// QueueBytes bounds the messages that wait for handlers, and separately those that wait for Redis. Default: 64 MiB.
	QueueBytes int64

	// Log gets a line when Redis goes away or comes back. Default: none.
	Log *slog.Logger
}

const (
	silentBeats = 3 // a node without a beat for so many intervals is silent

	defaultPrefix     = "tim"
	defaultTimeout    = time.Second
	defaultBeat       = time.Second
	defaultExpiry     = 45 * time.Second
	defaultQueueBytes = 64 << 20
)

func (o Options) withDefaults() Options {
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

// silence is how long a node may be silent before the others catch up from the database.
func (o Options) silence() time.Duration { return silentBeats * o.Beat }
