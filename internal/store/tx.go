package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"tim/gen/db"
)

const (
	// Where three servers write (Galera), half of the attempts on one hot row end in a conflict; 12 leave one in 4,000.
	mostAttempts = 12
	firstPause   = 2 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// Tx is a transaction, for one goroutine and until its function returns. A statement sees what was committed before
// the statement (not the transaction) began, so what is read after taking a lock is up to date.
type Tx struct {
	*db.Queries
	Lookups

	conn *seam
	bulk bulk
}

// Tx runs fn in one transaction and commits. When fn returns an error or panics, all is rolled back and the error
// returned or the panic passed on. When the database ended the transaction because of a conflict with another one, fn
// runs again, a dozen times at most and as long as ctx lives: what it does besides statements must bear repetition.
//
// A connection lost on the way is not retried: when it broke in the commit, nobody knows what became of it. The error
// then is one of IsUnavailable, and the caller decides whether doing it again could do harm.
func (d *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	return retry(ctx, func() error { return d.once(ctx, fn) })
}

func (d *DB) once(ctx context.Context, fn func(tx *Tx) error) error {
	begun, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// After a commit it does nothing. It also runs when fn panics; the database undoes what can't be rolled back here.
	defer begun.Rollback() //nolint:errcheck // see above

	conn := &seam{on: begun, texts: d.texts}
	err = fn(&Tx{Queries: db.New(conn), Lookups: Lookups{conn: conn}, conn: conn, bulk: d.bulk})
	switch {
	case err != nil && conn.conflict != nil && !isConflict(err):
		return fmt.Errorf("%w: %w", conn.conflict, err)
	case err != nil:
		return withCause(ctx, err)
	case conn.conflict != nil:
		// fn overlooked it. Nothing of the transaction is left to commit.
		return conn.conflict
	}
	if err := begun.Commit(); err != nil {
		return withCause(ctx, fmt.Errorf("commit transaction: %w", err))
	}
	return nil
}

// withCause tells why a transaction ended under its user's hands: database/sql only says that it did.
func withCause(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// retry runs do again while it ends in a conflict.
func retry(ctx context.Context, do func() error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == mostAttempts || !isConflict(err) {
			return err
		}
		// Random, so that those who met don't meet again.
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // no secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		pause = min(2*pause, longestPause)
	}
}

// An update that changes nothing: the one lock of a row that both engines know by the same text.
const lockUser = nameComment + "LockUser :exec\nUPDATE `user` SET account = account WHERE account = ?"

// LockUser makes whoever changes the same account wait until this transaction ends. What is read of it afterwards is up
// to date.
func (tx *Tx) LockUser(ctx context.Context, account string) error {
	if _, err := tx.conn.ExecContext(ctx, lockUser, account); err != nil {
		return fmt.Errorf("lock user: %w", err)
	}
	return nil
}
