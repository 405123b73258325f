package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/testserver"
)

func TestSQLiteFilesArePrivate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{"tim.db", "a b?c#d%20&e=聊.db"} {
		d := migrated(t, sqliteAt(t, filepath.Join(folder, name)))
		must(t, d.Write().AddFriend(t.Context(), "a", "b"))
		lock, err := d.JoinNodes(t.Context(), NodeSpec{Alone: true})
		must(t, err)
		for _, suffix := range []string{"", "-wal", "-shm", ".node.lock", ".migrate.lock"} {
			info, err := os.Stat(filepath.Join(folder, name+suffix))
			must(t, err)
			if got := info.Mode(); got != fs.FileMode(0o600) {
				t.Errorf("%s has the mode %v", info.Name(), got)
			}
		}
		must(t, lock.Release())
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 10 {
		t.Errorf("files elsewhere: %v, %v", entries, err)
	}
}

func TestSQLiteKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tim.db")
	first, err := OpenSQLite(t.Context(), path)
	must(t, err)
	migrated(t, first)
	must(t, first.Write().AddFriend(t.Context(), "a", "b"))
	must(t, first.Close())
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the log is left behind")
	}
	second := sqliteAt(t, path)
	if applied, err := second.Migrate(t.Context()); err != nil || len(applied) != 0 {
		t.Errorf("applied %v, %v", applied, err)
	}
	if n, err := second.Read().IsFriend(t.Context(), "a", "b"); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	got := map[string]string{}
	for _, pragma := range []string{"journal_mode", "synchronous", "cache_size"} {
		got[pragma] = texts(t, second.write, "PRAGMA "+pragma)[0]
	}
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "cache_size": "-8000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMySQLSettings: these settings hold whatever the DSN says.
func TestMySQLSettings(t *testing.T) {
	t.Parallel()
	dsn := testserver.Database(t)
	level := texts(t, mysqlAt(t, dsn).read, "SELECT IF(VERSION() LIKE '%MariaDB%', 'tx_isolation', 'transaction_isolation')")[0]
	for _, parameters := range []string{
		"",
		"?charset=latin1&collation=latin1_swedish_ci&interpolateParams=false&multiStatements=false&clientFoundRows=false" +
			"&sql_mode=%27NO_BACKSLASH_ESCAPES,ANSI_QUOTES%27&time_zone=%27%2B08:00%27&loc=Asia%2FShanghai",
	} {
		d := mysqlAt(t, dsn+parameters)
		got := texts(t, d.read, `SELECT CONCAT_WS(' ', @@character_set_client, @@character_set_results,
			@@collation_connection, @@`+level+`, @@time_zone, @@innodb_lock_wait_timeout, @@sql_mode)`)
		want := "utf8mb4 utf8mb4 utf8mb4_bin READ-COMMITTED +00:00 5 STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
		if got[0] != want {
			t.Errorf("with %q:\n%s, want\n%s", parameters, got[0], want)
		}
		config := d.engine.(mysqlEngine).config
		if !config.InterpolateParams || !config.MultiStatements || !config.ClientFoundRows || config.Loc != time.UTC {
			t.Errorf("with %q: %+v", parameters, config)
		}
	}
	set, err := parseDSN("u@tcp(h)/d?timeout=1s&readTimeout=2s&innodb_lock_wait_timeout=7")
	must(t, err)
	if set.Timeout != time.Second || set.ReadTimeout != 2*time.Second || set.WriteTimeout != ioTimeout ||
		set.Params["innodb_lock_wait_timeout"] != "7" || set.Addr != "h:3306" {
		t.Errorf("what the DSN says was changed: %+v", set)
	}
}

func TestMySQLErrorsKeepThePassword(t *testing.T) {
	t.Parallel()
	server := testserver.Database(t)
	address, _, _ := strings.Cut(strings.TrimPrefix(server, "root@"), "/tim")
	for _, dsn := range []string{
		"tim:Secret@" + address + "/tim",            // refused by the server
		"tim:Secret@tcp(127.0.0.1:1)/tim",           // no server
		"tim:Secret@tcp(127.0.0.1:1)",               // no database
		"tim:Secret@tcp(127.0.0.1:1)/",              // no database
		"tim:Secret@127.0.0.1:1/tim",                // no tcp()
		"tim:Sec/Secret@tcp(127.0.0.1:1)",           // the slash of the password is the last one
		"mysql://tim:Secret@127.0.0.1:1/tim",        // a URL
		"tim:Secret",                                // only a user and a password
		"tim:Secret@tcp(127.0.0.1:1/tim",            // not closed
		"tim:x@tcp(127.0.0.1:1)/tim?tls=Secret",     // unknown settings
		"tim:x@tcp(127.0.0.1:1)/tim?timeout=Secret", // no duration
		"tim:x@tcp(127.0.0.1:1)/tim?loc=%zzSecret",  // badly escaped
		"tim:Secret@unix(/nowhere/tim.sock)/tim",    // no server
	} {
		d, err := OpenMySQL(t.Context(), dsn, 0)
		if err == nil {
			must(t, d.Close())
			t.Errorf("%s opens", dsn)
			continue
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "Secret") {
			t.Errorf("%s: %s", dsn, text)
		}
	}
}

func TestServerVersions(t *testing.T) {
	t.Parallel()
	for version, good := range map[string]bool{
		"8.0.11": true, "8.4.3": true, "9.1.0-commercial": true, "8.0.36-28.1 Percona": true, "8.0.11-TiDB-v8.5.0": true,
		"10.6.0-MariaDB": true, "10.11.19-MariaDB-0+deb12u1": true, "11.4.2-MariaDB-log": true, "12.0.1-MariaDB": true,
		"5.5.5-10.6.5-MariaDB": true,
		"5.7.33":               false, "5.5.5": false, "10.5.29-MariaDB": false, "5.5.5-10.3.1-MariaDB": false, "": false, "new": false,
	} {
		err := checkVersion(version)
		if (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
		if err != nil && !strings.Contains(err.Error(), version) {
			t.Errorf("%q: the error doesn't tell it: %v", version, err)
		}
	}
}

func TestMySQLPoolIsBounded(t *testing.T) {
	t.Parallel()
	dsn := testserver.Database(t)
	for set, want := range map[int]int{0: 0, 3: 3} { // 0: no limit
		d, err := OpenMySQL(t.Context(), dsn, set)
		d = closing(t, d, err)
		if got := d.write.Stats().MaxOpenConnections; got != want {
			t.Errorf("%d: %d connections", set, got)
		}
	}
}
