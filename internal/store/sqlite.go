package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	sqlfiles "tim/sql"
)

const (
	sqliteReaders = 4
	// Short, since a statement that fails with "busy" is tried again, and others may use the writer in between.
	sqliteWriterWait = time.Second
	sqliteReaderWait = 5 * time.Second
)

// OpenSQLite opens the embedded database in a file and creates the file, readable for its owner alone, if need be. The folder
// must exist. Beside the file lie its log (-wal, -shm) and the files of the locks (.node.lock, .migrate.lock). Several
// processes may open the file; only one of them can hold LockNode.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	texts, err := readTexts(sqlfiles.SQLite, "query/sqlite")
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	created, err := createPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, explained(err))
	}
	write, err := openWriter(ctx, path)
	if err != nil {
		if info, statErr := os.Stat(path); created && statErr == nil && info.Size() == 0 {
			err = errors.Join(err, os.Remove(path)) // a file without content would be taken for a lost database
		}
		return nil, fmt.Errorf("open %s: %w", path, explained(err))
	}
	read, err := openReaders(ctx, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, explained(err)), write.Close())
	}
	return newDB(read, write, texts, sqliteBulk(), sqliteEngine{path: path}), nil
}

// createPrivate creates the file, since SQLite would make it readable for others. It doesn't open a file that exists: closing
// it would release the locks that this process has on it.
func createPrivate(path string) (created bool, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err //nolint:wrapcheck // the caller wraps
	}
	return true, file.Close() //nolint:wrapcheck // the caller wraps
}

// openWriter opens the one connection that writes. Its transactions take SQLite's lock when they begin. A transaction that took
// it later would fail if another process has written in between.
func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	pool, err := openPool(path, url.Values{
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"}, // a commit survives a power cut
		"_txlock":       {"immediate"},
		"_pragma":       {"cache_size(-8000)", "journal_size_limit(16777216)", "temp_store(memory)"},
	}, sqliteWriterWait)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	pool.SetMaxIdleConns(1)
	var mode string
	if err := pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	if mode != "wal" {
		err := fmt.Errorf("the file system can't share memory between processes: journal mode is %q, not WAL", mode)
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

func openReaders(ctx context.Context, path string) (*sql.DB, error) {
	pool, err := openPool(path, url.Values{
		"_query_only": {"true"},
		"_pragma":     {"cache_size(-1000)"},
	}, sqliteReaderWait)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(sqliteReaders)
	pool.SetMaxIdleConns(sqliteReaders)
	pool.SetConnMaxIdleTime(time.Minute) // frees their caches
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

func openPool(path string, parameters url.Values, wait time.Duration) (*sql.DB, error) {
	parameters.Set("_busy_timeout", fmt.Sprint(wait.Milliseconds()))
	parameters.Set("_dqs", "false")     // text in double quotes is a name, never a string
	parameters.Set("_error_rc", "true") // an error is that of the statement itself, not of an earlier one
	address := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: parameters.Encode()}
	connector, err := sqlite.NewConnector(address.String())
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller wraps
	}
	return sql.OpenDB(preparing{connector}), nil
}

// sqliteEngine is the engine of a database in a file.
type sqliteEngine struct{ path string }

// String implements engine.
func (sqliteEngine) String() string { return "SQLite, embedded" }

func (sqliteEngine) spread() bool { return false }

func (e sqliteEngine) lock(ctx context.Context, spec lockSpec) (heldLock, error) {
	return lockFile(ctx, e.path+"."+spec.name+".lock", spec.wait)
}

func (e sqliteEngine) migrations(write *sql.DB) (migrations, error) {
	stays := func() {}
	return migrations{dialect: goose.DialectSQLite3, folder: "schema/sqlite", pool: write, close: stays}, nil
}
