package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"tim/internal/testserver"
)

// A lock that its holder gives back is free at once; one whose holder died is free after a lease.
func TestLeaseOfADeadHolder(t *testing.T) {
	t.Parallel()
	dsn := testserver.Database(t)
	d, other := mysqlAt(t, dsn), mysqlAt(t, dsn)
	run := func(d *DB) bool {
		ran, err := d.Exclusive(t.Context(), "sweep", func(context.Context) error { return nil })
		must(t, err)
		return ran
	}
	ran, err := d.Exclusive(t.Context(), "sweep", func(context.Context) error {
		if run(other) {
			t.Error("two ran at once")
		}
		return nil
	})
	must(t, err)
	if !ran || !run(other) || !run(d) {
		t.Error("a lock that nobody holds isn't taken")
	}
	exec(t, d.write, "UPDATE `lease` SET holder = 'a process that was killed' WHERE name = 'sweep'")
	begun := time.Now()
	if run(other) {
		t.Error("the lock of a process that may live is taken")
	}
	held, err := d.engine.lock(t.Context(), lockSpec{name: "sweep", wait: time.Minute})
	must(t, err)
	if took := time.Since(begun); took < nodeLease {
		t.Errorf("taken over after %v", took)
	}
	if run(other) {
		t.Error("taken over twice")
	}
	must(t, held.release())
}

// What runs under a lock that another process has taken over is told to end.
func TestLeaseTakenOver(t *testing.T) {
	t.Parallel()
	d := mysqlAt(t, testserver.Database(t))
	ran, err := d.Exclusive(t.Context(), "sweep", func(ctx context.Context) error {
		exec(t, d.write, "UPDATE `lease` SET holder = 'another process' WHERE name = 'sweep'")
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
		return context.Cause(ctx)
	})
	if !ran || !errors.Is(err, errLockLost) {
		t.Errorf("%v, %v", ran, err)
	}
	if holder := texts(t, d.read, "SELECT holder FROM `lease` WHERE name = 'sweep'"); holder[0] != "another process" {
		t.Errorf("the lock of another was given back: %q", holder)
	}
}
