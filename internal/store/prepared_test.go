package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// A connection keeps its bound of prepared statements, and they survive a change of the schema.
func TestPrepared(t *testing.T) {
	t.Parallel()
	d := migrated(t, sqliteAt(t, filepath.Join(t.TempDir(), "tim.db")))
	for range 2 {
		for i := range mostPrepared + 10 {
			var got int
			must(t, d.write.QueryRowContext(t.Context(), fmt.Sprintf("SELECT ? + %d", i), 1).Scan(&got))
			if got != i+1 {
				t.Fatalf("1 + %d is %d", i, got)
			}
		}
		exec(t, d.write, "INSERT INTO conversation (id, last_seq, created_at) VALUES (?, 1, 1)", "x")
		exec(t, d.write, "DELETE FROM conversation WHERE id = ?", "x")
		exec(t, d.write, "CREATE TABLE IF NOT EXISTS more (x)")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.write.ExecContext(ctx, "DELETE FROM more"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}
