package store

import (
	"context"
	"database/sql/driver"
	"errors"
)

// mostPrepared bounds the prepared statements of a connection. A statement that names many rows has a text for each number of
// rows.
const mostPrepared = 256

// preparing makes connections to SQLite that prepare each statement once: parsing a statement costs as much as running it.
type preparing struct{ driver.Connector }

func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // database/sql compares it
	}
	full, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connection can't do what is needed"), conn.Close())
	}
	return &preparedConn{sqliteConn: full, prepared: make(map[string]preparedStmt)}, nil
}

// sqliteConn lists the interfaces of the driver's connection that database/sql uses.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedStmt lists the interfaces of the driver's statement that this file uses.
type preparedStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedConn is a connection with its prepared statements. One goroutine uses it at a time, as database/sql promises. A
// result must be read to its end before the same statement runs again, as the generated code does.
type preparedConn struct {
	sqliteConn
	prepared map[string]preparedStmt
}

// ExecContext implements [driver.ExecerContext]. The end of ctx doesn't stop a statement that runs: for that, the driver would
// start a goroutine for each statement, and statements are short.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.WithoutCancel(ctx), args) //nolint:wrapcheck // database/sql compares it
}

// QueryContext implements [driver.QueryerContext]. The end of ctx doesn't stop a statement that runs, as in ExecContext.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.WithoutCancel(ctx), args) //nolint:wrapcheck // database/sql compares it
}

func (c *preparedConn) prepare(ctx context.Context, query string) (preparedStmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if stmt, ok := c.prepared[query]; ok {
		return stmt, nil
	}
	made, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err //nolint:wrapcheck // database/sql compares it
	}
	stmt, ok := made.(preparedStmt)
	if !ok {
		return nil, errors.Join(errors.New("the driver's statement can't do what is needed"), made.Close())
	}
	if len(c.prepared) >= mostPrepared {
		if err := c.forget(); err != nil {
			return nil, errors.Join(err, stmt.Close())
		}
	}
	c.prepared[query] = stmt
	return stmt, nil
}

func (c *preparedConn) forget() error {
	var errs []error
	for _, stmt := range c.prepared {
		errs = append(errs, stmt.Close())
	}
	clear(c.prepared)
	return errors.Join(errs...)
}

// Close implements [driver.Conn].
func (c *preparedConn) Close() error {
	return errors.Join(c.forget(), c.sqliteConn.Close())
}
