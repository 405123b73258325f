package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// The largest batch, which is one round trip.
	batchMessages = 512
	batchBytes    = 1 << 20

	firstProbe = 100 * time.Millisecond // after a failure; doubled after each attempt, up to a beat
)

// sender sends this node's messages of one lane to Redis. It uses one goroutine, so messages keep their order, and those that
// wait during a round trip share the next one. It also sends beats, by which it notices that Redis is back.
type sender struct {
	client  redis.UniversalClient
	sharded bool
	channel string // the lane's own channel, with which the names of its topics' channels begin
	node    nodeID
	opts    Options
	local   *dispatcher
	losses  *notifier
	room    *budget
	back    func() // called when Redis is back

	number uint64        // of the last message sent; only run uses it
	pause  time.Duration // until the next beat; only run uses it

	mu     sync.Mutex
	queue  []outgoing
	closed bool
	away   bool                // Redis takes no messages: deliver them on this node alone and count them as lost
	full   bool                // the queue had no room, and hasn't been empty since
	lost   uint64              // the number of messages that Redis didn't take
	echoes map[uint64]struct{} // the numbers of lost messages that Redis may have taken nonetheless
	wake   chan struct{}
}

type outgoing struct {
	message
	number uint64
}

// publish queues a message.
func (s *sender) publish(m message) error {
	o := outgoing{message: m}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.away:
		s.keep(o)
		return ErrAway
	case !s.room.take(o.size()):
		s.overflow(o)
		return ErrFull
	}
	s.queue = append(s.queue, o)
	signal(s.wake)
	return nil
}

// keep delivers a message on this node alone. The caller holds mu.
func (s *sender) keep(o outgoing) {
	s.lost++
	s.local.put(o.message)
}

// overflow handles a message for which the queue has no room. The caller holds mu.
func (s *sender) overflow(o outgoing) {
	s.keep(o)
	s.losses.notify() // the message overtakes the queue
	if !s.full {
		s.full = true
		s.opts.Log.Warn("bus: the queue to redis is full", slog.String("lane", s.channel))
	}
}

func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.finish()
			return
		case <-s.wake:
			if !s.flush() {
				timer.Reset(s.pause)
			}
		case <-timer.C:
			s.beat(kindBeat)
			timer.Reset(s.pause)
		}
	}
}

// finish sends the queued messages, for Options.Timeout at most, and says goodbye. The goodbye counts the messages that are
// left as lost.
func (s *sender) finish() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for end := time.Now().Add(s.opts.Timeout); s.waits() && time.Now().Before(end); {
		if !s.flush() {
			return // Redis wouldn't take a goodbye either
		}
	}
	s.mu.Lock()
	s.lost += uint64(len(s.queue))
	s.queue = nil
	away := s.away
	s.mu.Unlock()
	if !away {
		s.beat(kindGoodbye)
	}
}

// waits reports whether messages are queued.
func (s *sender) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0
}

// flush sends one batch. It returns false when Redis is away.
func (s *sender) flush() bool {
	batch, away := s.take()
	if away || len(batch) == 0 {
		return !away
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	pipe := s.client.Pipeline()
	replies := make([]*redis.IntCmd, len(batch))
	for i := range batch {
		s.number++
		batch[i].number = s.number
		e := envelope{kind: kindMessage, from: s.node, number: s.number, payload: batch[i].payload}
		replies[i] = s.say(ctx, pipe, s.channel+":"+batch[i].topic, e)
	}
	_, _ = pipe.Exec(ctx) // each reply has its own error

	var failed []outgoing
	var cause error
	for i, reply := range replies {
		s.room.give(batch[i].size())
		if err := reply.Err(); err != nil {
			failed, cause = append(failed, batch[i]), err
		}
	}
	clear(batch) // the queue's array outlives the batch
	if cause != nil {
		s.lose(failed, cause)
	}
	return cause == nil
}

func (s *sender) take() (batch []outgoing, away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := int64(0)
	for len(batch) < len(s.queue) && len(batch) < batchMessages && bytes < batchBytes {
		bytes += s.queue[len(batch)].size()
		batch = s.queue[:len(batch)+1]
	}
	if s.queue = s.queue[len(batch):]; len(s.queue) > 0 {
		signal(s.wake)
	} else {
		s.queue, s.full = nil, false
	}
	return batch, s.away
}

// say publishes a beat or a message.
func (s *sender) say(ctx context.Context, c redis.Cmdable, channel string, e envelope) *redis.IntCmd {
	if s.sharded {
		return c.SPublish(ctx, channel, e.encode())
	}
	return c.Publish(ctx, channel, e.encode())
}

// lose begins to deliver on this node alone: first the failed messages, then the queued ones, then new ones, until a beat gets
// through.
func (s *sender) lose(failed []outgoing, cause error) {
	s.pause = min(firstProbe, s.opts.Beat)
	if c, ok := s.client.(*redis.ClusterClient); ok {
		c.ReloadState(context.Background()) // in the background: the lane may have a new master
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.echoes) > maxEchoes {
		clear(s.echoes) // so old that they won't come back
	}
	for _, o := range failed {
		s.echoes[o.number] = struct{}{}
		s.keep(o)
	}
	for _, o := range s.queue {
		s.room.give(o.size())
		s.keep(o)
	}
	s.queue = nil
	if !s.away {
		s.away = true
		s.losses.notify() // messages that Redis took before may arrive after those that were kept
		s.opts.Log.Warn("bus: redis doesn't take messages", slog.String("lane", s.channel), slog.Any("error", cause))
	}
}

// maxEchoes bounds the number of lost messages that are remembered.
const maxEchoes = 16 * batchMessages

// isEcho reports whether a message of this node, come back from Redis, was already delivered here.
func (s *sender) isEcho(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.echoes[number]
	delete(s.echoes, number)
	return ok
}

// beat publishes that this node is alive, and notes whether Redis took the beat.
func (s *sender) beat(k kind) {
	s.mu.Lock()
	e := envelope{kind: k, from: s.node, number: s.lost}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	if err := s.say(ctx, s.client, s.channel, e).Err(); err != nil {
		pause := min(2*s.pause, s.opts.Beat)
		wasAway := s.isAway()
		s.lose(nil, err)
		if wasAway {
			s.pause = pause
		}
		return
	}
	s.pause = s.opts.Beat
	s.mu.Lock()
	wasAway := s.away
	s.away = false
	s.mu.Unlock()
	if wasAway {
		s.opts.Log.Info("bus: redis is back", slog.String("lane", s.channel))
		s.back()
	}
}

// isAway reports whether Redis is known not to take messages.
func (s *sender) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}
