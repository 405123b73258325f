package auth

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tim/internal/fault"
)

// A hundred refusals are given at once, a flood of them at 500 a second or every half second to each connection, and after a pause a
// hundred again. Other answers are never delayed.
func TestFloodsOfRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		busy := fault.Retry(fault.Busy, time.Second)
		for range 2 {
			start := time.Now()
			for range refusalsAtOnce {
				refused(t, r.pace(t.Context(), busy), fault.Busy)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("a hundred refusals take %s", took)
			}
			var flood sync.WaitGroup
			var mu sync.Mutex
			given := 0
			for range 1000 {
				flood.Go(func() {
					for time.Since(start) < 10*time.Second {
						refused(t, r.pace(t.Context(), busy), fault.Busy)
						mu.Lock()
						given++
						mu.Unlock()
					}
				})
			}
			flood.Wait()
			if took := time.Since(start); took > 11*time.Second || given < 10_000 || given > 22_000 {
				t.Errorf("%d refusals in %s", given, took)
			}
			start = time.Now()
			for _, err := range []error{nil, fault.New(fault.WrongCredentials), errors.New("x"), fault.New(fault.AccountTaken)} {
				if got := r.pace(t.Context(), err); !errors.Is(got, err) || time.Since(start) > 0 {
					t.Errorf("%v becomes %v after %s", err, got, time.Since(start))
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if refused(t, r.pace(ctx, busy), fault.Busy); time.Since(start) > 0 {
				t.Errorf("who has gone waits %s", time.Since(start))
			}
			time.Sleep(2 * time.Second)
		}
	})
}
