package testserver

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

const adminWithin = 20 * time.Second // for CREATE and DROP DATABASE

// MariaDB returns the DSN (of go-sql-driver, without parameters) of an empty utf8mb4 database in a MariaDB that
// all tests of this process share; the database is dropped when the test ends. The server commits durably, as
// in production. What belongs to the whole server, such as GET_LOCK, is shared with the other tests.
func MariaDB(t testing.TB) (dsn string) {
	t.Helper()
	shared := &here.mariadb
	shared.once.Do(func() { shared.instance, shared.err = startMariaDB() })
	if shared.err != nil {
		t.Fatalf("testserver: %v", shared.err)
	}
	name := here.name("tim_")
	admin := mariadbDSN(shared.instance, "")
	if err := mariadbExec(admin, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatalf("testserver: %v", err)
	}
	t.Cleanup(func() {
		// It hangs while a connection that the test left open holds a lock in the database.
		if err := mariadbExec(admin, "DROP DATABASE IF EXISTS "+name); err != nil {
			t.Errorf("testserver: %v; does the test leave a transaction open?", err)
		}
	})
	return mariadbDSN(shared.instance, name)
}

// MariaDBServer starts a MariaDB for this test alone, with one empty database.
func MariaDBServer(t testing.TB) *Server {
	t.Helper()
	i, err := startMariaDB()
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	const name = "tim"
	s := newServer(t, i, mariadbDSN(i, name))
	if err := mariadbExec(mariadbDSN(i, ""), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatalf("testserver: %v", err)
	}
	return s
}

func startMariaDB() (*instance, error) {
	mariadbd, err := lookPath("mariadbd")
	if err != nil {
		return nil, err
	}
	installer, err := lookPath("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	i := &instance{kind: "mariadb"}
	if err := here.add(i); err != nil {
		return nil, err
	}
	i.argv = append([]string{mariadbd}, mariadbOptions(i)...)
	i.argv = append(i.argv,
		"--socket="+mariadbSocket(i), "--pid-file="+i.path("pid"), "--skip-networking", "--skip-name-resolve",
		"--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M", "--max-connections=500")
	i.ready = func(ctx context.Context, _ int) error {
		if _, err := os.Stat(mariadbSocket(i)); err != nil {
			return err
		}
		return mariadbPing(ctx, mariadbDSN(i, ""))
	}
	if err := installMariaDB(installer, i); err != nil {
		return nil, err
	}
	if err := i.start(); err != nil {
		return nil, err
	}
	return i, nil
}

// mariadbOptions are those that the server and its installation share. Nothing is read from /etc.
func mariadbOptions(i *instance) []string {
	options := []string{
		"--no-defaults", "--datadir=" + i.path("data"), "--tmpdir=" + i.folder,
		"--innodb-log-file-size=32M", "--innodb-data-file-path=ibdata1:4M:autoextend",
	}
	if os.Geteuid() == 0 {
		// The long form would make the installer change the owner of the system's PAM plugin.
		options = append(options, "-uroot")
	}
	return options
}

func installMariaDB(installer string, i *instance) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	args := append(mariadbOptions(i),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
		"--force", // also where the host's own name can't be looked up
		"--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0")
	cmd := exec.CommandContext(ctx, installer, args...)
	cmd.Dir = i.folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return nil
}

func mariadbSocket(i *instance) string { return i.path("s.sock") }

func mariadbDSN(i *instance, database string) string {
	return "root@unix(" + mariadbSocket(i) + ")/" + database
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

// onMariaDB lends a connection that ends with the call.
func onMariaDB(dsn string, f func(*sql.DB) error) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return fmt.Errorf("open MariaDB: %w", err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	return f(db)
}
