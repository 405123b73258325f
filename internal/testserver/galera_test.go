package testserver

import (
	"fmt"
	"testing"
)

func TestGaleraDropsItsDatabases(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("use", func(t *testing.T) {
		dsns := Galera(t)
		db := openDatabase(t, dsns[0])
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a INT PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		for i, dsn := range dsns {
			db := openDatabase(t, dsn+"?wsrep_sync_wait=1")
			if n := scan[int](t, db, "SELECT COUNT(*) FROM t"); n != 0 {
				t.Errorf("member %d has %d rows", i+1, n)
			}
		}
		name = scan[string](t, db, "SELECT DATABASE()")
	})
	db := openDatabase(t, Galera(t)[0])
	if n := scan[int](t, db, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name); n != 0 {
		t.Errorf("database %s is still there", name)
	}
}

func TestGaleraClusterIsHurt(t *testing.T) {
	t.Parallel()
	cluster := GaleraCluster(t)
	first, last := cluster.Members[0], cluster.Members[galeraMembers-1]
	at := func(member *Server) string {
		return fmt.Sprintf("root@tcp(%s)/tim?wsrep_sync_wait=1", member.TCPAddress)
	}
	db := openDatabase(t, at(first))
	last.Stop()
	for _, statement := range []string{"CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Start()
	if n := scan[int](t, openDatabase(t, at(last)), "SELECT COUNT(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	cluster.Isolate(last)
	cluster.Rejoin(last)
	last.Pause()
	last.Resume()
	cluster.AwaitSynced(last)
}
