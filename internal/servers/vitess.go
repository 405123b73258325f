package servers

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tim/internal/deploy/vitess"
)

// keyspace is a keyspace of Vitess, and its shards.
type keyspace struct {
	name   string
	shards []string
}

// The two keyspaces of internal/deploy/vitess.
func keyspaces() []keyspace {
	return []keyspace{{"tim", []string{"-80", "80-"}}, {"tim_unsharded", []string{"0"}}}
}

// Vitess is [Home.VitessOn] with a MySQL of its own.
func (h *Home) Vitess() (*Server, error) {
	mysql, err := h.MySQL()
	if err != nil {
		return nil, err
	}
	s, err := h.VitessOn(mysql, "vt")
	if err != nil {
		return nil, errors.Join(err, mysql.Remove())
	}
	return s, nil
}

// VitessOn starts a Vitess with the keyspaces of internal/deploy/vitess, of which tim has two shards. Address is the DSN of the keyspace
// tim, which is empty. The server is a vtcombo: a vtgate and the tablets of all shards in one process, with a topology in its memory.
// Kill ends all of them between any two steps, and Start brings them back on the data that MySQL has. name begins the names of the
// schemas in MySQL.
func (h *Home) VitessOn(mysql *Server, name string) (*Server, error) {
	return h.vitess(mysql, name, keyspaces())
}

// VitessUnshardedOn is VitessOn with one keyspace, tim, of one shard.
func (h *Home) VitessUnshardedOn(mysql *Server, name string) (*Server, error) {
	return h.vitess(mysql, name, []keyspace{{"tim", []string{"0"}}})
}

func (h *Home) vitess(mysql *Server, name string, all []keyspace) (*Server, error) {
	vtcombo, err := LookPath("vtcombo")
	if err != nil {
		return nil, fmt.Errorf("%w (or `make test-vitess`)", err)
	}
	for _, k := range all {
		for _, shard := range k.shards {
			if err := mariadbExec(mariadbDSN(mysql, ""), "CREATE DATABASE `"+k.schema(name, shard)+"` CHARACTER SET utf8mb4"); err != nil {
				return nil, err
			}
		}
	}
	s, err := h.startOnFreePort(func(port int) *Server { return newVitess(vtcombo, name, all, mysql, port) })
	if err != nil {
		return nil, err
	}
	if err := prepareVitess(s, all); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// schema is the name of a shard's schema in MySQL.
func (k keyspace) schema(prefix, shard string) string { return prefix + "_" + k.name + "_" + shard }

func newVitess(vtcombo, name string, all []keyspace, mysql *Server, port int) *Server {
	s := &Server{kind: "vitess", disguised: true}
	s.Address = "root@tcp(" + loopback(port) + ")/" + all[0].name
	s.install = func(context.Context) error {
		topology, err := vitessTopology(s, name, all)
		if err != nil {
			return err
		}
		s.argv = []string{
			vtcombo, "--json-topo", topology, "--schema-dir", s.path("vschema"), "--log-err-stacks", "--port", "0", "--tablet-types-to-wait", "PRIMARY",
			"--mysql-server-port", strconv.Itoa(port), "--mysql-server-bind-address", "127.0.0.1", "--mysql-auth-server-impl", "none",
			"--mysql-server-version", "8.4.0-Vitess", // which the MySQL behind it has at least
			"--db-charset", "utf8mb4", "--db-socket", mariadbSocket(mysql), "--mycnf-server-id", "1", "--mycnf-socket-file", mariadbSocket(mysql),
			"--twopc-abandon-age", "1s", "--queryserver-config-transaction-cap", vitessTransactions,
		}
		for _, user := range []string{"app", "dba", "allprivs", "appdebug", "repl", "filtered"} {
			s.argv = append(s.argv, "--db-"+user+"-user", "root")
		}
		return nil
	}
	s.env = append(os.Environ(), "VTDATAROOT=.")
	s.ready = func(ctx context.Context, pid int) error {
		if !listens(pid, port) {
			return fmt.Errorf("it doesn't listen on port %d", port)
		}
		return onMariaDB(s.Address, func(db *sql.DB) error {
			_, err := db.ExecContext(ctx, "SHOW TABLES")
			return err
		})
	}
	return s
}

// vitessTransactions is how many transactions a tablet runs at once: more than the connections of the nodes under test together.
const vitessTransactions = "100"

// vitessTopology writes the vschemas where vtcombo reads them, and returns the keyspaces, shards and routing rules as it takes them.
func vitessTopology(s *Server, prefix string, all []keyspace) (string, error) {
	type part struct {
		Name   string `json:"name"`
		Schema string `json:"db_name_override,omitempty"`
		Shards []part `json:"shards,omitempty"`
	}
	var topology struct {
		Keyspaces []part          `json:"keyspaces"`
		Routing   json.RawMessage `json:"routing_rules,omitempty"`
	}
	for _, k := range all {
		shards := make([]part, len(k.shards))
		for i, shard := range k.shards {
			shards[i] = part{Name: shard, Schema: k.schema(prefix, shard)}
		}
		topology.Keyspaces = append(topology.Keyspaces, part{Name: k.name, Shards: shards})
		if len(all) == 1 {
			continue
		}
		vschema, err := fs.ReadFile(vitess.Files, k.name+".json")
		if err != nil {
			return "", fmt.Errorf("vschema: %w", err)
		}
		folder := filepath.Join(s.path("vschema"), k.name)
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return "", fmt.Errorf("vschema: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, "vschema.json"), vschema, 0o600); err != nil {
			return "", fmt.Errorf("vschema: %w", err)
		}
	}
	var err error
	if len(all) > 1 {
		if topology.Routing, err = fs.ReadFile(vitess.Files, "routing.json"); err != nil {
			return "", fmt.Errorf("routing rules: %w", err)
		}
	}
	text, err := json.Marshal(topology)
	return string(text), err
}

// prepareVitess runs the statements that come before the first start of Tim, each in its keyspace.
func prepareVitess(s *Server, all []keyspace) error {
	if len(all) == 1 {
		return nil
	}
	for _, k := range all {
		text, err := fs.ReadFile(vitess.Files, k.name+".sql")
		if err != nil {
			return fmt.Errorf("statements of %s: %w", k.name, err)
		}
		lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.HasPrefix(line, "--") })
		for statement := range strings.SplitSeq(strings.Join(lines, "\n"), ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if err := mariadbExec("root@tcp("+s.TCPAddress+")/"+k.name, statement); err != nil {
				return err
			}
		}
	}
	return nil
}
