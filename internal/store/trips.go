package store

import (
	"context"
	"database/sql/driver"
	"errors"
)

// committing marks the context of a transaction's last statement.
type committing struct{}

// andCommit makes a statement the last one of its transaction: where a round trip can be saved by it, its connection
// commits along with it. If it fails, nothing is committed. How many rows it changed is not told.
func andCommit(ctx context.Context) context.Context {
	return context.WithValue(ctx, committing{}, true)
}

// tripConn is a connection to MySQL whose transactions begin together with their first statement and, where andCommit
// says so, are committed together with their last one: a batch of messages is two round trips instead of four. The driver
// sends several statements at once and stops at the first that fails. One goroutine uses it at a time, as database/sql
// promises.
type tripConn struct {
	serverConn
	state txState
}

type txState int

const (
	noTx txState = iota
	unsent
	open
	committed
)

// serverConn is what the driver's connection can do and database/sql makes use of.
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

// BeginTx implements [driver.ConnBeginTx] for transactions without options, the only ones there are.
func (c *tripConn) BeginTx(_ context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options != (driver.TxOptions{}) {
		return nil, errors.New("a transaction has no options here")
	}
	if !c.IsValid() {
		return nil, driver.ErrBadConn
	}
	c.state = unsent
	return tripTx{c}, nil
}

// ExecContext implements [driver.ExecerContext].
func (c *tripConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	last := c.state != noTx && ctx.Value(committing{}) != nil
	if last {
		query += ";\nCOMMIT"
	}
	query, err := c.begun(query)
	if err != nil {
		return nil, err
	}
	result, err := c.serverConn.ExecContext(ctx, query, args)
	c.sent(err)
	if last && err == nil {
		c.state = committed
	}
	return result, err //nolint:wrapcheck // database/sql compares it
}

// QueryContext implements [driver.QueryerContext].
func (c *tripConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	query, err := c.begun(query)
	if err != nil {
		return nil, err
	}
	rows, err := c.serverConn.QueryContext(ctx, query, args)
	c.sent(err)
	return rows, err //nolint:wrapcheck // database/sql compares it
}

// PrepareContext implements [driver.ConnPrepareContext]. database/sql prepares what is too long to be sent as one text.
func (c *tripConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.state == unsent {
		if _, err := c.ExecContext(ctx, "DO 0", nil); err != nil {
			return nil, err
		}
	}
	return c.serverConn.PrepareContext(ctx, query) //nolint:wrapcheck // database/sql compares it
}

// begun puts the beginning of the transaction before its first statement.
func (c *tripConn) begun(query string) (string, error) {
	switch c.state {
	case unsent:
		return beginText + ";\n" + query, nil
	case committed:
		return "", errors.New("the transaction was committed with the statement before")
	default:
		return query, nil
	}
}

// sent notes what became of a statement. One that the driver had to skip, as too long to be one text, or for which it
// found the connection broken, was never sent.
func (c *tripConn) sent(err error) {
	if c.state == unsent && !errors.Is(err, driver.ErrSkip) && !errors.Is(err, driver.ErrBadConn) {
		c.state = open
	}
}

// tripTx implements [driver.Tx].
type tripTx struct{ c *tripConn }

func (t tripTx) Commit() error { return t.end("COMMIT") }

// Rollback does nothing after a commit.
func (t tripTx) Rollback() error { return t.end("ROLLBACK") }

func (t tripTx) end(text string) error {
	was := t.c.state
	t.c.state = noTx
	if was != open {
		return nil
	}
	_, err := t.c.serverConn.ExecContext(context.Background(), text, nil) // as long as the connection's timeouts
	return err                                                            //nolint:wrapcheck // database/sql compares it
}
