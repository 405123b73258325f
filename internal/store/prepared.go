package store

import (
	"context"
	"database/sql/driver"
	"errors"
)

// mostPrepared bounds the statements that a connection keeps prepared. Those that name many rows have a text for each
// number of rows.
const mostPrepared = 256

// preparing makes connections to SQLite that prepare a statement once: to parse it costs as much as to run it.
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

// sqliteConn is what the driver's connection can do and database/sql makes use of.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedStmt is what the driver's statement can do.
type preparedStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedConn is a connection with its statements. One goroutine uses it at a time, as database/sql promises; and a
// result is read to its end before the same statement is run again, as the generated code does.
type preparedConn struct {
	sqliteConn
	prepared map[string]preparedStmt
}

// ExecContext implements [driver.ExecerContext]. A statement that has begun is not stopped when ctx ends: the driver
// would start a goroutine for each to watch it, and none of them takes long.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.WithoutCancel(ctx), args) //nolint:wrapcheck // database/sql compares it
}

// QueryContext implements [driver.QueryerContext], likewise.
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
