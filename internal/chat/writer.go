package chat

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

const (
	// maxBatch bounds a transaction: how many messages are committed together.
	maxBatch = 256
	// commitDeadline bounds it in time, retries included.
	commitDeadline = 30 * time.Second
)

// writer commits together the drafts that wait together. A conversation always goes through the same lane, and a lane
// has one transaction under way; a draft that finds its lane idle is committed at once, alone.
type writer struct {
	commit func(ctx context.Context, batch []*draft)
	lanes  []lane
	work   sync.WaitGroup
}

type lane struct {
	mu      sync.Mutex
	waiting []*draft
	busy    bool
}

func newWriter(commit func(ctx context.Context, batch []*draft), lanes int) *writer {
	return &writer{commit: commit, lanes: make([]lane, lanes)}
}

// submit waits until the draft is stored or refused. When ctx ends first, it may be stored still. The number of
// drafts that wait is bounded by the callers, each of whom has one.
func (w *writer) submit(ctx context.Context, d *draft) (Message, error) {
	d.done = make(chan struct{})
	l := w.lane(d.conversation)
	l.mu.Lock()
	l.waiting = append(l.waiting, d)
	if !l.busy {
		l.busy = true
		w.work.Go(func() { w.run(l) })
	}
	l.mu.Unlock()
	select {
	case <-d.done:
		return d.message, d.err
	case <-ctx.Done():
		return Message{}, fmt.Errorf("wait for the commit: %w", ctx.Err())
	}
}

// lane is the one through which a conversation's messages go.
func (w *writer) lane(conversation string) *lane {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(conversation)) // never fails
	return &w.lanes[int64(hash.Sum32())%int64(len(w.lanes))]
}

// run commits what waits in a lane until nothing does.
func (w *writer) run(l *lane) {
	for {
		l.mu.Lock()
		batch := l.waiting[:min(len(l.waiting), maxBatch)]
		l.waiting = l.waiting[len(batch):]
		if len(batch) == 0 {
			l.waiting, l.busy = nil, false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), commitDeadline)
		w.commit(ctx, batch)
		cancel()
	}
}

func (w *writer) close() { w.work.Wait() }
