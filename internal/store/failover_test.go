package store

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"tim/gen/db"
	"tim/internal/testserver"
)

// relay is an address of a server. It can be shut, so that it refuses connections and cuts those that it has, and stalled, so that
// it accepts connections and passes nothing on, like a machine that stands still.
type relay struct {
	address, network, server string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	flowing  chan struct{} // closed while bytes flow
	running  sync.WaitGroup
}

// relaysTo returns addresses of the server whose DSN this is, and the DSN with all of them.
func relaysTo(t *testing.T, dsn string, n int) (relays []*relay, several string) {
	t.Helper()
	config, err := mysql.ParseDSN(dsn)
	must(t, err)
	addresses := make([]string, n)
	for i := range n {
		r := &relay{address: "127.0.0.1:0", network: config.Net, server: config.Addr, flowing: make(chan struct{})}
		close(r.flowing)
		r.open(t)
		t.Cleanup(func() {
			r.flow()
			r.shut()
		})
		relays, addresses[i] = append(relays, r), r.address
	}
	return relays, config.User + "@tcp(" + strings.Join(addresses, ",") + ")/" + config.DBName
}

func (r *relay) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", r.address)
	must(t, err)
	r.listener, r.address = listener, listener.Addr().String()
	r.running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial(r.network, r.server)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			r.running.Go(func() { r.pass(in, out) })
			r.running.Go(func() { r.pass(out, in) })
		}
	})
}

func (r *relay) pass(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		r.mu.Lock()
		flowing := r.flowing
		r.mu.Unlock()
		<-flowing
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (r *relay) stall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flowing = make(chan struct{})
}

func (r *relay) flow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.flowing:
	default:
		close(r.flowing)
	}
}

func (r *relay) shut() {
	_ = r.listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.running.Wait()
}

// carried reports how many connections have come to the relay since it was opened.
func (r *relay) carried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns) / 2
}

var _ io.Writer = (*syncedText)(nil)

// syncedText is a log that a test reads while it is written.
type syncedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *syncedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// inUse returns the address of the host in use; "" for none.
func inUse(d *DB) string {
	states, _ := d.Hosts()
	for _, h := range states {
		if h.InUse {
			return h.Address
		}
	}
	return ""
}

func waitUntil(t *testing.T, what string, ready func() bool) {
	t.Helper()
	ctx := within(t, time.Minute)
	for !ready() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// A host dies or stands still under statements. They fail with an error of a database that can't be asked, soon; every pool goes
// to the next host; and the first one is used again when it has been back for a while.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]struct {
		fail, mend func(t *testing.T, r *relay)
	}{
		"refuses": {func(_ *testing.T, r *relay) { r.shut() }, func(t *testing.T, r *relay) { t.Helper(); r.open(t) }},
		"stalls":  {func(_ *testing.T, r *relay) { r.stall() }, func(_ *testing.T, r *relay) { r.flow() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relays, dsn := relaysTo(t, testserver.Database(t), 2)
			d := migrated(t, mysqlAt(t, dsn))
			log := &syncedText{}
			d.LogTo(slog.New(slog.NewTextHandler(log, nil)))
			_, err := d.Identity(t.Context())
			must(t, err)
			lock, err := d.JoinNodes(t.Context(), NodeSpec{Alone: true})
			must(t, err)
			defer func() { must(t, lock.Release()) }()
			must(t, d.Write().AddFriend(t.Context(), "a", "b"))
			if got := inUse(d); got != relays[0].address {
				t.Fatalf("in use is %q", got)
			}

			hanging := make(chan error, 2)
			go func() { // the answer is under way when the host fails
				_, err := d.write.ExecContext(t.Context(), "DO SLEEP(3600)")
				hanging <- err
			}()
			go func() {
				hanging <- d.Tx(t.Context(), func(tx *Tx) error {
					_, err := tx.conn.ExecContext(t.Context(), "DO SLEEP(3600)")
					return err
				})
			}()
			waitUntil(t, "the statements run", func() bool {
				return len(texts(t, d.read, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%SLEEP(3600)' AND command = 'Query' AND id <> CONNECTION_ID()")) == 2
			})
			conn, err := d.write.Conn(t.Context())
			must(t, err)
			began := time.Now()
			how.fail(t, relays[0])
			_, err = conn.ExecContext(t.Context(), "DO '"+strings.Repeat("x", 12<<20)+"'") // more than what the system takes at once
			if !IsUnavailable(err) {
				t.Errorf("what was being written: %v", err)
			}
			_ = conn.Close()
			for range 2 {
				if err := <-hanging; !IsUnavailable(err) {
					t.Errorf("what hung: %v", err)
				}
			}
			waitUntil(t, "a statement works", func() bool {
				_, err := d.Read().IsFriend(within(t, time.Minute), "a", "b")
				if err != nil && !IsUnavailable(err) {
					t.Fatal(err)
				}
				return err == nil
			})
			t.Logf("out for %v", time.Since(began))
			if got := inUse(d); got != relays[1].address {
				t.Errorf("in use is %q", got)
			}
			must(t, d.Ping(t.Context()))
			must(t, d.Tx(t.Context(), func(tx *Tx) error { return tx.EnsureConversation(t.Context(), "g1", 1) }))
			_, err = d.Pending(t.Context()) // by the patient pool
			must(t, err)
			beat := texts(t, d.read, "SELECT beat FROM node")
			waitUntil(t, "the node renews its place, by its own pool", func() bool {
				return !slices.Equal(texts(t, d.read, "SELECT beat FROM node"), beat)
			})

			how.mend(t, relays[0])
			waitUntil(t, "the first is in use again", func() bool { return inUse(d) == relays[0].address })
			here := relays[0].carried()
			must(t, d.Ping(t.Context()))
			waitUntil(t, "connections go to it", func() bool { must(t, d.Ping(t.Context())); return relays[0].carried() > here })
			if _, failovers := d.Hosts(); failovers != 2 {
				t.Errorf("%d failovers", failovers)
			}
			for _, part := range []string{
				"one of several database servers is in use\" server=" + relays[0].address,
				"a database server can't be used\" server=" + relays[0].address,
				"another database server is in use\" server=" + relays[1].address + " instead_of=" + relays[0].address,
				"a database server can be used again\" server=" + relays[0].address,
				"another database server is in use, since it comes first\" server=" + relays[0].address,
			} {
				if !strings.Contains(log.String(), part) {
					t.Errorf("the log has no %s:\n%s", part, log)
				}
			}
		})
	}
}

// While no host can be used, everything is refused at once, and the first that can be used again is used.
func TestNoHostIsFit(t *testing.T) {
	t.Parallel()
	relays, dsn := relaysTo(t, testserver.Database(t), 2)
	d := migrated(t, mysqlAt(t, dsn))
	relays[0].shut()
	relays[1].stall()
	waitUntil(t, "no host is in use", func() bool { return inUse(d) == "" })
	began := time.Now()
	for range 100 {
		_, err := d.Read().IsFriend(t.Context(), "a", "b")
		if !IsUnavailable(err) || !strings.Contains(err.Error(), relays[0].address) || !strings.Contains(err.Error(), relays[1].address) {
			t.Fatalf("%v", err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 statements were refused within %v", took)
	}
	if err := d.Ping(t.Context()); !errors.Is(err, errNoAnswer) {
		t.Errorf("ping: %v", err)
	}
	relays[1].flow()
	waitUntil(t, "the second is in use", func() bool { return inUse(d) == relays[1].address })
	must(t, d.Ping(t.Context()))
}

// A start uses the first host that can be used.
func TestOpenTriesAllHosts(t *testing.T) {
	t.Parallel()
	relays, dsn := relaysTo(t, testserver.Database(t), 3)
	relays[0].shut()
	relays[1].stall()
	d := mysqlAt(t, dsn)
	if got := inUse(d); got != relays[2].address {
		t.Errorf("in use is %q", got)
	}
	relays[2].shut()
	if _, err := OpenMySQL(t.Context(), dsn, 0); !IsUnavailable(err) || strings.Count(err.Error(), "can't be asked") != 3 {
		t.Errorf("without any: %v", err)
	}
	if _, err := OpenMySQL(within(t, time.Millisecond), dsn, 0); !IsUnavailable(err) {
		t.Errorf("without time: %v", err)
	}
}

// A single server that is read-only says so, and its connections aren't used again once it has refused a write.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	server := testserver.DatabaseServer(t)
	admin, err := sql.Open("mysql", server.Address)
	must(t, err)
	defer admin.Close()
	exec(t, admin, "CREATE USER tim")
	exec(t, admin, "GRANT ALL ON tim.* TO tim")
	d := migrated(t, mysqlAt(t, strings.Replace(server.Address, "root@", "tim@", 1)))
	must(t, d.Ping(t.Context()))
	d.write.SetMaxOpenConns(1)
	connection := func() string { return texts(t, d.write, "SELECT CONNECTION_ID()")[0] }
	before := connection()
	exec(t, admin, "SET GLOBAL read_only = 1")
	waitUntil(t, "the server is known to be read-only", func() bool { return errors.Is(d.Ping(t.Context()), ErrReadOnly) })
	if d.engine.(mysqlEngine).kind.galera { // it is watched, and nothing is asked of it meanwhile
		if _, err := d.Read().IsFriend(t.Context(), "a", "b"); !errors.Is(err, ErrReadOnly) {
			t.Errorf("a read: %v", err)
		}
		return
	}
	if _, err := d.Read().IsFriend(t.Context(), "a", "b"); err != nil || connection() != before {
		t.Errorf("it can be read: %v", err)
	}
	for _, write := range []func(context.Context) error{
		func(ctx context.Context) error { return d.Write().AddFriend(ctx, "a", "b") },
		func(ctx context.Context) error {
			return d.Tx(ctx, func(tx *Tx) error { return tx.EnsureConversation(ctx, "g1", 1) })
		},
		func(ctx context.Context) error {
			return d.StoreMessages(ctx, func(*Tx) (MessageBatch, error) {
				return MessageBatch{Rows: []db.InsertMessageParams{message("g1", 1)}}, nil
			})
		},
	} {
		if err := write(t.Context()); !IsUnavailable(err) {
			t.Errorf("a write: %v", err)
		}
		after := connection()
		if after == before {
			t.Error("the connection is used again")
		}
		before = after
	}
	exec(t, admin, "SET GLOBAL read_only = 0")
	must(t, d.Ping(t.Context()))
	must(t, d.Write().AddFriend(t.Context(), "a", "b"))
}
