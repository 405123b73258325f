package servers

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redis/go-redis/v9"
)

// silence is how long a test waits for the answer of a server that is paused.
const silence = 200 * time.Millisecond

// newTestHome returns a home that ends with the test.
func newTestHome(t *testing.T) *Home {
	t.Helper()
	home, err := NewHome()
	must(t, err)
	t.Cleanup(func() { must(t, home.Close()) })
	return home
}

// started starts a server that ends with the test.
func started(t *testing.T, constructor func(*Home) (*Server, error)) *Server {
	t.Helper()
	server, err := constructor(newTestHome(t))
	must(t, err)
	return server
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// database is the constructor of the database that TIM_TEST_DATABASE names.
func database(home *Home) (*Server, error) { return home.Database(os.Getenv("TIM_TEST_DATABASE")) }

func openDatabase(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() }) // an error when the test stopped the server
	return db
}

func openRedis(t *testing.T, server *Server) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(server.Address)
	must(t, err)
	if options.Addr != server.TCPAddress {
		t.Errorf("URL %s, but address %s", server.Address, server.TCPAddress)
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	t.Cleanup(func() { must(t, client.Close()) })
	return client
}

func mustExec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func scan[T any](t *testing.T, db *sql.DB, query string, args ...any) (value T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

const tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"

func TestDatabaseIsEmptyAndUTF8(t *testing.T) {
	t.Parallel()
	server := started(t, database)
	db, overTCP := openDatabase(t, server.Address), openDatabase(t, "root@tcp("+server.TCPAddress+")/tim")
	if n := scan[int](t, db, tables); n != 0 {
		t.Errorf("%d tables in a new database", n)
	}
	got := map[string]string{"database": scan[string](t, db, "SELECT DATABASE()")}
	for _, variable := range []string{"character_set_database", "innodb_flush_log_at_trx_commit", "bind_address"} {
		got[variable] = scan[string](t, db, "SELECT @@"+variable)
	}
	want := map[string]string{
		"database": "tim", "character_set_database": "utf8mb4", "innodb_flush_log_at_trx_commit": "1", "bind_address": "127.0.0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	mustExec(t, overTCP, "CREATE TABLE t (a INT PRIMARY KEY)")
	if n := scan[int](t, db, tables); n != 1 {
		t.Errorf("%d tables after one was made over TCP", n)
	}
}

func TestDatabaseHasMoreDatabases(t *testing.T) {
	t.Parallel()
	server := started(t, database)
	dsn, err := server.CreateDatabase("more")
	must(t, err)
	db := openDatabase(t, dsn)
	mustExec(t, db, "CREATE TABLE t (a INT PRIMARY KEY)")
	if got := scan[string](t, db, "SELECT CONCAT(DATABASE(), ' ', @@character_set_database)"); got != "more utf8mb4" {
		t.Errorf("the new database is %s", got)
	}
	if n := scan[int](t, openDatabase(t, server.Address), tables); n != 0 {
		t.Errorf("%d tables in the other database", n)
	}
	if _, err := server.CreateDatabase("more"); err == nil {
		t.Error("a database is made twice")
	}
	must(t, server.DropDatabase("more"))
	must(t, server.DropDatabase("more"))
	if err := openDatabase(t, dsn).PingContext(t.Context()); err == nil {
		t.Error("the dropped database is still there")
	}
}

func TestDatabaseSurvives(t *testing.T) {
	t.Parallel()
	server := started(t, database)
	db, overTCP := openDatabase(t, server.Address), openDatabase(t, "root@tcp("+server.TCPAddress+")/tim")
	mustExec(t, db, "CREATE TABLE t (a INT PRIMARY KEY)")
	for n, end := range []func() error{server.Kill, server.Stop} {
		mustExec(t, db, fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
		must(t, end())
		if db.PingContext(t.Context()) == nil || overTCP.PingContext(t.Context()) == nil {
			t.Error("a server that is down answers")
		}
		must(t, end()) // once more is no error
		must(t, server.Start())
		if got := scan[int](t, db, "SELECT COUNT(*) FROM t"); got != n+1 {
			t.Errorf("%d rows after %d restarts", got, n+1)
		}
		must(t, overTCP.PingContext(t.Context()))
	}
}

func TestDatabasePauses(t *testing.T) {
	t.Parallel()
	server := started(t, database)
	db := openDatabase(t, server.Address)
	must(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if err := db.PingContext(ctx); err == nil {
		t.Error("a paused server answers")
	}
	must(t, server.Resume())
	must(t, db.PingContext(t.Context()))
	must(t, server.Pause())
	must(t, server.Stop()) // must not hang
}

func TestRedisForgets(t *testing.T) {
	t.Parallel()
	server := started(t, (*Home).Redis)
	client := openRedis(t, server)
	must(t, client.Set(t.Context(), "k", "v", 0).Err())
	must(t, server.Stop())
	must(t, server.Start())
	if err := client.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestDurableRedisSurvives(t *testing.T) {
	t.Parallel()
	server := started(t, (*Home).DurableRedis)
	client := openRedis(t, server)
	for _, end := range []func() error{server.Kill, server.Stop} {
		must(t, client.Incr(t.Context(), "n").Err())
		must(t, end())
		ctx, cancel := context.WithTimeout(t.Context(), silence)
		if err := client.Ping(ctx).Err(); err == nil {
			t.Error("a server that is down answers")
		}
		cancel()
		must(t, server.Start())
	}
	if n, err := client.Get(t.Context(), "n").Int(); err != nil || n != 2 {
		t.Errorf("n = %d, %v after two restarts, want 2", n, err)
	}
}

func TestRedisPauses(t *testing.T) {
	t.Parallel()
	server := started(t, (*Home).Redis)
	client := openRedis(t, server)
	must(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if err := client.Ping(ctx).Err(); err == nil {
		t.Error("a paused server answers")
	}
	must(t, server.Resume())
	must(t, client.Ping(t.Context()).Err())
}

func TestRedisClusterServesAllSlots(t *testing.T) {
	t.Parallel()
	masters, err := newTestHome(t).RedisCluster()
	must(t, err)
	options := &redis.ClusterOptions{}
	for _, master := range masters {
		options.Addrs = append(options.Addrs, strings.TrimPrefix(master.Address, "redis://"))
	}
	if len(options.Addrs) != clusterMasters {
		t.Fatalf("masters %v", options.Addrs)
	}
	client := redis.NewClusterClient(options)
	defer client.Close()
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} { // they meet all three masters
		if err := client.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Errorf("set %s: %v", key, err)
		}
		subscription := client.SSubscribe(t.Context(), key)
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Errorf("subscribe to %s: %v", key, err)
		}
		if n, err := client.SPublish(t.Context(), key, "hello").Result(); err != nil || n != 1 {
			t.Errorf("publish to %s: %d receivers, %v", key, n, err)
		}
		if err := subscription.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMinIOTakesFiles(t *testing.T) {
	t.Parallel()
	s3, err := newTestHome(t).MinIO()
	must(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := minio.New(s3.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s3.AccessKey, s3.SecretKey, ""), MaxRetries: 1, Transport: transport,
	})
	must(t, err)
	must(t, client.MakeBucket(t.Context(), s3.Bucket, minio.MakeBucketOptions{}))
	want := bytes.Repeat([]byte("tim"), 1<<20)
	_, err = client.PutObject(t.Context(), s3.Bucket, "a/b", bytes.NewReader(want), int64(len(want)), minio.PutObjectOptions{})
	must(t, err)
	object, err := client.GetObject(t.Context(), s3.Bucket, "a/b", minio.GetObjectOptions{})
	must(t, err)
	defer object.Close()
	got, err := io.ReadAll(object)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("read %d bytes, %v; want the %d that were written", len(got), err, len(want))
	}
}
