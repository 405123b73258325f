package auth

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"sync"
	"testing"
	"time"

	"tim/internal/store"
)

// However many callers ask at once, each gets the answer to its own question, and no statement exceeds its bound.
func TestCoalesced(t *testing.T) {
	t.Parallel()
	const callers, rounds = 200, 50
	asked, largest := 0, 0
	var mu sync.Mutex
	all := coalescer{ask: func(_ context.Context, keys []store.SessionKey) (map[store.SessionKey]int64, error) {
		mu.Lock()
		asked, largest = asked+1, max(largest, len(keys))
		mu.Unlock()
		if bits.OnesCount(uint(len(keys))) != 1 {
			t.Errorf("a statement about %d", len(keys))
		}
		until := make(map[store.SessionKey]int64)
		for _, key := range keys {
			if n, err := strconv.ParseInt(key.ID, 10, 64); err == nil {
				until[key] = n
			}
		}
		return until, nil
	}}
	var work sync.WaitGroup
	for i := range callers {
		work.Go(func() {
			for j := range rounds {
				n := int64(i*rounds + j + 1)
				if until, err := all.until(t.Context(), store.SessionKey{Account: "a", ID: fmt.Sprint(n)}); err != nil || until != n {
					t.Errorf("session %d: %d, %v", n, until, err)
				}
				if until, err := all.until(t.Context(), store.SessionKey{Account: "a", ID: "none"}); err != nil || until != 0 {
					t.Errorf("no session: %d, %v", until, err)
				}
			}
		})
	}
	work.Wait()
	if asked >= 2*callers*rounds || largest < 2 || largest > maxCoalesced || len(all.waiting) != 0 {
		t.Errorf("%d statements, the largest about %d; %d still wait", asked, largest, len(all.waiting))
	}
}

// If the context of the caller that asks for all ends, the others ask again for themselves. A caller that waits for another
// one waits no longer than its own context lives.
func TestCoalescedAskerFails(t *testing.T) {
	t.Parallel()
	mine, others := store.SessionKey{Account: "a", ID: "1"}, store.SessionKey{Account: "a", ID: "2"}
	begun := make(chan int, 2)
	all := coalescer{ask: func(ctx context.Context, keys []store.SessionKey) (map[store.SessionKey]int64, error) {
		begun <- len(keys)
		if len(keys) > 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return map[store.SessionKey]int64{keys[0]: 7}, nil
	}}
	q := &question{key: mine, answered: make(chan struct{}), err: errUnanswered}
	waits := &question{key: others, answered: make(chan struct{}), err: errUnanswered}
	all.waiting = []*question{q, waits}
	taken := all.take(q)
	if len(taken) != 2 || all.take(waits) != nil {
		t.Fatalf("%d questions are taken", len(taken))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	all.answer(ctx, taken)
	if <-begun != 2 || !errors.Is(q.err, context.DeadlineExceeded) {
		t.Errorf("the one who asked got %v", q.err)
	}
	if until, err := all.result(t.Context(), waits); until != 7 || err != nil || <-begun != 1 {
		t.Errorf("the other got %d, %v", until, err)
	}
	late := &question{key: others, answered: make(chan struct{}), err: errUnanswered}
	if _, err := all.result(ctx, late); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for nothing ends in %v", err)
	}
}

// If the caller that asks for all panics, the others get an error.
func TestCoalescedAskerPanics(t *testing.T) {
	t.Parallel()
	all := coalescer{ask: func(context.Context, []store.SessionKey) (map[store.SessionKey]int64, error) { panic("a mistake") }}
	q := &question{answered: make(chan struct{}), err: errUnanswered}
	func() {
		defer func() { _ = recover() }()
		all.answer(t.Context(), []*question{q})
	}()
	select {
	case <-q.answered:
	default:
		t.Fatal("nothing says that there is an answer")
	}
	if !errors.Is(q.err, errUnanswered) {
		t.Errorf("the answer is %v", q.err)
	}
}

// BenchmarkCoalescer measures the look-up of a session that this node has not seen: by one caller, and by 64 at once.
func BenchmarkCoalescer(b *testing.B) {
	n := onSQLite(b)
	keys := make([]store.SessionKey, 256)
	for i := range keys {
		keys[i] = store.SessionKey{Account: fmt.Sprintf("account%d", i), ID: fmt.Sprintf("a session of some length %d", i)}
		n.exec(b, "INSERT INTO session (account, id, device, created_at, used_at, expires_at) VALUES (?, ?, '', 1, 1, 1)", keys[i].Account, keys[i].ID)
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(callers)
			ask := func(i int) {
				if until, err := n.sessions.until(b.Context(), keys[i%len(keys)]); err != nil || until != 1 {
					b.Error(until, err)
				}
			}
			if callers == 1 {
				for i := 0; b.Loop(); i++ {
					ask(i)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					ask(i)
				}
			})
		})
	}
}
