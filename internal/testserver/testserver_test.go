package testserver

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// childMode makes TestMain of a copy of this test process run its tests without Main.
const (
	childMode    = "TESTSERVER_CHILD"
	childNoMain  = "no main"
	childNeeds   = "TESTSERVER_NEEDS" // the tests that its Main is told to need servers
	childTimeout = 2 * time.Minute
)

func TestMain(m *testing.M) {
	if os.Getenv(childMode) == childNoMain {
		os.Exit(m.Run())
	}
	if needs := os.Getenv(childNeeds); needs != "" {
		os.Exit(Main(m, strings.Fields(needs)...))
	}
	os.Exit(Main(m, AllTests))
}

// child runs tests in a copy of this process, with dir for temporary files.
func child(t *testing.T, dir, mode, tests string, env ...string) (out string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+tests, "-test.timeout="+childTimeout.String(), "-test.count=1")
	cmd.Env = append(append(os.Environ(), "TMPDIR="+dir, childMode+"="+mode), env...)
	both, err := cmd.CombinedOutput()
	return string(both), err
}

// shortTempDir is like t.TempDir, but short enough for sockets.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ts-") //nolint:usetesting // t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func openDatabase(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // an error when the test stopped the server
	return db
}

func scan[T any](t *testing.T, db *sql.DB, query string, args ...any) (value T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// dial tells whether a server listens at a Redis URL.
func dial(t *testing.T, url string) error {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "redis://"))
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestMainLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	out, err := child(t, dir, "", "^(TestDatabaseDropsItsDatabases|TestRedisEndsWithItsTest|TestMinIOIsShared)$")
	if err != nil || !strings.HasSuffix(out, "PASS\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if diff := cmp.Diff([]string(nil), left); diff != "" || err != nil {
		t.Errorf("%v; files left (-want +got):\n%s", err, diff)
	}
}

func TestWithoutMainSaysHow(t *testing.T) {
	t.Parallel()
	out, err := child(t, shortTempDir(t), childNoMain, "^TestRedisEndsWithItsTest$")
	if err == nil || !strings.Contains(out, "os.Exit(testserver.Main(m))") {
		t.Errorf("without Main: %v\n%s", err, out)
	}
}

func TestDatabaseDropsItsDatabases(t *testing.T) {
	t.Parallel()
	var names []string
	t.Run("use", func(t *testing.T) {
		for range 2 {
			db := openDatabase(t, Database(t))
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a INT PRIMARY KEY)"); err != nil {
				t.Fatal(err)
			}
			names = append(names, scan[string](t, db, "SELECT DATABASE()"))
		}
	})
	if len(names) != 2 || names[0] == names[1] {
		t.Fatalf("databases %v, want two", names)
	}
	db := openDatabase(t, Database(t))
	for _, name := range names {
		if n := scan[int](t, db, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name); n != 0 {
			t.Errorf("database %s is still there", name)
		}
	}
}

func TestDatabaseServerIsHurt(t *testing.T) {
	t.Parallel()
	server := DatabaseServer(t)
	db := openDatabase(t, server.Address)
	if got := scan[string](t, db, "SELECT DATABASE()"); got != "tim" {
		t.Errorf("database %s", got)
	}
	for _, end := range []func(){server.Kill, server.Stop} {
		end()
		if err := db.PingContext(t.Context()); err == nil {
			t.Error("a server that is down answers")
		}
		server.Start()
		if err := db.PingContext(t.Context()); err != nil {
			t.Errorf("after Start: %v", err)
		}
	}
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := db.PingContext(ctx); err == nil {
		t.Error("a paused server answers")
	}
	server.Resume()
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func TestRedisEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var urls []string
	t.Run("use", func(t *testing.T) {
		urls = append([]string{Redis(t), RedisServer(t).Address}, strings.Split(RedisCluster(t), ",")...)
		for _, url := range urls {
			if err := dial(t, url); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
	if len(urls) != 5 {
		t.Errorf("%v: want five, the last three of a cluster", urls)
	}
	for _, url := range urls {
		if err := dial(t, url); err == nil {
			t.Errorf("%s still answers", url)
		}
	}
}

func TestMinIOIsShared(t *testing.T) {
	t.Parallel()
	s3, other := MinIO(t), MinIO(t)
	if s3.Bucket == other.Bucket {
		t.Errorf("two tests have the bucket %s", s3.Bucket)
	}
	s3.Bucket, other.Bucket = "", ""
	if diff := cmp.Diff(s3, other); diff != "" {
		t.Errorf("two servers (-one +other):\n%s", diff)
	}
	if err := dial(t, s3.Endpoint); err != nil {
		t.Error(err)
	}
}

// recorder is a testing.TB that notes a failure and doesn't fail the test.
type recorder struct {
	testing.TB

	failure string
}

func (*recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) { r.failure = fmt.Sprintf(format, args...) }

func TestServerFailsItsTest(t *testing.T) {
	t.Parallel()
	server := RedisServer(t)
	record := &recorder{TB: t}
	server.t = record
	server.Kill()
	if record.failure != "" {
		t.Errorf("Kill fails: %s", record.failure)
	}
	server.Pause()
	if want := "testserver: redis is down"; record.failure != want {
		t.Errorf("Pause of a server that is down: %q, want %q", record.failure, want)
	}
}
