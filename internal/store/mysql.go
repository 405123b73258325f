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
	unlimitedIdle = 32 // connections kept, where there is no limit on those in use
	dialTimeout   = 5 * time.Second
	ioTimeout     = 30 * time.Second
	connLifetime  = 10 * time.Minute // so that load moves to a server that came back
	connIdleTime  = 5 * time.Minute
	// Far below ioTimeout: the server tells of a wait in vain before the driver gives up the connection.
	rowLockSeconds = "5"
	ddlLockSeconds = "60"
)

// OpenMySQL opens a database on a server, MySQL 8.0 or MariaDB 10.6 at the oldest, which must answer now. The DSN is
// go-sql-driver's, user:password@tcp(host:port)/database or user:password@unix(path)/database; what it leaves open is
// completed here, timeouts and TLS can be set in it. maxOpen is the most connections at once, 0 for no limit. No error shows
// the password.
func OpenMySQL(ctx context.Context, dsn string, maxOpen int) (*DB, error) {
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	e := mysqlEngine{config: config}
	pool, err := e.pool(config)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(maxOpen)
	pool.SetMaxIdleConns(cmp.Or(maxOpen, unlimitedIdle))
	pool.SetConnMaxLifetime(connLifetime)
	pool.SetConnMaxIdleTime(connIdleTime)
	if err := checkServer(ctx, pool); err != nil {
		err = fmt.Errorf("open database %s at %s(%s): %w", config.DBName, config.Net, config.Addr, err)
		return nil, errors.Join(err, pool.Close())
	}
	return newDB(pool, pool, nil, mysqlBulk(), e), nil
}

// parseDSN reads a DSN and completes it. The driver's own error is not passed on: it quotes parts of the DSN, and in a
// DSN with a slip the password may be in any part.
func parseDSN(dsn string) (*mysql.Config, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil || config.DBName == "" || config.Net != "tcp" && config.Net != "unix" {
		return nil, errors.New("the address of the database is not of the form user:password@tcp(host:port)/database," +
			" followed by ?name=value&… at most")
	}
	// The strings in a statement are escaped here, which saves a round trip. That is safe in UTF-8, where no character
	// ends in a byte that means something else, and with this mode, where a backslash is an escape and " quotes text.
	if err := config.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, fmt.Errorf("character set of the connection: %w", err)
	}
	config.InterpolateParams = true
	config.MultiStatements = true // for roundtripConn; what clients send is always a parameter, never part of a text
	config.AllowAllFiles = false
	config.ClientFoundRows = true // an UPDATE reports the rows it met, as SQLite does
	config.ParseTime = true
	config.Loc = time.UTC
	config.Logger = &mysql.NopLogger{} // it repeats what the errors say
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

// sessions makes connections on which a statement sees what was committed before it began. (The default of MySQL
// shows a transaction what was committed before its first look, also after it has waited for a lock.) The variable
// has two names on the supported servers, the statement one.
type sessions struct {
	driver.Connector

	commitAlone bool // as in roundtripConn
}

func (s sessions) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // database/sql compares it
	}
	full, ok := conn.(serverConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connection can't do what is needed"), conn.Close())
	}
	if _, err := full.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &roundtripConn{serverConn: full, commitAlone: s.commitAlone}, nil
}

// checkServer asks for a sign of life and for the version.
func checkServer(ctx context.Context, pool *sql.DB) error {
	var version string
	if err := pool.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return err //nolint:wrapcheck // the caller wraps
	}
	return checkVersion(version)
}

// checkVersion refuses servers that are too old. (Before MariaDB's own version there may stand 5.5.5, for old clients.)
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

// mysqlEngine is the engine of a database on a server.
type mysqlEngine struct {
	config *mysql.Config
	// commitAlone sends every COMMIT in a text of its own. A member of a Galera cluster can roll back a transaction between the
	// INSERT and the COMMIT of one text and answer OK. Nothing sets it yet: one server of MySQL or MariaDB doesn't need it.
	commitAlone bool
}

func (e mysqlEngine) pool(config *mysql.Config) (*sql.DB, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		// As in parseDSN. It is about TLS and keys by then.
		return nil, errors.New("the address of the database names TLS settings or keys that aren't there")
	}
	return sql.OpenDB(sessions{connector, e.commitAlone}), nil
}

// patient is a pool of one connection whose statements may take as long as their context.
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

func (e mysqlEngine) lock(ctx context.Context, spec lockSpec) (heldLock, error) {
	pool, err := e.patient()
	if err != nil {
		return nil, err
	}
	return lockServer(ctx, pool, e.config.DBName, spec)
}

func (e mysqlEngine) migrations(*sql.DB) (migrations, error) {
	pool, err := e.patient()
	if err != nil {
		return migrations{}, err
	}
	closing := func() { _ = pool.Close() } // as in DB.Close
	return migrations{dialect: goose.DialectMySQL, folder: "schema/mysql", pool: pool, close: closing}, nil
}
