package bench

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// pace does something so many times a second until ctx ends or it fails: the plan holds whatever the server does ("open
// loop"), and what was late is made up for at once.
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

const longestSleep = 20 * time.Millisecond // after which it looks whether ctx has ended

// sleep waits as exactly as Linux does. Go's timers are rounded up to a millisecond when nothing else is to be done, which
// would be taken for the server's.
func sleep(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	for errors.Is(syscall.Nanosleep(&left, &left), syscall.EINTR) {
		continue // with what is left
	}
}

func ended(ctx context.Context) bool { return ctx.Err() != nil }
