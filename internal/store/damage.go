package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsDamaged reports whether a statement failed because the database itself is damaged: an embedded one that is malformed, or a table
// or index on a server that is crashed, malformed or without its file. IsUnavailable holds for such an error, too.
func IsDamaged(err error) bool {
	switch mysqlNumber(err) {
	case 1034, 1035, 1194, 1195, 1459, 1707, // a table or its index is crashed, malformed, or must be repaired
		1712, 1877, 1812, 1813, 1814, 1815, 1932: // InnoDB: an index or table is corrupted; its tablespace is missing or discarded
		return true
	}
	if damaged, ok := errors.AsType[*damageError](err); ok && damaged != nil {
		return true
	}
	code := sqliteCode(err) & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// damageError is what QuickCheck has found.
type damageError struct{ what string }

func (e *damageError) Error() string { return e.what }

// QuickCheck reads an embedded database through and looks for damage. The error is that of ctx if the time was too short. For a
// database on a server it does nothing.
func (d *DB) QuickCheck(ctx context.Context) error {
	e, ok := d.engine.(sqliteEngine)
	if !ok {
		return nil
	}
	// A connection of its own: that of the pool doesn't stop a statement when its context ends.
	address := url.URL{Scheme: "file", OmitHost: true, Path: e.path, RawQuery: "_query_only=true&_busy_timeout=1000"}
	connector, err := sqlite.NewConnector(address.String())
	if err != nil {
		return fmt.Errorf("quick check: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(1)
	var found string
	err = pool.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found)
	if err == nil && found != "ok" {
		err = &damageError{found}
	}
	if err = errors.Join(err, pool.Close()); err != nil {
		return fmt.Errorf("quick check: %w", err)
	}
	return nil
}

// Probe reads a row of each table. It reports whether all can be read again after one was found damaged. An embedded database stays
// damaged until it is opened anew.
func (d *DB) Probe(ctx context.Context) (bool, error) {
	if _, ok := d.engine.(sqliteEngine); ok {
		return false, nil
	}
	for _, table := range []string{"user", "friends", "group", "userofgroup", "session", "conversation", "message", "participant"} {
		var n int
		err := d.read.QueryRowContext(ctx, "SELECT 1 FROM `"+table+"` LIMIT 1").Scan(&n)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, fmt.Errorf("probe %s: %w", table, err)
		}
	}
	return true, nil
}

// Empty reports whether the database has no table of accounts yet.
func (d *DB) Empty(ctx context.Context) (bool, error) {
	var n int
	err := d.read.QueryRowContext(ctx, "SELECT 1 FROM `user` LIMIT 1").Scan(&n)
	switch {
	case isMissingTable(err):
		return true, nil
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return false, nil
	}
	return false, fmt.Errorf("look for accounts: %w", err)
}

// explained says what to do about a file that can't be opened as a database.
func explained(err error) error {
	var hint string
	switch code := sqliteCode(err) & 0xff; {
	case code == sqlite3.SQLITE_NOTADB:
		hint = "it is no database of SQLite, or its beginning is damaged; restore it from a backup"
	case code == sqlite3.SQLITE_CORRUPT:
		hint = "the database is damaged; keep a copy of it, and restore a backup"
	case code == sqlite3.SQLITE_READONLY, code == sqlite3.SQLITE_CANTOPEN, code == sqlite3.SQLITE_PERM,
		errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		hint = "the file and its folder must be writable for the user that runs the server"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", hint, err)
}
