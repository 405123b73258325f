package testserver

import (
	"os"
	"testing"

	"tim/internal/servers"
)

// databaseEnv chooses the server behind Database: one of the kinds of servers.Home.Database, of which MariaDB is the default, or
// onGalera.
const (
	databaseEnv = "TIM_TEST_DATABASE"
	onGalera    = "galera"
)

func startDatabase(home *servers.Home) (*servers.Server, error) {
	return home.Database(os.Getenv(databaseEnv))
}

// Database returns the DSN (of go-sql-driver, without parameters) of an empty utf8mb4 database in a MariaDB that all tests of this
// process share. TIM_TEST_DATABASE puts a MySQL into its place, or the members of a Galera cluster in turn, or a Vitess for each test.
// The database is dropped when the test ends. The server commits durably, as in production. The tests also share what belongs to the
// whole server, such as its variables.
func Database(t testing.TB) (dsn string) {
	t.Helper()
	if os.Getenv(databaseEnv) == onGalera {
		dsns := Galera(t)
		return dsns[here.number()%len(dsns)]
	}
	if os.Getenv(databaseEnv) == servers.KindVitess { // where nobody makes a keyspace by a statement
		return Vitess(t, true).Address
	}
	shared := &here.database
	here.asked(t)
	shared.once.Do(func() { shared.server, shared.err = start(t, startDatabase) })
	if shared.err != nil {
		t.Fatalf("testserver: %v", shared.err)
	}
	name := here.name("tim_")
	dsn, err := shared.server.CreateDatabase(name)
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	t.Cleanup(func() {
		// It waits while a connection that the test left open holds a lock in the database.
		if err := shared.server.DropDatabase(name); err != nil {
			t.Errorf("testserver: %v; does the test leave a transaction open?", err)
		}
	})
	return dsn
}

// DatabaseServer starts a server of the same kind for this test alone, with one empty database. On Galera it is a member of a cluster.
func DatabaseServer(t testing.TB) *Server {
	t.Helper()
	if os.Getenv(databaseEnv) == onGalera {
		return GaleraCluster(t).Members[0]
	}
	return newServer(t, startDatabase)
}

// Vitess starts a Vitess for this test alone, with an empty keyspace of two shards, or of one. All tests of this process share the MySQL
// behind it.
func Vitess(t testing.TB, sharded bool) *Server {
	t.Helper()
	shared := &here.behindVitess
	here.asked(t)
	shared.once.Do(func() { shared.server, shared.err = start(t, (*servers.Home).MySQL) })
	if shared.err != nil {
		t.Fatalf("testserver: %v", shared.err)
	}
	name := here.name("vt")
	return newServer(t, func(h *servers.Home) (*servers.Server, error) {
		if sharded {
			return h.VitessOn(shared.server, name)
		}
		return h.VitessUnshardedOn(shared.server, name)
	})
}
