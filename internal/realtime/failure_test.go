package realtime_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
	"tim/internal/chat"
	"tim/internal/realtime"
	"tim/internal/testserver"
)

// A database that goes away closes the socket of whoever sends with 1013, and what isn't stored is echoed to nobody.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	database := testserver.DatabaseServer(t)
	w, _ := start(t, apptest.Servers, "--mysql-dsn="+database.Address)
	w.users("alice", "bob")
	group := w.group("alice", "bob")
	w.chat("alice")
	w.chat("bob")
	alice, bob := w.member("alice", group), w.member("bob", group)
	alice.send("stored")
	if got := bob.text(); got != "stored" {
		t.Fatalf("got %q", got)
	}
	database.Kill()
	alice.send("lost")
	for _, frame := range alice.expectEnd(websocket.CloseTryAgainLater) {
		if text, ok := textOf(frame); ok && text != "stored" {
			t.Errorf("alice was told of %q", text)
		}
	}
	header := http.Header{"token": {w.tokens["alice"]}}
	if _, response, err := w.tryDial(groupPath(group, "alice"), options{header: header}); err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a handshake without a database: %v", response)
	}
	database.Start()
	alice = w.member("alice", group)
	alice.send("again")
	if got := bob.text(); got != "again" {
		t.Errorf("bob got %q", got)
	}
}

// One that falls silent does the same after a time, and a stop doesn't wait for it.
func TestDatabaseSilent(t *testing.T) {
	t.Parallel()
	database := testserver.DatabaseServer(t)
	n := startNode(t, setup{dsn: database.Address, timing: realtime.Timing{
		FrameTimeout: 300 * time.Millisecond, Handshake: time.Second, LastWords: 200 * time.Millisecond,
	}})
	n.users("alice", "bob", "carol")
	group := n.group("alice", "bob")
	n.chat("alice")
	n.chat("bob")
	alice, bob := n.member("alice", group), n.member("bob", group)
	database.Pause()
	alice.send("lost, or stored later")
	alice.expectEnd(websocket.CloseTryAgainLater)
	begun := time.Now()
	if p, response, err := n.tryDial(chatPath("carol"), options{header: http.Header{"token": {n.tokens["carol"]}}}); err == nil {
		t.Errorf("a handshake without a database: %v, %v", p, response)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("a handshake was refused after %v", took)
	}
	bob.send("under way")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun = time.Now()
	n.close(ctx)
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("the stop took %v", took)
	}
	database.Resume()
}

// When neither the bus nor the database can be trusted, the sockets are told to come back later; when it is only the bus,
// they catch up.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	database := testserver.DatabaseServer(t)
	n := startNode(t, setup{dsn: database.Address})
	n.users("alice", "bob", "carol")
	n.friends("alice", "bob")
	group := n.group("alice", "bob", "carol")
	aliceChat := n.chat("alice")
	n.chat("carol")
	direct, inGroup, carol := n.dial("alice", directPath("alice", "bob")), n.member("alice", group), n.member("carol", group)
	inGroup.expect("用户CAROL上线")
	inGroup.next()
	silent := chat.New(chat.Options{ // a node that nobody hears
		DB: n.db, Lanes: 1, Notify: func(context.Context, chat.Event) {}, Online: n.presence.Online,
	})
	defer silent.Close()
	for _, to := range []chat.Target{chat.ToUser("alice"), chat.ToGroup(int32(group))} {
		_, err := silent.Send(t.Context(), "bob", to, chat.TextContent("unheard of"), "")
		must(t, err)
	}
	must(t, silent.LeaveGroup(t.Context(), "carol", "carol", int32(group)))
	n.hub.CatchUp(t.Context())
	if got := direct.text(); got != "unheard of" {
		t.Errorf("got %q", got)
	}
	carol.expectEnd(websocket.ClosePolicyViolation)
	for caughtUp, told := false, false; !caughtUp || !told; { // in either order
		frame := inGroup.next()
		text, _ := textOf(frame)
		caughtUp, told = caughtUp || text == "unheard of", told || frame == "用户CAROL下线"
	}
	must(t, silent.DeleteFriend(t.Context(), "bob", "bob", "alice"))
	n.hub.CatchUp(t.Context())
	direct.expectEnd(websocket.ClosePolicyViolation)
	database.Kill()
	n.hub.CatchUp(t.Context())
	aliceChat.expectEnd(websocket.CloseTryAgainLater)
	inGroup.expectEnd(websocket.CloseTryAgainLater)
}

// While Redis is away, the sockets of conversations are admitted without a chat socket, messages flow on one node, and
// it all recovers.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	redis := testserver.RedisServer(t)
	w, _ := start(t, apptest.Servers, "--redis-url="+redis.Address)
	w.users("alice", "bob", "carol")
	w.friends("alice", "bob")
	group := w.group("alice", "bob", "carol")
	w.chat("alice")
	redis.Kill()
	// Until its absence is noticed, requests wait for it.
	bob := w.dial("bob", directPath("bob", "alice"))
	alice := w.dial("alice", directPath("alice", "bob"))
	alice.send("hello")
	if got := bob.text(); got != "hello" {
		t.Errorf("got %q", got)
	}
	first, second := w.dial("alice", groupPath(group, "alice")), w.dial("bob", groupPath(group, "bob"))
	first.send("to all")
	for _, p := range []*peer{first, second} {
		if got := p.text(); got != "to all" {
			t.Errorf("got %q", got)
		}
	}
	redis.Start()
	eventually(t, "presence is known again", func() bool {
		p := w.dial("carol", groupPath(group, "carol"))
		defer p.cut()
		select {
		case frame := <-p.frames:
			return frame == "用户未上线"
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	alice.send("after it all")
	if got := bob.text(); got != "after it all" {
		t.Errorf("got %q", got)
	}
}
