package testserver

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
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

func openMariaDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // an error when the test stopped the server
	return db
}

func openRedis(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
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

func TestMariaDBIsEmptyAndUTF8(t *testing.T) {
	t.Parallel()
	db := openMariaDB(t, MariaDB(t))
	if n := scan[int](t, db, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"); n != 0 {
		t.Errorf("%d tables in a new database", n)
	}
	got := map[string]string{}
	for _, variable := range []string{"character_set_database", "innodb_flush_log_at_trx_commit", "skip_networking"} {
		got[variable] = scan[string](t, db, "SELECT @@"+variable)
	}
	want := map[string]string{
		"character_set_database": "utf8mb4", "innodb_flush_log_at_trx_commit": "1", "skip_networking": "1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

func TestMariaDBDropsItsDatabases(t *testing.T) {
	t.Parallel()
	var names []string
	t.Run("use", func(t *testing.T) {
		for range 2 {
			db := openMariaDB(t, MariaDB(t))
			mustExec(t, db, "CREATE TABLE t (a INT)")
			names = append(names, scan[string](t, db, "SELECT DATABASE()"))
		}
	})
	if len(names) != 2 || names[0] == names[1] {
		t.Fatalf("databases %v, want two", names)
	}
	db := openMariaDB(t, MariaDB(t))
	for _, name := range names {
		if n := scan[int](t, db, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name); n != 0 {
			t.Errorf("database %s is still there", name)
		}
	}
}

func TestMariaDBServerSurvives(t *testing.T) {
	t.Parallel()
	server := MariaDBServer(t)
	db := openMariaDB(t, server.Address)
	mustExec(t, db, "CREATE TABLE t (a INT)")
	for n, end := range []func(){server.Kill, server.Stop} {
		mustExec(t, db, "INSERT INTO t VALUES (1)")
		end()
		if err := db.PingContext(t.Context()); err == nil {
			t.Error("a server that is down answers")
		}
		end() // once more is no error
		server.Start()
		if got := scan[int](t, db, "SELECT COUNT(*) FROM t"); got != n+1 {
			t.Errorf("%d rows after %d restarts", got, n+1)
		}
	}
}

func TestMariaDBServerPauses(t *testing.T) {
	t.Parallel()
	server := MariaDBServer(t)
	db := openMariaDB(t, server.Address)
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if err := db.PingContext(ctx); err == nil {
		t.Error("a paused server answers")
	}
	server.Resume()
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("after Resume: %v", err)
	}
	server.Pause()
	server.Stop() // must not hang
}

func TestRedisIsPrivate(t *testing.T) {
	t.Parallel()
	a, b := openRedis(t, Redis(t)), openRedis(t, Redis(t))
	if err := a.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("another test's key: %v", err)
	}
	got, err := a.ConfigGet(t.Context(), "save").Result()
	if diff := cmp.Diff(map[string]string{"save": ""}, got); err != nil || diff != "" {
		t.Errorf("%v; (-want +got):\n%s", err, diff)
	}
}

func TestRedisServerSurvives(t *testing.T) {
	t.Parallel()
	server := RedisServer(t)
	client := openRedis(t, server.Address)
	for _, end := range []func(){server.Kill, server.Stop} {
		if err := client.Incr(t.Context(), "n").Err(); err != nil {
			t.Fatal(err)
		}
		end()
		ctx, cancel := context.WithTimeout(t.Context(), silence)
		if err := client.Ping(ctx).Err(); err == nil {
			t.Error("a server that is down answers")
		}
		cancel()
		server.Start()
	}
	if n, err := client.Get(t.Context(), "n").Int(); err != nil || n != 2 {
		t.Errorf("n = %d, %v after two restarts, want 2", n, err)
	}
}

func TestRedisServerPauses(t *testing.T) {
	t.Parallel()
	server := RedisServer(t)
	client := openRedis(t, server.Address)
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if err := client.Ping(ctx).Err(); err == nil {
		t.Error("a paused server answers")
	}
	server.Resume()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func TestRedisClusterServesAllSlots(t *testing.T) {
	t.Parallel()
	urls := strings.Split(RedisCluster(t), ",")
	if len(urls) != clusterMasters {
		t.Fatalf("urls %v", urls)
	}
	options := &redis.ClusterOptions{}
	for _, url := range urls {
		options.Addrs = append(options.Addrs, strings.TrimPrefix(url, "redis://"))
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
	s3, other := MinIO(t), MinIO(t)
	if s3.Bucket == other.Bucket || s3.Endpoint != other.Endpoint {
		t.Errorf("%+v and %+v: want one server, two buckets", s3, other)
	}
	client, err := minio.New(s3.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s3.AccessKey, s3.SecretKey, ""), MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), s3.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("tim"), 1<<20)
	_, err = client.PutObject(t.Context(), s3.Bucket, "a/b", bytes.NewReader(want), int64(len(want)), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object, err := client.GetObject(t.Context(), s3.Bucket, "a/b", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	got, err := io.ReadAll(object)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("read %d bytes, %v; want the %d that were written", len(got), err, len(want))
	}
}
