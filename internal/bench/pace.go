package bench

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// pace calls do so many times a second, until ctx ends or do fails. It keeps to the plan whatever the server does ("open loop"):
// calls that are late follow at once.
func (c clock) pace(ctx context.Context, rate float64, do func(i int, due int64) error) error {
	began := c.now()
	for i := 0; ; i++ {
		due := began + int64(float64(i)/rate*1e9)
		for {
			wait := time.Duration(due - c.now())
			if ended(ctx) || wait <= 0 {
				break
			}
			sleep(min(wait, longestSleep))
		}
		if ended(ctx) {
			return nil
		}
		if err := do(i, due); err != nil {
			return err
		}
	}
}

const longestSleep = 20 * time.Millisecond // after which pace looks whether ctx has ended

// sleep waits as exactly as Linux can. Go rounds timers up to a millisecond when the process is otherwise idle, and that would
// count as the server's latency.
func sleep(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	for errors.Is(syscall.Nanosleep(&left, &left), syscall.EINTR) {
		continue // with what is left
	}
}

func ended(ctx context.Context) bool { return ctx.Err() != nil }
