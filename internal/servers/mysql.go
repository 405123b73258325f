package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// The kinds of [Home.Database].
const (
	KindMariaDB = "mariadb"
	KindMySQL   = "mysql"
	KindVitess  = "vitess" // with two shards
)

// Database starts a server of a kind, with one empty utf8mb4 database, "tim". "" is MariaDB.
func (h *Home) Database(kind string) (*Server, error) {
	switch kind {
	case "", KindMariaDB:
		return h.MariaDB()
	case KindMySQL:
		return h.MySQL()
	case KindVitess:
		return h.Vitess()
	}
	return nil, fmt.Errorf("a database is %s, %s or %s, not %s", KindMariaDB, KindMySQL, KindVitess, kind)
}

// MySQL starts a MySQL with one empty utf8mb4 database, "tim", whose DSN is its Address. It commits durably, as in production. It is as
// strict as the servers of a group or of a provider: it has a binary log with numbered transactions (GTIDs), and refuses tables without
// a primary key. The program is the one that `make deps-mysql` puts into bin/mysql, when
// that is beside this program or in PATH, or else a mysqld in PATH that isn't MariaDB's.
func (h *Home) MySQL() (*Server, error) {
	mysqld, err := lookMySQL()
	if err != nil {
		return nil, err
	}
	s, err := h.startOnFreePort(func(port int) *Server { return newMySQL(mysqld, port) })
	if err != nil {
		return nil, err
	}
	if s.Address, err = s.CreateDatabase("tim"); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// lookMySQL finds MySQL's server. MariaDB's package puts a link of the same name to its own server into the folder of servers.
func lookMySQL() (string, error) {
	var found []string
	if self, err := os.Executable(); err == nil {
		found = append(found, filepath.Join(filepath.Dir(self), "mysql", "mysqld"))
	}
	if path, err := LookPath("mysqld"); err == nil {
		found = append(found, path)
	}
	for _, path := range found {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		version, err := exec.CommandContext(ctx, path, "--no-defaults", "--version").Output()
		cancel()
		if err == nil && !strings.Contains(string(version), "MariaDB") {
			return path, nil
		}
	}
	return "", errors.New("MySQL is not installed: run `make deps-mysql`, and put bin/mysql into PATH")
}

func newMySQL(mysqld string, port int) *Server {
	s := &Server{kind: "mysql"}
	s.install = func(ctx context.Context) error {
		s.argv = append([]string{mysqld}, mysqlOptions(s)...)
		s.argv = append(s.argv,
			"--socket="+mariadbSocket(s), "--pid-file="+s.path("pid"), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(port),
			"--skip-name-resolve", "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1", "--innodb-buffer-pool-size=64M",
			"--max-connections=500", "--log-bin=binlog", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--sql-require-primary-key=ON")
		return installMySQL(ctx, mysqld, s)
	}
	s.ready = databaseReady(s)
	return s
}

// mysqlOptions returns the options that the server and its installation share. Nothing is read from /etc. Without the performance
// schema a server takes 240 MB less.
func mysqlOptions(s *Server) []string {
	options := []string{
		"--no-defaults", "--datadir=" + s.path("data"), "--tmpdir=" + s.folder, "--secure-file-priv=NULL",
		"--innodb-redo-log-capacity=32M", "--innodb-data-file-path=ibdata1:5M:autoextend",
		"--performance-schema=OFF", "--mysqlx=OFF", "--auto-generate-certs=OFF",
	}
	if os.Geteuid() == 0 {
		options = append(options, "--user=root")
	}
	return options
}

// installMySQL makes the data folder. MySQL knows root at localhost alone, which without look-ups of names is the unix socket.
func installMySQL(ctx context.Context, mysqld string, s *Server) error {
	const overTCP = "CREATE USER root@'127.0.0.1';\nGRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
	script := s.path("install.sql")
	if err := os.WriteFile(script, []byte(overTCP), 0o600); err != nil {
		return fmt.Errorf("install MySQL: %w", err)
	}
	args := append(mysqlOptions(s),
		"--initialize-insecure", "--init-file="+script, "--innodb-doublewrite=OFF", "--innodb-flush-method=nosync",
		"--innodb-flush-log-at-trx-commit=0", "--disable-log-bin")
	cmd := exec.CommandContext(ctx, mysqld, args...)
	cmd.Dir = s.folder
	cmd.WaitDelay = answerWithin
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install MySQL: %w\n%s", err, out)
	}
	return nil
}
