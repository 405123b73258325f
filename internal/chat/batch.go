package chat

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"sync"
	"time"
)

const (
	// maxBatch bounds a transaction: how many items are committed together.
	maxBatch = 256
	// commitDeadline bounds it in time, retries included.
	commitDeadline = 30 * time.Second
)

// batches commits together the items that wait together (group commit). Items of one conversation always go through the
// same lane, and a lane has one transaction under way; an item that finds its lane idle is committed at once, alone.
type batches[T, R any] struct {
	// commit stores a batch in one transaction and answers each of its items by done, exactly once.
	commit func(ctx context.Context, batch []*waiting[T, R])
	lanes  []*lane[T, R]
	work   sync.WaitGroup // a goroutine for each lane: a fresh one for each batch would have to grow its stack anew
	ended  chan struct{}
	once   sync.Once
}

// waiting is an item on its way into the database.
type waiting[T, R any] struct {
	item   T
	answer chan answer[R]
}

type answer[R any] struct {
	result R
	err    error
}

type lane[T, R any] struct {
	wake chan struct{} // has room for one

	mu    sync.Mutex
	queue []*waiting[T, R]
	busy  bool
}

// newBatches starts the lanes, which close ends.
func newBatches[T, R any](lanes int, commit func(ctx context.Context, batch []*waiting[T, R])) *batches[T, R] {
	b := &batches[T, R]{commit: commit, ended: make(chan struct{})}
	for range lanes {
		l := &lane[T, R]{wake: make(chan struct{}, 1)}
		b.lanes = append(b.lanes, l)
		b.work.Go(func() { b.run(l) })
	}
	return b
}

// done answers an item.
func (w *waiting[T, R]) done(result R, err error) { w.answer <- answer[R]{result, err} }

// submit waits until the item is stored or refused. When ctx ends first, it may be stored still. The number of items
// that wait is bounded by the callers, each of whom has one.
func (b *batches[T, R]) submit(ctx context.Context, conversation string, item T) (R, error) {
	w := &waiting[T, R]{item: item, answer: make(chan answer[R], 1)}
	l := b.lane(conversation)
	l.mu.Lock()
	l.queue = append(l.queue, w)
	idle := !l.busy
	l.busy = true
	l.mu.Unlock()
	if idle {
		l.wake <- struct{}{}
	}
	select {
	case a := <-w.answer:
		return a.result, a.err
	case <-ctx.Done():
		var none R
		return none, fmt.Errorf("wait for the commit: %w", ctx.Err())
	}
}

// lane is the one that a conversation always goes through.
func (b *batches[T, R]) lane(conversation string) *lane[T, R] {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(conversation))           // never fails
	return b.lanes[hash.Sum32()%uint32(len(b.lanes))] //nolint:gosec // a handful
}

// run commits what waits in a lane, until close.
func (b *batches[T, R]) run(l *lane[T, R]) {
	for {
		select {
		case <-l.wake:
			b.empty(l)
		case <-b.ended:
			b.empty(l) // what somebody has given up waiting for
			return
		}
	}
}

// empty commits what waits in a lane until nothing does.
func (b *batches[T, R]) empty(l *lane[T, R]) {
	for {
		runtime.Gosched() // who is about to submit comes along: fuller batches cost less, and a lone item waits for nobody
		l.mu.Lock()
		batch := l.queue[:min(len(l.queue), maxBatch)]
		l.queue = l.queue[len(batch):]
		if len(batch) == 0 {
			l.queue, l.busy = nil, false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), commitDeadline)
		b.commit(ctx, batch)
		cancel()
	}
}

// close waits until everything is answered. Nothing may be submitted afterwards. A second call does nothing.
func (b *batches[T, R]) close() {
	b.once.Do(func() { close(b.ended) })
	b.work.Wait()
}
