// Package store opens the database and runs the statements of gen/db on it: on SQLite, embedded in this process, or
// on a MySQL or MariaDB server. Which of the two it is, nobody outside has to know.
//
// Statements are written once, for MySQL. Where the embedded engine needs another text, sql/query/sqlite has it under
// the same name, and the seam between gen/db and the driver swaps it in.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tim/gen/db"
)

// DB is an open database. All its methods may be called concurrently. Close ends it.
type DB struct {
	Lookups

	read, write   *sql.DB // one and the same pool on MySQL
	reads, writes *db.Queries
	texts         map[string]string
	bulk          bulk
	engine        engine
}

// engine is what differs between the two databases beside the text of statements.
type engine interface {
	// lock takes a named lock that every other process with this database sees.
	lock(ctx context.Context, spec lockSpec) (heldLock, error)
	// migrations opens what Migrate needs; its close ends that.
	migrations(write *sql.DB) (migrations, error)
}

func newDB(read, write *sql.DB, texts map[string]string, b bulk, e engine) *DB {
	return &DB{
		Lookups: Lookups{conn: read}, read: read, write: write, texts: texts, bulk: b, engine: e,
		reads:  db.New(&dialect{on: read, texts: texts}),
		writes: db.New(&dialect{on: write, texts: texts, retries: true}),
	}
}

// Read gives the statements for reading outside a transaction; each sees all that was committed before it began. On
// the embedded engine a statement that writes fails here.
func (d *DB) Read() *db.Queries { return d.reads }

// Write gives the statements for a single write, which is its own transaction and is retried like one. Inside Tx use
// the transaction instead: on the embedded engine it holds the only connection that writes.
func (d *DB) Write() *db.Queries { return d.writes }

// Ping asks the database for a sign of life.
func (d *DB) Ping(ctx context.Context) error {
	if err := d.read.PingContext(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close ends all connections; it waits for the statements that run. Transactions must have ended, and a NodeLock must
// have been released.
func (d *DB) Close() error {
	err := d.read.Close()
	if d.write == d.read {
		// A server that can't be told goodbye is no failure.
		return nil
	}
	// The writer last: SQLite then moves the log into the database and removes it.
	if err = errors.Join(err, d.write.Close()); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}
