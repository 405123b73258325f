package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"syscall"
	"time"
)

// errLocked is the error of a lock that another process holds.
var errLocked = errors.New("locked")

// lockSpec describes a lock of a database that one process at a time can hold.
type lockSpec struct {
	name string        // a word
	wait time.Duration // how long to wait for another holder before errLocked is returned
}

// heldLock is a lock that this process holds. One goroutine at a time calls its methods.
type heldLock interface{ release() error }

// exclusiveWait is how long Exclusive waits for another holder.
const exclusiveWait = 100 * time.Millisecond

// Exclusive runs do unless another process runs something under the same name on this database. It reports whether it ran. On a
// server the lock may be lost meanwhile, so do must bear that it runs twice.
func (d *DB) Exclusive(ctx context.Context, name string, do func(ctx context.Context) error) (ran bool, err error) {
	held, err := d.engine.lock(ctx, lockSpec{name: name, wait: exclusiveWait})
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, held.release()) }()
	return true, do(ctx)
}

// fileLock is an advisory lock on a file (flock). The system releases it when the process ends.
type fileLock struct{ file *os.File }

const lockPoll = 20 * time.Millisecond

// lockFile creates the file if need be. The file stays after the lock is released: a process that removed it might remove one
// that another process has just locked.
func lockFile(ctx context.Context, path string, wait time.Duration) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, errLocked)
	defer cancel()
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return &fileLock{file: file}, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, context.Cause(ctx)), file.Close())
		}
	}
}

func (l *fileLock) release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}

// serverLock is a named lock of a MySQL server, held by a connection of its own. The server releases it when the connection
// ends.
type serverLock struct {
	pool *sql.DB
	conn *sql.Conn
	name string
}

// lockCall is the time limit of a question about a lock, in addition to the time that the lock may wait.
const lockCall = 10 * time.Second

// lockServer owns the pool from now on: release closes it, and so does an error.
func lockServer(ctx context.Context, pool *sql.DB, database string, spec lockSpec) (*serverLock, error) {
	ctx, cancel := context.WithTimeout(ctx, spec.wait+lockCall)
	defer cancel()
	l := &serverLock{pool: pool, name: serverLockName(spec.name, database)}
	if err := l.take(ctx, spec); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", l.name, err), pool.Close())
	}
	return l, nil
}

// serverLockName returns a name of at most 64 characters, which is MySQL's limit. Lock names belong to the whole server and
// ignore case, hence the checksum of the database's name.
func serverLockName(name, database string) string {
	return fmt.Sprintf("tim.%s.%.32s.%08x", name, database, crc32.ChecksumIEEE([]byte(database)))
}

func (l *serverLock) take(ctx context.Context, spec lockSpec) (err error) {
	if l.conn, err = l.pool.Conn(ctx); err != nil {
		return err //nolint:wrapcheck // the caller wraps
	}
	var taken sql.NullInt64
	row := l.conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", l.name, int64(spec.wait.Seconds()))
	err = row.Scan(&taken)
	if err == nil && taken.Int64 != 1 {
		err = errLocked
	}
	if err != nil {
		return errors.Join(err, l.conn.Close())
	}
	return nil
}

func (l *serverLock) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), lockCall)
	defer cancel()
	// RELEASE_LOCK makes the lock free before release returns. If it fails, the end of the connection releases the lock, so
	// errors don't matter here.
	var released sql.NullInt64
	_ = l.conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", l.name).Scan(&released)
	_ = l.conn.Close()
	_ = l.pool.Close()
	return nil
}
