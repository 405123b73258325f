package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
)

const clusterSize = 3

// galeraRows counts the rows of the tests' table, at a member that has applied all that any member has committed.
func galeraRows(t *testing.T, db *sql.DB) int {
	t.Helper()
	conn, err := db.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "SET SESSION wsrep_sync_wait = 1")
	must(t, err)
	var n int
	must(t, conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n))
	return n
}

func wantRows(t *testing.T, dbs []*sql.DB, want int, when string) {
	t.Helper()
	for i, db := range dbs {
		if got := galeraRows(t, db); got != want {
			t.Errorf("%s: member %d has %d rows, want %d", when, i+1, got, want)
		}
	}
}

// refuses tells whether a member refuses to read because it is not in the cluster.
func refuses(t *testing.T, db *sql.DB) error {
	t.Helper()
	const notPrepared = 1047
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := db.ExecContext(ctx, "DO (SELECT COUNT(*) FROM t)")
	if refused, ok := errors.AsType[*mysql.MySQLError](err); !ok || refused.Number != notPrepared {
		return fmt.Errorf("want error %d, got %w", notPrepared, err)
	}
	return nil
}

// Each member takes writes; members go and come back in each way, and lack nothing then.
func TestGalera(t *testing.T) {
	t.Parallel()
	home := newTestHome(t)
	g, err := home.Galera(clusterSize)
	must(t, err)
	var dbs []*sql.DB
	for _, m := range g.Members {
		dbs = append(dbs, openDatabase(t, m.Address))
	}
	mustExec(t, dbs[0], "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, at INT NOT NULL)")
	rows := 0
	insert := func(members ...int) {
		t.Helper()
		for _, i := range members {
			mustExec(t, dbs[i], fmt.Sprintf("INSERT INTO t (at) VALUES (%d)", i))
			rows++
		}
	}
	insert(0, 1, 2)
	wantRows(t, dbs, rows, "at first")

	must(t, g.Isolate(g.Members[1]))
	must(t, until(patience, func() error { return refuses(t, dbs[1]) }))
	insert(0, 2)
	must(t, g.Rejoin(g.Members[1]))
	wantRows(t, dbs, rows, "after a partition")

	// A member without data copies those of another one.
	must(t, g.Members[2].Stop())
	must(t, os.Remove(stateFile(g.Members[2])))
	must(t, os.Remove(filepath.Join(g.Members[2].path("data"), "ibdata1")))
	insert(0, 1)
	must(t, g.Members[2].Start())
	wantRows(t, dbs, rows, "after the loss of a member's data")

	// All are away. The one that was killed last has more than the others.
	must(t, g.Members[0].Stop())
	insert(1, 2)
	must(t, g.Members[1].Kill())
	must(t, g.Members[2].Kill())
	must(t, g.Start())
	wantRows(t, dbs, rows, "after all were away")
	insert(0, 1, 2)
	wantRows(t, dbs, rows, "at last")

	must(t, home.Close())
	wantNothingIn(t, home.Folder())
}

// A member that stands still comes back. This cluster runs beside that of TestGalera, and they don't meet.
func TestGaleraPauses(t *testing.T) {
	t.Parallel()
	g, err := newTestHome(t).Galera(clusterSize)
	must(t, err)
	dsns, err := g.CreateDatabase("more")
	must(t, err)
	last := g.Members[clusterSize-1]
	db := openDatabase(t, dsns[clusterSize-1])
	must(t, last.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if err := db.PingContext(ctx); err == nil {
		t.Error("a paused member answers")
	}
	must(t, last.Resume())
	must(t, g.AwaitSynced(last))
	mustExec(t, db, "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY)")
	wantRows(t, []*sql.DB{openDatabase(t, dsns[0])}, 0, "after a pause")
	must(t, g.DropDatabase("more"))
	if err := openDatabase(t, dsns[0]).PingContext(t.Context()); err == nil {
		t.Error("the dropped database is still there")
	}
}
