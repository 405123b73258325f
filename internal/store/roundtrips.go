package store

import (
	"context"
	"database/sql/driver"
	"errors"
)

// committing is the key of a context value that marks the last statement of a transaction.
type committing struct{}

// andCommit marks a statement as the last one of its transaction. A roundtripConn that may do so sends the COMMIT in the
// same text. If the statement or the COMMIT fails, nothing is committed. The number of changed rows isn't reported.
func andCommit(ctx context.Context) context.Context {
	return context.WithValue(ctx, committing{}, true)
}

// roundtripConn is a connection to MySQL that saves round trips: it sends START TRANSACTION in one text with the first
// statement, and COMMIT in one text with a statement marked by andCommit. A batch of messages then takes two round trips
// instead of four. The server runs such a text statement by statement and stops at the first that fails. One goroutine uses
// a connection at a time, as database/sql promises.
type roundtripConn struct {
	serverConn
	state txState
	// commitAlone sends every COMMIT in a text of its own, see serverKind.
	commitAlone bool
	link        *link
}

// txState is how far a connection's transaction is.
type txState int

const (
	noTx      txState = iota
	unsent            // begun by the caller; the server knows nothing of it yet
	open              // begun on the server
	committed         // committed with its last statement
)

// serverConn lists the interfaces of the driver's connection that database/sql uses.
type serverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

const beginText = "START TRANSACTION"

// BeginTx implements [driver.ConnBeginTx]. It refuses options, since this package uses none.
func (c *roundtripConn) BeginTx(_ context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options != (driver.TxOptions{}) {
		return nil, errors.New("transactions with options are not supported")
	}
	if !c.serverConn.IsValid() || c.link.spent.Load() {
		return nil, driver.ErrBadConn
	}
	c.state = unsent
	return roundtripTx{c}, nil
}

// ExecContext implements [driver.ExecerContext].
func (c *roundtripConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	last := c.state != noTx && !c.commitAlone && ctx.Value(committing{}) != nil
	if last {
		query += ";\nCOMMIT"
	}
	query, err := c.withBegin(query)
	if err != nil {
		return nil, err
	}
	result, err := c.serverConn.ExecContext(ctx, query, args)
	c.sent(err)
	if last && err == nil {
		c.state = committed
	}
	return result, c.link.note(err) //nolint:wrapcheck // database/sql compares it
}

// QueryContext implements [driver.QueryerContext].
func (c *roundtripConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	query, err := c.withBegin(query)
	if err != nil {
		return nil, err
	}
	rows, err := c.serverConn.QueryContext(ctx, query, args)
	c.sent(err)
	return rows, c.link.note(err) //nolint:wrapcheck // database/sql compares it
}

// PrepareContext implements [driver.ConnPrepareContext]. database/sql prepares a statement that is too long for one text.
func (c *roundtripConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.state == unsent {
		if _, err := c.ExecContext(ctx, "DO 0", nil); err != nil {
			return nil, err
		}
	}
	stmt, err := c.serverConn.PrepareContext(ctx, query)
	return stmt, c.link.note(err) //nolint:wrapcheck // database/sql compares it
}

// ResetSession implements [driver.SessionResetter]. database/sql calls it before it uses a connection again.
func (c *roundtripConn) ResetSession(ctx context.Context) error {
	if !c.link.good() {
		return driver.ErrBadConn
	}
	return c.link.note(c.serverConn.ResetSession(ctx)) //nolint:wrapcheck // database/sql compares it
}

// IsValid implements [driver.Validator]. database/sql calls it after it has used a connection.
func (c *roundtripConn) IsValid() bool { return c.link.good() && c.serverConn.IsValid() }

// Ping implements [driver.Pinger].
func (c *roundtripConn) Ping(ctx context.Context) error {
	return c.link.note(c.serverConn.Ping(ctx)) //nolint:wrapcheck // database/sql compares it
}

// Close implements [driver.Conn].
func (c *roundtripConn) Close() error {
	defer c.link.forget()
	return c.serverConn.Close() //nolint:wrapcheck // database/sql compares it
}

// withBegin puts START TRANSACTION before a transaction's first statement.
func (c *roundtripConn) withBegin(query string) (string, error) {
	switch c.state {
	case unsent:
		return beginText + ";\n" + query, nil
	case committed:
		return "", errors.New("the transaction was committed with the statement before")
	default:
		return query, nil
	}
}

// sent notes that a statement has reached the server. Two errors say that it hasn't: ErrSkip for a statement that is too
// long for one text, and ErrBadConn for a connection that was found broken before the statement was written.
func (c *roundtripConn) sent(err error) {
	if c.state == unsent && !errors.Is(err, driver.ErrSkip) && !errors.Is(err, driver.ErrBadConn) {
		c.state = open
	}
}

// roundtripTx implements [driver.Tx].
type roundtripTx struct{ c *roundtripConn }

// Commit sends COMMIT, unless the last statement has carried it or nothing was sent at all.
func (t roundtripTx) Commit() error { return t.end("COMMIT") }

// Rollback sends ROLLBACK, unless the transaction is committed or nothing was sent at all.
func (t roundtripTx) Rollback() error { return t.end("ROLLBACK") }

func (t roundtripTx) end(text string) error {
	was := t.c.state
	t.c.state = noTx
	if was != open {
		return nil
	}
	// No deadline: the connection's own timeouts bound it.
	_, err := t.c.serverConn.ExecContext(context.Background(), text, nil)
	return t.c.link.note(err) //nolint:wrapcheck // database/sql compares it
}
