package socket

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Requests share a deadline, but none has less than seven eighths of its time, nor more than all of it.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		const timeout = 8 * time.Second
		var d Deadline
		first := d.Within(life, timeout)
		for range 100 {
			ctx := d.Within(life, timeout)
			until, ok := ctx.Deadline()
			if left := time.Until(until); !ok || left <= timeout*7/8 || left > timeout {
				t.Fatalf("%v are left", left)
			}
			time.Sleep(timeout / 77)
		}
		if !errors.Is(first.Err(), context.DeadlineExceeded) {
			t.Errorf("after the first deadline: %v", first.Err())
		}
		last := d.Within(life, timeout)
		end()
		<-last.Done()
		if !errors.Is(last.Err(), context.Canceled) {
			t.Errorf("after the end: %v", last.Err())
		}
	})
}

func BenchmarkDeadline(b *testing.B) {
	var d Deadline
	b.ReportAllocs()
	for b.Loop() {
		d.Within(b.Context(), 35*time.Second)
	}
}
