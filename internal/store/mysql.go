package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

const (
	unlimitedIdle = 32 // connections kept open when the number of those in use has no limit
	dialTimeout   = 5 * time.Second
	ioTimeout     = 30 * time.Second
	connLifetime  = 10 * time.Minute // so that load returns to a server that was away
	connIdleTime  = 5 * time.Minute
	// Far below ioTimeout: the server reports that a lock wasn't granted before the driver gives up the connection.
	rowLockSeconds = "5"
	ddlLockSeconds = "60"
)

// OpenMySQL opens a database on a server, at least MySQL 8.0 or MariaDB 10.6, and returns an error if the server doesn't
// answer. The DSN is go-sql-driver's: user:password@tcp(host:port)/database or user:password@unix(path)/database. It may name
// several hosts with the same data, tcp(host:port,host:port), of which the first that can be used is. It may set timeouts and
// TLS; the rest is set here. maxOpen is the largest number of connections, 0 for no limit. No error contains the password.
func OpenMySQL(ctx context.Context, dsn string, maxOpen int) (*DB, error) {
	first, addresses, err := splitHosts(dsn)
	if err != nil {
		return nil, err
	}
	config, err := parseDSN(first)
	if err != nil {
		return nil, err
	}
	servers, err := newHosts(config, addresses)
	if err != nil {
		return nil, err
	}
	d, err := openHosts(ctx, mysqlEngine{config: config, hosts: servers, leases: &sightings{seen: map[string]leaseSighting{}}}, maxOpen)
	if err != nil {
		servers.close()
		return nil, err
	}
	d.hosts = servers
	return d, nil
}

func openHosts(ctx context.Context, e mysqlEngine, maxOpen int) (_ *DB, err error) {
	if e.hosts.several() {
		err = e.hosts.begin(ctx)
	}
	if err == nil {
		e.kind, err = e.ask(ctx)
	}
	if err == nil && e.kind.galera && !e.hosts.several() {
		err = e.hosts.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s at %s: %w", e.config.DBName, e.hosts, err)
	}
	pool, err := e.pool(e.config)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(maxOpen)
	pool.SetMaxIdleConns(cmp.Or(maxOpen, unlimitedIdle))
	pool.SetConnMaxLifetime(connLifetime)
	pool.SetConnMaxIdleTime(connIdleTime)
	return newDB(pool, pool, nil, mysqlBulk(), e), nil
}

// parseDSN reads a DSN and completes it. It doesn't pass on the driver's error, which quotes parts of the DSN: after a typing
// error any part may contain the password.
func parseDSN(dsn string) (*mysql.Config, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil || config.DBName == "" || config.Net != "tcp" && config.Net != "unix" {
		return nil, errors.New("the address of the database is not of the form user:password@tcp(host:port)/database," +
			" with several hosts by comma, followed by ?name=value&… at most")
	}
	// The driver inserts the arguments into the statement's text, which saves a round trip. That is safe with UTF-8, in which
	// no character ends in a byte with another meaning, and with this sql_mode, in which a backslash is an escape and double
	// quotes enclose a text.
	if err := config.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, fmt.Errorf("character set of the connection: %w", err)
	}
	config.InterpolateParams = true
	config.MultiStatements = true // for roundtripConn; clients' input is always an argument, never part of a text
	config.AllowAllFiles = false
	config.ClientFoundRows = true // an UPDATE reports the rows that it matched, as SQLite does
	config.ParseTime = true
	config.Loc = time.UTC
	config.Logger = &mysql.NopLogger{} // it would repeat the errors
	for _, timeout := range []struct {
		field *time.Duration
		value time.Duration
	}{{&config.Timeout, dialTimeout}, {&config.ReadTimeout, ioTimeout}, {&config.WriteTimeout, ioTimeout}} {
		if *timeout.field == 0 {
			*timeout.field = timeout.value
		}
	}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["sql_mode"] = "'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
	config.Params["time_zone"] = "'+00:00'"
	if config.Params["innodb_lock_wait_timeout"] == "" {
		config.Params["innodb_lock_wait_timeout"] = rowLockSeconds
	}
	return config, nil
}

// sessions makes connections with isolation level READ COMMITTED, on which a statement sees what was committed before it began.
// With MySQL's default, REPEATABLE READ, a transaction sees what was committed before its first read, even after it has waited
// for a lock. The level is set by a statement, because the variable has different names on the supported servers.
type sessions struct {
	driver.Connector // to the first host

	hosts *hosts
	each  []driver.Connector // one for each host
	kind  serverKind
}

// Connect implements [driver.Connector]. It tries the hosts that are fit, the one in use first.
func (s sessions) Connect(ctx context.Context) (driver.Conn, error) {
	hosts := s.hosts.candidates()
	if len(hosts) == 0 {
		return nil, s.hosts.unfit()
	}
	var failed error
	for _, h := range hosts {
		conn, err := s.connectTo(ctx, h)
		if err == nil {
			return conn, nil
		}
		another := ctx.Err() == nil && IsUnavailable(err)
		if failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		if failed = err; !another {
			break
		}
	}
	return nil, failed
}

func (s sessions) connectTo(ctx context.Context, h *host) (driver.Conn, error) {
	l, ctx := h.newLink(ctx)
	conn, err := s.each[h.index].Connect(ctx)
	if err != nil {
		return nil, l.failed(err)
	}
	full, ok := conn.(serverConn)
	if !ok {
		return nil, l.failed(errors.Join(errors.New("the driver's connection can't do what is needed"), conn.Close()))
	}
	settings := []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"}
	if s.kind.galera {
		settings = append(settings, galeraWaits)
	}
	if s.kind.spread {
		settings = append(settings, spreadCommits)
	}
	for _, setting := range settings {
		if _, err := full.ExecContext(ctx, setting, nil); err != nil {
			return nil, l.failed(errors.Join(err, conn.Close()))
		}
	}
	l.cancel() // it has no effect on a connection that is made
	return &roundtripConn{serverConn: full, commitAlone: s.kind.commitAlone(), link: l}, nil
}

// checkVersion refuses servers that are too old. MariaDB may put 5.5.5- before its version, for old clients.
func checkVersion(version string) error {
	name, oldest := "MySQL", [2]int{8, 0}
	if strings.Contains(version, "MariaDB") {
		name, oldest = "MariaDB", [2]int{10, 6}
	}
	var has [2]int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "5.5.5-"), "%d.%d.", &has[0], &has[1]); err != nil {
		return fmt.Errorf("the server's version %q can't be read: %w", version, err)
	}
	if slices.Compare(has[:], oldest[:]) < 0 {
		return fmt.Errorf("the server is %s %s; the oldest supported is %s %d.%d", name, version, name, oldest[0], oldest[1])
	}
	return nil
}

// mysqlEngine is the engine of a database on a MySQL or MariaDB server.
type mysqlEngine struct {
	config *mysql.Config // with the first of the hosts
	hosts  *hosts
	kind   serverKind
	leases *sightings
}

// ask opens a connection to find out what the server is.
func (e mysqlEngine) ask(ctx context.Context) (serverKind, error) {
	pool, err := e.pool(e.config)
	if err != nil {
		return serverKind{}, err
	}
	defer pool.Close() //nolint:errcheck // saying goodbye may fail
	return askServer(ctx, pool)
}

func (e mysqlEngine) pool(config *mysql.Config) (*sql.DB, error) {
	each, err := e.hosts.connectors(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(sessions{each[0], e.hosts, each, e.kind}), nil
}

// patient returns a pool of one connection on which only the context bounds a statement's time.
func (e mysqlEngine) patient() (*sql.DB, error) {
	config := e.config.Clone()
	config.ReadTimeout = 0
	config.Params["lock_wait_timeout"] = ddlLockSeconds
	pool, err := e.pool(config)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	return pool, nil
}

// String implements engine.
func (e mysqlEngine) String() string { return e.kind.String() }

func (e mysqlEngine) spread() bool { return e.kind.spread }

func (e mysqlEngine) lock(ctx context.Context, spec lockSpec) (heldLock, error) {
	pool, err := e.patient()
	if err != nil {
		return nil, err
	}
	return takeLease(ctx, pool, e.leases, spec)
}

func (e mysqlEngine) migrations(*sql.DB) (migrations, error) {
	pool, err := e.patient()
	if err != nil {
		return migrations{}, err
	}
	closing := func() { _ = pool.Close() } // errors are ignored as in DB.Close
	return migrations{dialect: goose.DialectMySQL, folder: "schema/mysql", pool: pool, close: closing, lags: !e.kind.single}, nil
}
