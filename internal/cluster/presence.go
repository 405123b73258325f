package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// The largest number of entries in one script. Such a script occupies Redis for 1 to 2 ms.
	scriptEntries = 200

	onlineRooms = 1000 // in one pipeline
)

// Join implements [Presence].
func (r *Redis) Join(ctx context.Context, room, member, id string) (first bool, err error) {
	if err := r.refuse(ctx); err != nil {
		return false, err
	}
	l := r.lane(room)
	w := written{place: place{room: room, id: id}, entry: entry{member: member}}
	if l.sender.isAway() {
		l.register.add(w)
		r.refreshSoon(l)
		return false, ErrAway
	}
	// The entry is registered only after the script: a refresh must not write it first.
	answer, err := r.touch(ctx, l, []written{w})
	if err != nil {
		l.register.add(w)
		r.refreshSoon(l)
		return false, fmt.Errorf("join: %w", err)
	}
	w.joined = answer[0].joined
	l.register.add(w)
	return answer[0].entries == 1, nil
}

// Leave implements [Presence].
func (r *Redis) Leave(ctx context.Context, room, _, id string) (last bool, err error) {
	if r.goroutines.stopped() {
		return false, ErrClosed
	}
	l := r.lane(room)
	w := written{place: place{room: room, id: id}}
	var ok bool
	if w.entry, ok = l.register.remove(w.place); !ok {
		return false, nil
	}
	if l.sender.isAway() {
		l.register.leave(w, time.Now().Add(r.opts.Expiry))
		r.refreshSoon(l)
		return false, ErrAway
	}
	answer, err := r.takeOut(ctx, l, []written{w})
	if err != nil {
		l.register.leave(w, time.Now().Add(r.opts.Expiry))
		r.refreshSoon(l)
		return false, fmt.Errorf("leave: %w", err)
	}
	return answer[0] == 0, nil
}

// Members implements [Presence].
func (r *Redis) Members(ctx context.Context, room string, limit int) (members []string, total int, err error) {
	if err := r.refuse(ctx); err != nil {
		return nil, 0, err
	}
	l := r.lane(room)
	if l.sender.isAway() {
		return nil, 0, ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	answer, err := r.scripts.members.Run(ctx, r.client, []string{l.key(room)}, max(limit, 0)).Slice()
	if err != nil {
		return nil, 0, fmt.Errorf("members: %w: %w", ErrAway, err)
	}
	for i, a := range answer {
		switch a := a.(type) {
		case int64:
			total = int(a)
		case string:
			members = append(members, a)
		default:
			return nil, 0, fmt.Errorf("members: redis answers a %T at %d", a, i)
		}
	}
	return members, total, nil
}

// Online implements [Presence].
func (r *Redis) Online(ctx context.Context, rooms []string) ([]bool, error) {
	if err := r.refuse(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	online := make([]bool, 0, len(rooms))
	for some := range slices.Chunk(rooms, onlineRooms) {
		pipe := r.client.Pipeline()
		replies := make([]*redis.IntCmd, len(some))
		for i, room := range some {
			l := r.lane(room)
			if l.sender.isAway() {
				return nil, ErrAway
			}
			replies[i] = pipe.Exists(ctx, l.key(room))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("online: %w: %w", ErrAway, err)
		}
		for _, reply := range replies {
			online = append(online, reply.Val() > 0)
		}
	}
	return online, nil
}

func (l *lane) key(room string) string { return l.name + ":room:" + room }

type touched struct {
	joined  int64 // in µs since 1970; 0 if the entry existed before
	entries int64 // of the entry's member
}

// touch creates or refreshes entries of one lane.
func (r *Redis) touch(ctx context.Context, l *lane, all []written) ([]touched, error) {
	keys, args := make([]string, len(all)), make([]any, 1, 1+2*len(all))
	args[0] = r.opts.Expiry.Milliseconds()
	for i, w := range all {
		keys[i], args = l.key(w.room), append(args, w.name(), w.joined)
	}
	answer, err := r.do(ctx, r.scripts.touch, keys, args, 2*len(all))
	if err != nil {
		return nil, err
	}
	result := make([]touched, len(all))
	for i := range result {
		result[i] = touched{joined: answer[2*i], entries: answer[2*i+1]}
	}
	return result, nil
}

// takeOut removes entries of one lane from Redis. It returns how many entries each one's member still has.
func (r *Redis) takeOut(ctx context.Context, l *lane, all []written) ([]int64, error) {
	keys, args := make([]string, len(all)), make([]any, len(all))
	for i, w := range all {
		keys[i], args[i] = l.key(w.room), w.name()
	}
	l.register.writing.RLock()
	defer l.register.writing.RUnlock()
	return r.do(ctx, r.scripts.leave, keys, args, len(all))
}

// do runs a script that returns a fixed number of integers.
func (r *Redis) do(ctx context.Context, s *redis.Script, keys []string, args []any, numbers int) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	answer, err := s.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if len(answer) != numbers {
		return nil, fmt.Errorf("redis answers %d numbers, not %d", len(answer), numbers)
	}
	return answer, nil
}

// refreshSoon makes the refresher write a lane's entries again, after a failure or when Redis may have lost them.
func (r *Redis) refreshSoon(l *lane) {
	l.register.setDue(true)
	signal(r.refresh)
}

// keepRefreshing refreshes this node's entries until ctx ends, and then removes them.
func (r *Redis) keepRefreshing(ctx context.Context) {
	ticker := time.NewTicker(r.opts.Refresh)
	defer ticker.Stop()
	for {
		all := false
		select {
		case <-ctx.Done():
			r.leaveAll()
			return
		case <-ticker.C:
			all = true
		case <-r.refresh:
		}
		for _, l := range r.lanes {
			if ctx.Err() == nil && (all || l.register.isDue()) {
				r.refreshLane(ctx, l)
			}
		}
	}
}

// refreshLane removes the entries of sockets that have left and refreshes the others. After a failure the lane stays due: it is
// tried again when it is back, or in the next round.
func (r *Redis) refreshLane(ctx context.Context, l *lane) {
	if l.sender.isAway() {
		return
	}
	l.register.setDue(false)
	err := r.refreshEntries(ctx, l)
	if err != nil {
		l.register.setDue(true)
		r.opts.Log.Warn("presence: refresh", slog.String("lane", l.name), slog.Any("error", err))
	}
}

func (r *Redis) refreshEntries(ctx context.Context, l *lane) error {
	for some := range slices.Chunk(l.register.leavers(), scriptEntries) {
		if _, err := r.takeOut(ctx, l, some); err != nil {
			return err
		}
		l.register.left(some)
	}
	for some := range slices.Chunk(l.register.places(), scriptEntries) {
		if err := r.refreshSome(ctx, l, some); err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) refreshSome(ctx context.Context, l *lane, places []place) error {
	l.register.writing.Lock()
	defer l.register.writing.Unlock()
	all := l.register.still(places)
	if len(all) == 0 {
		return nil
	}
	answer, err := r.touch(ctx, l, all)
	if err != nil {
		return err
	}
	for i, w := range all {
		if answer[i].joined > 0 {
			l.register.stamp(w.place, answer[i].joined)
		}
	}
	return nil
}

// leaveAll removes this node's entries from Redis, as many as the time allows. The others expire.
func (r *Redis) leaveAll() {
	ctx, cancel := context.WithTimeout(context.Background(), r.opts.Timeout)
	defer cancel()
	for _, l := range r.lanes {
		all := append(l.register.still(l.register.places()), l.register.leavers()...)
		for some := range slices.Chunk(all, scriptEntries) {
			if l.sender.isAway() || ctx.Err() != nil {
				break
			}
			if _, err := r.takeOut(ctx, l, some); err != nil {
				r.opts.Log.Warn("presence: leaving", slog.String("lane", l.name), slog.Any("error", err))
				break
			}
		}
	}
}
