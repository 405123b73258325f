package store

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A transaction that holds an account's lock excludes changes of that account, and of no other.
func TestLockUser(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		for _, account := range []string{"alice", "bob"} {
			_, err := d.Write().CreateUser(t.Context(), user(account))
			must(t, err)
		}
		must(t, d.Tx(t.Context(), func(tx *Tx) error {
			must(t, tx.LockUser(t.Context(), "alice"))
			must(t, tx.LockUser(t.Context(), "nobody"))
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			err := d.Tx(ctx, func(other *Tx) error { return other.LockUser(ctx, "alice") })
			if !errors.Is(err, context.DeadlineExceeded) && !IsUnavailable(err) {
				t.Errorf("a second lock: %v", err)
			}
			if isMySQL(d) { // SQLite has one writer
				must(t, d.Tx(t.Context(), func(other *Tx) error { return other.LockUser(t.Context(), "bob") }))
			}
			return nil
		}))
		must(t, d.Tx(t.Context(), func(tx *Tx) error { return tx.LockUser(t.Context(), "alice") }))
	})
}
