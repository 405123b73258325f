package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

const adminWithin = 20 * time.Second // for CREATE and DROP DATABASE

// MariaDB starts a MariaDB with one empty utf8mb4 database, "tim", whose DSN is its Address. It commits durably,
// as in production.
func (h *Home) MariaDB() (*Server, error) {
	mariadbd, err := LookPath("mariadbd")
	if err != nil {
		return nil, err
	}
	installer, err := LookPath("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	s, err := h.startOnFreePort(func(port int) *Server { return newMariaDB(mariadbd, installer, port) })
	if err != nil {
		return nil, err
	}
	if s.Address, err = s.CreateDatabase("tim"); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

func newMariaDB(mariadbd, installer string, port int) *Server {
	s := &Server{kind: "mariadb"}
	s.install = func(ctx context.Context) error {
		s.argv = append([]string{mariadbd}, mariadbOptions(s)...)
		s.argv = append(s.argv,
			"--socket="+mariadbSocket(s), "--pid-file="+s.path("pid"), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(port),
			"--skip-name-resolve", "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M", "--max-connections=500")
		return installMariaDB(ctx, installer, s)
	}
	s.ready = databaseReady(s)
	return s
}

// databaseReady asks through the unix socket, which is in the server's folder, so no other server answers. MariaDB listens on the port
// earlier.
func databaseReady(s *Server) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		if _, err := os.Stat(mariadbSocket(s)); err != nil {
			return err
		}
		return mariadbPing(ctx, mariadbDSN(s, ""))
	}
}

// CreateDatabase makes one more empty utf8mb4 database in a MariaDB or MySQL that runs and returns its DSN, which is like
// Address. The name isn't quoted.
func (s *Server) CreateDatabase(name string) (dsn string, err error) {
	return mariadbDSN(s, name), mariadbExec(mariadbDSN(s, ""), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
}

// DropDatabase deletes a database of a MariaDB or MySQL that runs. It is no error when there is none of that name. It fails after 20 s when an
// open transaction holds a lock in the database.
func (s *Server) DropDatabase(name string) error {
	return mariadbExec(mariadbDSN(s, ""), "DROP DATABASE IF EXISTS "+name)
}

// mariadbData returns the options that tell where the data are, and how they are laid out. Nothing is read from /etc.
func mariadbData(s *Server) []string {
	return []string{
		"--no-defaults", "--datadir=" + s.path("data"), "--tmpdir=" + s.folder,
		"--innodb-log-file-size=32M", "--innodb-data-file-path=ibdata1:4M:autoextend",
	}
}

// mariadbOptions returns the options that a server of this process's own user and its installation share.
func mariadbOptions(s *Server) []string {
	options := mariadbData(s)
	if os.Geteuid() == 0 {
		// The long form would make the installer change the owner of the system's PAM plugin.
		options = append(options, "-uroot")
	}
	return options
}

func installMariaDB(ctx context.Context, installer string, s *Server) error {
	args := append(mariadbOptions(s),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
		"--force", // also where the host's own name can't be looked up
		"--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0")
	cmd := exec.CommandContext(ctx, installer, args...)
	cmd.Dir = s.folder
	cmd.WaitDelay = answerWithin // for what the script started
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return nil
}

func mariadbSocket(s *Server) string { return s.path("s.sock") }

func mariadbDSN(s *Server, database string) string {
	return "root@unix(" + mariadbSocket(s) + ")/" + database
}

func mariadbPing(ctx context.Context, dsn string) error {
	return onMariaDB(dsn, func(db *sql.DB) error { return db.PingContext(ctx) })
}

func mariadbExec(dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminWithin)
	defer cancel()
	err := onMariaDB(dsn, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// onMariaDB calls f with a connection that ends with the call.
func onMariaDB(dsn string, f func(*sql.DB) error) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return fmt.Errorf("open MariaDB: %w", err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	return f(db)
}
