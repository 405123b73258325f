package cluster_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&logging.VoidLogger{})
	code := testserver.Main(m, "TestRedis.*", "TestNothingIsDeliveredBeforeTheStart")
	// The client library probes for a second more where it couldn't connect.
	err := goleak.Find()
	for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// patience is how long a test waits for something that normally happens at once.
const patience = 20 * time.Second

// await polls until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(patience); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// inbox collects what a handler receives.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (b *inbox) handler(payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, string(payload))
}

func (b *inbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func (b *inbox) has(payload string) bool { return slices.Contains(b.all(), payload) }

// awaits returns everything that was received, once payload is among it.
func (b *inbox) awaits(t testing.TB, payload string) []string {
	t.Helper()
	await(t, "message "+payload, func() bool { return b.has(payload) })
	return b.all()
}

// losses counts calls of onLost.
type losses struct {
	mu sync.Mutex
	n  int
}

func (l *losses) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
}

func (l *losses) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func subscribe(t testing.TB, b cluster.Bus, topic string, h func([]byte)) (cancel func()) {
	t.Helper()
	cancel, err := b.Subscribe(t.Context(), topic, h)
	if err != nil {
		t.Fatalf("subscribe %s: %v", topic, err)
	}
	return cancel
}

func publish(t testing.TB, b cluster.Bus, topic, payload string) {
	t.Helper()
	if err := b.Publish(topic, []byte(payload)); err != nil {
		t.Fatalf("publish %s to %s: %v", payload, topic, err)
	}
}

func join(t testing.TB, p cluster.Presence, room, member, id string, wantFirst bool) {
	t.Helper()
	first, err := p.Join(t.Context(), room, member, id)
	if err != nil || first != wantFirst {
		t.Fatalf("join %s %s %s = %v, %v; want %v", room, member, id, first, err, wantFirst)
	}
}

func leave(t testing.TB, p cluster.Presence, room, member, id string, wantLast bool) {
	t.Helper()
	last, err := p.Leave(t.Context(), room, member, id)
	if err != nil || last != wantLast {
		t.Fatalf("leave %s %s %s = %v, %v; want %v", room, member, id, last, err, wantLast)
	}
}

// members returns all members in the room.
func members(t testing.TB, p cluster.Presence, room string) []string {
	t.Helper()
	all, total, err := p.Members(t.Context(), room, 1000)
	if err != nil || total != len(all) {
		t.Fatalf("members of %s: %q, %d, %v", room, all, total, err)
	}
	return all
}

// options are those of a node, and the function that it is started with.
type options struct {
	cluster.Options

	onLost func()
}

// openRedis starts a node, which is closed at the end of the test.
func openRedis(t testing.TB, urls string, opts options) *cluster.Redis {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	node, err := cluster.NewRedis(ctx, urls, opts.Options)
	if err != nil {
		t.Fatalf("new redis node: %v", err)
	}
	node.Start(opts.onLost)
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return node
}
