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
	// maxBatch is the largest number of items in one transaction.
	maxBatch = 256
	// commitDeadline is how long a transaction may take, retries included.
	commitDeadline = 30 * time.Second
)

// batches commits items that wait at the same time in one transaction (group commit). All items of a conversation go through
// the same lane, and a lane runs one transaction at a time. An item whose lane is idle is committed at once, alone.
type batches[T, R any] struct {
	// commit stores a batch in one transaction and answers each of its items by done, exactly once.
	commit func(ctx context.Context, batch []*waiting[T, R])
	// apart has a batch hold items of one conversation alone.
	apart bool
	lanes []*lane[T, R]
	work  sync.WaitGroup // one goroutine for each lane; a new one for each batch would have to grow its stack every time
	ended chan struct{}
	once  sync.Once
}

// waiting is an item that is to be committed, with the channel for its answer.
type waiting[T, R any] struct {
	item         T
	conversation string
	answer       chan answer[R]
}

type answer[R any] struct {
	result R
	err    error
}

type lane[T, R any] struct {
	wake chan struct{} // buffered: 1

	mu    sync.Mutex
	queue []*waiting[T, R]
	busy  bool
}

// newBatches starts the lanes' goroutines. close ends them.
func newBatches[T, R any](lanes int, apart bool, commit func(ctx context.Context, batch []*waiting[T, R])) *batches[T, R] {
	b := &batches[T, R]{commit: commit, apart: apart, ended: make(chan struct{})}
	for range lanes {
		l := &lane[T, R]{wake: make(chan struct{}, 1)}
		b.lanes = append(b.lanes, l)
		b.work.Go(func() { b.run(l) })
	}
	return b
}

// done answers an item. It never blocks.
func (w *waiting[T, R]) done(result R, err error) { w.answer <- answer[R]{result, err} }

// submit waits until the item is stored or refused. If ctx ends first, submit returns its error, and the item may still be
// stored. The queue is as long as there are callers, since each waits for its item.
func (b *batches[T, R]) submit(ctx context.Context, conversation string, item T) (R, error) {
	w := &waiting[T, R]{item: item, conversation: conversation, answer: make(chan answer[R], 1)}
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

// lane returns the lane of a conversation, which never changes.
func (b *batches[T, R]) lane(conversation string) *lane[T, R] {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(conversation))           // never fails
	return b.lanes[hash.Sum32()%uint32(len(b.lanes))] //nolint:gosec // there are only a few lanes
}

// run commits the items of a lane until close.
func (b *batches[T, R]) run(l *lane[T, R]) {
	for {
		select {
		case <-l.wake:
			b.empty(l)
		case <-b.ended:
			b.empty(l) // items whose callers no longer wait
			return
		}
	}
}

// empty commits the items of a lane until none is left.
func (b *batches[T, R]) empty(l *lane[T, R]) {
	for {
		runtime.Gosched() // lets goroutines submit that are about to: larger batches cost less for each item, and no item waits for a timer
		l.mu.Lock()
		batch := l.take(b.apart)
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

// take takes a batch out of the queue: the items that have waited for the longest, or those of the first one's conversation. The caller
// holds mu.
func (l *lane[T, R]) take(apart bool) (batch []*waiting[T, R]) {
	if !apart || len(l.queue) < 2 {
		batch = l.queue[:min(len(l.queue), maxBatch)]
		l.queue = l.queue[len(batch):]
		return batch
	}
	first, rest := l.queue[0], make([]*waiting[T, R], 0, len(l.queue))
	for _, w := range l.queue {
		if w.conversation == first.conversation && len(batch) < maxBatch {
			batch = append(batch, w)
		} else {
			rest = append(rest, w)
		}
	}
	l.queue = rest
	return batch
}

// close waits until every item is answered. Nothing may be submitted afterwards. It may be called more than once.
func (b *batches[T, R]) close() {
	b.once.Do(func() { close(b.ended) })
	b.work.Wait()
}
