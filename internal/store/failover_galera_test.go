package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tim/gen/db"
	"tim/internal/testserver"
)

// writer stores messages one after the other, each again until it is acknowledged, as a client does.
type writer struct {
	d     *DB
	acked atomic.Int64
	stop  context.CancelFunc
	done  chan error
}

func startWriter(t *testing.T, d *DB) *writer {
	t.Helper()
	must(t, d.Write().EnsureConversation(t.Context(), "g1", 1))
	ctx, stop := context.WithCancel(t.Context())
	w := &writer{d: d, stop: stop, done: make(chan error, 1)}
	go func() { w.done <- w.run(ctx) }()
	t.Cleanup(w.stop)
	return w
}

func (w *writer) run(ctx context.Context) error {
	for n := 1; ctx.Err() == nil; n++ {
		for {
			err := w.store(context.WithoutCancel(ctx), fmt.Sprint(n))
			if err == nil || IsDuplicate(err) { // it was stored by an attempt of which nobody knew what became
				break
			}
			if !IsUnavailable(err) {
				return err
			}
			<-time.After(20 * time.Millisecond) // as a client waits before it sends again
		}
		w.acked.Store(int64(n))
	}
	return nil
}

func (w *writer) store(ctx context.Context, id string) error {
	return w.d.StoreMessages(ctx, func(tx *Tx) (MessageBatch, error) {
		batch, err := numbered(ctx, tx, "g1", id)
		for i := range batch.Rows {
			batch.Rows[i].ClientID = sql.NullString{String: id, Valid: true}
		}
		return batch, err
	})
}

// goesOn returns when some more messages are acknowledged.
func (w *writer) goesOn(t *testing.T) {
	t.Helper()
	from := w.acked.Load()
	waitUntil(t, "messages are acknowledged", func() bool { return w.acked.Load() > from+5 })
}

// end checks that each acknowledged message is stored once and in order.
func (w *writer) end(t *testing.T) {
	t.Helper()
	w.stop()
	must(t, <-w.done)
	rows, err := w.d.Read().MessagesAfter(t.Context(), "g1", 0, 1_000_000)
	must(t, err)
	if int64(len(rows)) != w.acked.Load() {
		t.Errorf("%d messages are stored, %d acknowledged", len(rows), w.acked.Load())
	}
	for i, row := range rows {
		if row.Seq != int64(i+1) || row.Body != fmt.Sprint(i+1) {
			t.Fatalf("message %d has the number %d and says %s", i+1, row.Seq, row.Body)
		}
	}
}

// A node whose member is killed, stands still, is cut off, copies its data or is behind goes on with another member, and comes back to
// the first. Nothing is lost or stored twice, and no read is older than what was acknowledged before it.
func TestGaleraFailover(t *testing.T) {
	t.Parallel()
	cluster := testserver.GaleraCluster(t)
	first := cluster.Members[0]
	var (
		here  *DB
		held  []*sql.Conn
		admin *sql.DB
	)
	d := migrated(t, mysqlAt(t, cluster.DSN()))
	log := &syncedText{}
	d.LogTo(slog.New(slog.NewTextHandler(log, nil)))
	w := startWriter(t, d)
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	var readers errgroup.Group
	for range 4 {
		readers.Go(func() error { return readFresh(reading, d.Read(), w) })
	}
	for _, step := range []struct {
		name string
		harm func()
		mend func()
	}{
		{"killed", first.Kill, first.Start},
		{"paused", func() { here, held = connectTo(t, first); first.Pause() }, func() { resume(t, cluster, w, here, held) }},
		{"isolated", func() { cluster.Isolate(first) }, func() { cluster.Rejoin(first) }},
		{"holding commits back", func() { admin = holdBack(t, first) }, func() { fallBehind(t, d, cluster, admin) }},
	} {
		for _, member := range cluster.Members { // the cluster misses a member sooner than by its defaults
			exec(t, openMember(t, member), "SET GLOBAL wsrep_provider_options = 'evs.suspect_timeout=PT2S'")
		}
		waitUntil(t, "the first is in use", func() bool { return inUse(d) == first.TCPAddress })
		w.goesOn(t)
		began := time.Now()
		step.harm()
		waitUntil(t, "another is in use", func() bool { return inUse(d) != first.TCPAddress })
		moved := time.Since(began)
		w.goesOn(t)
		t.Logf("%s: another member was in use after %v, and messages were stored after %v", step.name, moved, time.Since(began))
		step.mend()
	}
	waitUntil(t, "the first is in use", func() bool { return inUse(d) == first.TCPAddress })
	w.goesOn(t)
	stop()
	must(t, readers.Wait())
	w.end(t)
	for _, reason := range []error{errNoAnswer, ErrOutOfCluster, ErrBehind} {
		if !strings.Contains(log.String(), reason.Error()) {
			t.Errorf("the log doesn't say %q:\n%s", reason, log)
		}
	}
}

func openMember(t *testing.T, member *testserver.Server) *sql.DB {
	t.Helper()
	pool, err := sql.Open("mysql", member.Address)
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() }) // its connections may be broken
	pool.SetMaxOpenConns(1)
	return pool
}

// readFresh reads until ctx ends. An answer that is older than what was acknowledged before the question is an error.
func readFresh(ctx context.Context, on *db.Queries, w *writer) error {
	for ctx.Err() == nil {
		floor := w.acked.Load()
		last, err := on.LastSeq(context.WithoutCancel(ctx), "g1")
		if err != nil && !IsUnavailable(err) && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && last < floor || errors.Is(err, sql.ErrNoRows) && floor > 0 {
			return fmt.Errorf("read %d after %d was acknowledged", last, floor)
		}
	}
	return nil
}

// connectTo makes connections to one member.
func connectTo(t *testing.T, member *testserver.Server) (here *DB, held []*sql.Conn) {
	t.Helper()
	here = mysqlAt(t, member.Address)
	for range 8 {
		conn, err := here.read.Conn(t.Context())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() }) // it may be broken
		_, err = conn.ExecContext(t.Context(), "DO 0")
		must(t, err)
		held = append(held, conn)
	}
	return here, held
}

// resume lets the first member go on that stood still. What it is asked is either answered freshly or refused, although it still
// believes for a while that it is in the cluster: by the held connections, which were made before, and by new ones.
func resume(t *testing.T, cluster *testserver.Cluster, w *writer, here *DB, held []*sql.Conn) {
	t.Helper()
	first := cluster.Members[0]
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	var readers errgroup.Group
	for _, conn := range held {
		readers.Go(func() error { return readFresh(reading, db.New(conn), w) })
		readers.Go(func() error { return readFresh(reading, here.Read(), w) })
	}
	first.Resume()
	cluster.AwaitSynced(first)
	waitUntil(t, "the member can be used", func() bool { return here.Ping(t.Context()) == nil })
	w.goesOn(t)
	stop()
	must(t, readers.Wait())
}

// holdBack makes a member do what one does that has its data copied: it hangs on each commit, and the cluster doesn't wait for it.
func holdBack(t *testing.T, member *testserver.Server) (admin *sql.DB) {
	t.Helper()
	admin = openMember(t, member)
	exec(t, admin, "SET GLOBAL wsrep_desync = ON")
	exec(t, admin, "FLUSH TABLES WITH READ LOCK")
	return admin
}

// fallBehind has the others commit so much that the first member, which holds back, is behind. A node that has this member alone
// refuses everything. Then it lets the member go on.
func fallBehind(t *testing.T, d *DB, cluster *testserver.Cluster, admin *sql.DB) {
	t.Helper()
	first := cluster.Members[0]
	alone := mysqlAt(t, first.Address)
	other := openMember(t, cluster.Members[1])
	other.SetMaxOpenConns(10)
	exec(t, other, "CREATE TABLE many (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY)")
	var g errgroup.Group
	const writers = 10
	for range writers {
		g.Go(func() error {
			for range mostBehind/writers + 10 {
				if _, err := other.ExecContext(t.Context(), "INSERT INTO many VALUES ()"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, g.Wait())
	waitUntil(t, "the member is behind", func() bool { return errors.Is(alone.Ping(t.Context()), ErrBehind) })
	if err := alone.Write().AddFriend(t.Context(), "a", "b"); !errors.Is(err, ErrBehind) {
		t.Errorf("a write to the member: %v", err)
	}
	if _, err := alone.Read().IsFriend(t.Context(), "a", "b"); !errors.Is(err, ErrBehind) {
		t.Errorf("a read from the member: %v", err)
	}
	waitUntil(t, "the node with all members sees it, too", func() bool { states, _ := d.Hosts(); return !states[0].Fit && states[1].Fit })
	exec(t, admin, "UNLOCK TABLES")
	exec(t, admin, "SET GLOBAL wsrep_desync = OFF")
	waitUntil(t, "the member can be used", func() bool { return alone.Ping(t.Context()) == nil })
	must(t, alone.Write().AddFriend(t.Context(), "a", "b"))
}
