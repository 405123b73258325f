// Package store opens the database and runs the statements of gen/db on it: on SQLite, embedded in this process, or on a MySQL
// or MariaDB server. Its callers needn't know which.
//
// Statements are written once, for MySQL. Where SQLite needs another text, sql/query/sqlite has one under the same name, and
// the dialect, which stands between gen/db and the driver, uses that.
//
//	store.go       a database that is open; mysql.go and sqlite.go open it
//	tx.go          transactions, which run again after a conflict
//	bulk.go        statements that write many rows at once
//	pairs.go       statements that look many pairs up at once
//	dialect.go     the texts that differ between the engines
//	prepared.go    prepared statements on every connection
//	engine.go      what a server is, and what follows
//	spread.go      what is done otherwise where the tables are spread over several servers
//	roundtrips.go  saving round trips to MySQL
//	hosts.go       which of several servers is in use; hosthealth.go looks at them; hostlinks.go are the connections to them
//	migrate.go     migrations; takeover.go what they do to rows that name accounts by text
//	node.go        which nodes may run on one database; noderow.go their rows on a server
//	lock.go        locks of processes; lease.go those of a server
//	damage.go      whether the database is damaged, missing or closed to us
//	errors.go      which errors are conflicts, duplicates, or a database that can't be asked
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tim/gen/db"
)

// DB is an open database. All its methods are safe for concurrent use. Close ends it.
type DB struct {
	Lookups

	read, write   *sql.DB // the same pool on MySQL
	reads, writes *db.Queries
	texts         map[string]string
	bulk          bulk
	engine        engine
	node          nodeSelf
	hosts         *hosts // nil on the embedded engine, and where another DB has them
}

// engine has what differs between the two databases, besides the texts of statements.
type engine interface {
	// lock takes a named lock that excludes every other process with this database.
	lock(ctx context.Context, spec lockSpec) (heldLock, error)
	// joinNodes, checkNodes and runningNodes are those of DB.
	joinNodes(ctx context.Context, self nodeSelf, spec NodeSpec) (heldNode, error)
	checkNodes(ctx context.Context, self nodeSelf, spec NodeSpec) error
	runningNodes(ctx context.Context, d *DB) (alone, share bool, redis string, err error)
	// String says what the engine is.
	String() string
	// spread says that the tables are spread over several servers, which commit one after the other.
	spread() bool
	// migrations opens what Migrate needs. Its close must be called.
	migrations(write *sql.DB) (migrations, error)
}

func newDB(read, write *sql.DB, texts map[string]string, b bulk, e engine) *DB {
	return &DB{
		Lookups: Lookups{conn: read}, read: read, write: write, texts: texts, bulk: b, engine: e, node: nodeSelf{id: randomID(), seen: map[string]sighting{}},
		reads:  db.New(&dialect{on: read, texts: texts}),
		writes: db.New(&dialect{on: write, texts: texts, retries: true}),
	}
}

// Read returns the statements for reading outside a transaction. Each sees what was committed before it began. On SQLite a
// statement that writes fails.
func (d *DB) Read() *db.Queries { return d.reads }

// Write returns the statements for single writes. Each is a transaction of its own, and is retried after a conflict. Inside Tx
// they must not be used: on SQLite the transaction holds the only connection that writes.
func (d *DB) Write() *db.Queries { return d.writes }

// Server says what the database is, with the version of a server, in words for the log.
func (d *DB) Server() string { return d.engine.String() }

// Spread says that the tables are spread over several servers by account, conversation, group and file. A transaction that writes to
// several of them isn't one: each commits for itself, in the order in which the transaction came to them. Locks that wait for one
// another on several servers are ended by a time limit alone.
func (d *DB) Spread() bool { return d.engine.spread() }

// Ping returns nil if the database answers and can be used. Otherwise the error may be one of ErrOutOfCluster, ErrOtherCluster,
// ErrReadOnly and ErrBehind.
func (d *DB) Ping(ctx context.Context) error {
	if err := d.read.PingContext(ctx); err != nil {
		if d.hosts != nil && d.hosts.inUse.Load() == nil { // since a moment ago
			err = d.hosts.unfit()
		}
		return fmt.Errorf("ping database: %w", err)
	}
	if d.hosts != nil && !d.hosts.watched() {
		if v := look(ctx, d.read); v.err != nil {
			return fmt.Errorf("ping database: %w", v.err)
		}
	}
	return nil
}

// Close waits for running statements and closes all connections. Before it, transactions must have ended and a NodeLock must
// have been released.
func (d *DB) Close() error {
	err := d.read.Close()
	if d.write == d.read {
		if d.hosts != nil {
			d.hosts.close() // the last: it ends statements that a server doesn't answer
		}
		// Saying goodbye to a server may fail; that is no failure of Close.
		return nil
	}
	// The writer is closed last: SQLite then moves the log into the database and deletes it.
	if err = errors.Join(err, d.write.Close()); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}
