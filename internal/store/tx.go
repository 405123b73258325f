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
	// Twelve writers on three members of a Galera cluster, on three contended rows, needed more than 12 attempts once in 400
	// transactions, and never more than 20.
	maxAttempts = 24
	firstPause  = 2 * time.Millisecond
	maxPause    = 200 * time.Millisecond
)

// Tx is a transaction. One goroutine uses it, and only until the function that received it returns. Each statement sees
// what was committed before that statement began (READ COMMITTED), so what is read after taking a lock is up to date.
type Tx struct {
	*db.Queries
	Lookups

	conn   *dialect
	bulk   bulk
	spread bool // see DB.Spread
}

// MessageBatch is what a transaction of StoreMessages stores last.
type MessageBatch struct {
	Rows []db.InsertMessageParams
	// Marks are the own marks to move, of at most 500 participants, whose rows must exist. Where the tables are spread over several
	// servers, they move after the commit, or don't when that fails.
	Marks []OwnMark
}

// Tx runs fn in one transaction and commits it. When fn returns an error or panics, the transaction is rolled back, and
// the error is returned or the panic passed on. When the database ends the transaction because of a conflict with another
// one, fn runs again, at most 24 times and only while ctx lives: whatever fn does besides statements must bear repetition.
//
// When Tx returns an error, nothing is stored, with one exception: a connection that broke during the commit. Nobody then
// knows what became of the transaction, and Tx doesn't retry it. IsUnavailable holds for that error, and the caller decides
// whether a repetition could do harm.
func (d *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	return d.StoreMessages(ctx, func(tx *Tx) (MessageBatch, error) { return MessageBatch{}, fn(tx) })
}

// StoreMessages is Tx for a function that returns messages to store. They are inserted after fn has returned, and the last
// INSERT carries the COMMIT where the database allows that, which saves one round trip. No statement can follow the
// messages, because only this method can insert a batch. A message that is stored already (same conversation and seq, or
// same client id) fails the transaction, and IsDuplicate holds for the error.
func (d *DB) StoreMessages(ctx context.Context, fn func(tx *Tx) (MessageBatch, error)) error {
	return retry(ctx, func() error { return d.once(ctx, fn) })
}

func (d *DB) once(ctx context.Context, fn func(tx *Tx) (MessageBatch, error)) error {
	begun, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// After a commit, Rollback does nothing. It also runs when fn panics. If it fails, the database itself undoes the
	// transaction when the connection closes.
	defer begun.Rollback() //nolint:errcheck // see above

	conn := &dialect{on: begun, texts: d.texts, fresh: d.Spread()}
	tx := &Tx{Queries: db.New(conn), Lookups: Lookups{conn: conn, inOrder: d.Spread()}, conn: conn, bulk: d.bulk, spread: d.Spread()}
	batch, err := fn(tx)
	// After a conflict the server has rolled the transaction back. The batch must then not be sent: it would be stored alone.
	if err == nil && conn.conflict == nil {
		err = tx.storeAndCommit(ctx, batch)
	}
	switch {
	case err != nil && conn.conflict != nil && !isConflict(err):
		return fmt.Errorf("%w: %w", conn.conflict, err)
	case err != nil:
		return withCause(ctx, err)
	case conn.conflict != nil:
		return conn.conflict // fn has overlooked it
	}
	if err := begun.Commit(); err != nil {
		if d.Spread() {
			err = fmt.Errorf("%w: %v", errPartly, err) //nolint:errorlint // not as a conflict
		}
		return withCause(ctx, fmt.Errorf("commit transaction: %w", err))
	}
	if d.Spread() {
		d.moveMarks(ctx, batch.Marks)
	}
	return nil
}

// withCause adds the reason why a transaction has ended before its function returned: database/sql says only that it did.
func withCause(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// retry calls do again while it ends in a conflict.
func retry(ctx context.Context, do func() error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == maxAttempts || !isConflict(err) {
			return err
		}
		// The pause is random, so that two transactions in conflict don't meet again.
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // no secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		pause = min(2*pause, maxPause)
	}
}
