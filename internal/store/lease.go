package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A named lock of a server is a row of the table lease. A server's own locks (GET_LOCK) belong to one member of a cluster; a row
// belongs to all. Its holder renews the row. Whether the holder lives is told by the row's beat, as with nodes (noderow.go).

// makeLeases creates the table. It is no migration, because migrations need it.
const makeLeases = "CREATE TABLE IF NOT EXISTS `lease` (`name` varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL," +
	" `holder` varchar(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, `beat` bigint NOT NULL, `looks` bigint NOT NULL," +
	" PRIMARY KEY (`name`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

const (
	leaseCall = 3 * time.Second // bounds one statement about a lock, so that a renewal that hangs isn't the last of a lease
	// promptly is how long a write takes at most on a database that works. A holder that lives gets its renewals through, too.
	promptly = time.Second
)

// leaseLock is a named lock of a server's database.
type leaseLock struct {
	pool *sql.DB // of its own, so that no load delays a renewal
	name string
	id   string // of this holding

	gone chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// sightings is what a process has seen of other holders, by the names of locks. Its method may be called from any goroutine.
type sightings struct {
	mu   sync.Mutex
	seen map[string]leaseSighting
}

type leaseSighting struct {
	holder string
	beat   int64
	since  time.Time
}

// forget is for a look that failed: nobody knows how the row was meanwhile.
func (s *sightings) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, name)
}

// still notes a look at a lock, and returns for how long the row has stood still. With anew that time begins now.
func (s *sightings) still(name string, now leaseSighting, anew bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.seen[name]
	if !known || anew || before.holder != now.holder || before.beat != now.beat {
		s.seen[name] = now
		return 0
	}
	return now.since.Sub(before.since)
}

// takeLease owns the pool from now on: release closes it, and so does an error.
func takeLease(ctx context.Context, pool *sql.DB, seen *sightings, spec lockSpec) (*leaseLock, error) {
	l := &leaseLock{pool: pool, name: spec.name, id: randomID(), gone: make(chan struct{}), done: make(chan struct{})}
	if err := l.await(ctx, seen, spec.wait); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", l.name, err), pool.Close())
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.renew(watch)
	return l, nil
}

// await tries until the lock is taken or the time is over. A database that doesn't answer in time may be changing a table.
func (l *leaseLock) await(ctx context.Context, seen *sightings, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; {
		taken, err := l.try(ctx, seen)
		left := time.Until(deadline)
		switch {
		case taken:
			return nil
		case err != nil && (left <= 0 || ctx.Err() != nil || !IsUnavailable(err)):
			return err
		case left <= 0:
			return errLocked
		}
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller wraps
		case <-time.After(min(nodeLook, left)):
		}
	}
}

// try takes the lock if it is free, or if its holder is dead: if the row has stood still for a lease, while writes to the table were
// carried out promptly. Where they aren't, because a change of a table blocks them on the whole cluster, a holder that lives can't
// renew the lock either.
func (l *leaseLock) try(ctx context.Context, seen *sightings) (taken bool, err error) {
	defer func() {
		if err != nil {
			seen.forget(l.name)
		}
	}()
	begun := time.Now()
	if err := l.look(ctx); err != nil {
		return false, err
	}
	var now leaseSighting
	if now.holder, now.beat, err = l.read(ctx); err != nil {
		return false, err
	}
	if now.holder == l.id { // taken by an attempt of which only the answer was lost
		return true, nil
	}
	now.since = time.Now()
	slow := now.since.Sub(begun) > promptly
	if still := seen.still(l.name, now, slow); now.holder != "" && still < nodeLease {
		return false, nil
	}
	n, err := l.exec(ctx, "UPDATE `lease` SET holder = ?, beat = beat + 1 WHERE name = ? AND holder = ? AND beat = ?",
		l.id, l.name, now.holder, now.beat)
	return n == 1, err
}

// look writes to the lock's row, and makes it, and the table, where they aren't there.
func (l *leaseLock) look(ctx context.Context) error {
	n, err := l.exec(ctx, "UPDATE `lease` SET looks = looks + 1 WHERE name = ?", l.name)
	if isMissingTable(err) {
		n = 0
		_, err = l.exec(ctx, makeLeases)
	}
	if err == nil && n == 0 {
		_, err = l.exec(ctx, "INSERT INTO `lease` (name, holder, beat, looks) VALUES (?, '', 0, 0)", l.name)
	}
	if IsDuplicate(err) {
		return nil
	}
	return err
}

func (l *leaseLock) read(ctx context.Context) (holder string, beat int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	err = l.pool.QueryRowContext(ctx, "SELECT holder, beat FROM `lease` WHERE name = ?", l.name).Scan(&holder, &beat)
	return holder, beat, err
}

// exec runs one statement, again after a conflict with another process that wants the lock. It returns the number of rows found.
func (l *leaseLock) exec(ctx context.Context, text string, args ...any) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	err = retry(ctx, func() error {
		result, err := l.pool.ExecContext(ctx, text, args...)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err //nolint:wrapcheck // the caller wraps
	})
	return n, err
}

// renew renews the lock until ctx ends, or another process has taken it over. Errors don't end it: a change of a table, which this
// process may be making, blocks renewals on a cluster, and then others don't take the lock over either.
func (l *leaseLock) renew(ctx context.Context) {
	defer close(l.done)
	ticker := time.NewTicker(nodeBeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n, err := l.exec(ctx, "UPDATE `lease` SET beat = beat + 1 WHERE name = ? AND holder = ?", l.name, l.id)
		if err == nil && n == 0 {
			close(l.gone)
			return
		}
	}
}

func (l *leaseLock) lost() <-chan struct{} { return l.gone }

// release makes the lock free. If that fails, others wait for the length of a lease.
func (l *leaseLock) release() error {
	l.stop()
	<-l.done
	_, _ = l.exec(context.Background(), "UPDATE `lease` SET holder = '', beat = beat + 1 WHERE name = ? AND holder = ?", l.name, l.id)
	_ = l.pool.Close() // saying goodbye may fail
	return nil
}
