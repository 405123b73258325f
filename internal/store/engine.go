package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// serverKind is what a server is. It is found out once, when the database is opened.
type serverKind struct {
	name string // with the version, for the log
	// galera says that the server is a member of a Galera cluster. It applies what other members have committed a moment later.
	galera bool
	// single says that the server is MariaDB or MySQL, and alone decides what is committed. It is false for whatever isn't known.
	single bool
	// spread says that the server is a vtgate of Vitess, and that the tables are spread over shards, see spread.go.
	spread bool
}

// commitAlone says that a COMMIT must not follow another statement in one text. A member of a Galera cluster may roll a transaction
// back between the two, because another member's has won, and then answers the COMMIT with OK. What other engines do isn't known.
func (k serverKind) commitAlone() bool { return !k.single }

// String says what the server is, and what follows.
func (k serverKind) String() string {
	switch {
	case k.single:
		return k.name + ", one server; a batch of messages takes two round trips"
	case k.galera:
		return k.name + ", a member of a Galera cluster; each COMMIT is a round trip of its own, and reads wait for what other members have committed"
	case k.spread:
		return k.name + ", with several shards; each COMMIT is a round trip of its own, and a transaction stores messages of one conversation"
	default:
		return k.name + ", which isn't known to be a single server; each COMMIT is a round trip of its own"
	}
}

// galeraWaits has a connection wait, before a SELECT, an UPDATE, a DELETE, an INSERT or a transaction, until its member has applied
// what the cluster had committed by then (MariaDB's wsrep_sync_wait, of bits 1, 2 and 4). Inside a transaction only its first
// statement waits.
const galeraWaits = "SET SESSION wsrep_sync_wait = 7"

// askServer finds out what the server is, and refuses one that is too old.
func askServer(ctx context.Context, pool *sql.DB) (serverKind, error) {
	var version, comment string
	if err := pool.QueryRowContext(ctx, "SELECT VERSION(), @@version_comment").Scan(&version, &comment); err != nil {
		return serverKind{}, err //nolint:wrapcheck // the caller wraps
	}
	if err := checkVersion(version); err != nil {
		return serverKind{}, err
	}
	variables, err := clusterVariables(ctx, pool)
	if err != nil {
		return serverKind{}, err
	}
	k := kindOf(version, comment, variables)
	if strings.Contains(version, "Vitess") {
		k.spread, err = hasShards(ctx, pool)
	}
	return k, err
}

// hasShards asks a vtgate whether the keyspace of a connection has several shards. It names a keyspace as KEYSPACE, KEYSPACE:SHARD,
// and either of them with @TYPE behind it.
func hasShards(ctx context.Context, pool *sql.DB) (bool, error) {
	var keyspace sql.NullString
	if err := pool.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&keyspace); err != nil {
		return false, fmt.Errorf("ask for the keyspace: %w", err)
	}
	name, _, _ := strings.Cut(keyspace.String, "@")
	name, _, one := strings.Cut(name, ":")
	rows, err := pool.QueryContext(ctx, "SHOW VITESS_SHARDS") // of all keyspaces, as KEYSPACE/SHARD
	if err != nil {
		return false, fmt.Errorf("ask for the shards: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	shards := 0
	for rows.Next() {
		var shard string
		if err := rows.Scan(&shard); err != nil {
			return false, fmt.Errorf("ask for the shards: %w", err)
		}
		if strings.HasPrefix(shard, name+"/") {
			shards++
		}
	}
	return !one && shards > 1, rows.Err() //nolint:wrapcheck // the caller wraps
}

// The variables by which a server tells that it is one of several.
const (
	wsrepOn          = "wsrep_on"                     // MariaDB, Percona XtraDB Cluster
	groupReplication = "group_replication_group_name" // MySQL; it is there once the plugin is
	auroraVersion    = "aurora_version"               // Amazon
)

func clusterVariables(ctx context.Context, pool *sql.DB) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range []string{wsrepOn, groupReplication, auroraVersion} {
		var same, value string
		switch err := pool.QueryRowContext(ctx, "SHOW GLOBAL VARIABLES LIKE '"+name+"'").Scan(&same, &value); {
		case err == nil:
			found[name] = value
		case !errors.Is(err, sql.ErrNoRows):
			return nil, fmt.Errorf("ask for %s: %w", name, err)
		}
	}
	return found, nil
}

// Versions and comments of servers that are MySQL itself. Engines that speak its protocol add a name of their own to the version, like
// 8.4.6-Vitess or 8.0.11-TiDB-v8.5.0. MariaDB is known by its name.
var (
	plainVersion  = regexp.MustCompile(`^\d+\.\d+\.\d+([-+~.](\d[\w.~+]*|log|debug|commercial|cloud|deb\w*|ubuntu\w*))*$`)
	vitessComment = regexp.MustCompile(`^Version: (\S+)`)
	plainComment  = regexp.MustCompile(`^(MySQL (Community|Enterprise|Commercial)|Source distribution|Percona Server|Homebrew|\(?(Debian|Ubuntu))`)
)

func kindOf(version, comment string, variables map[string]string) serverKind {
	version = strings.TrimPrefix(version, "5.5.5-")
	mariaDB := strings.Contains(version, "MariaDB")
	k := serverKind{name: "MySQL " + version}
	if mariaDB {
		k.name = "MariaDB " + strings.Replace(version, "-MariaDB", "", 1)
	}
	k.galera = slices.Contains([]string{"ON", "1"}, strings.ToUpper(variables[wsrepOn]))
	k.single = !k.galera && variables[groupReplication] == "" && variables[auroraVersion] == "" &&
		(mariaDB || plainVersion.MatchString(version) && plainComment.MatchString(comment))
	if found := vitessComment.FindStringSubmatch(comment); found != nil && strings.Contains(version, "Vitess") {
		k.name = "Vitess " + found[1]
	} else if !k.single && !k.galera && !mariaDB && comment != "" {
		k.name += " (" + comment + ")"
	}
	return k
}
