package realtime_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/gen/db"
	"tim/internal/apptest"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/realtime"
	"tim/internal/store"
	"tim/internal/testserver"
)

// claimed answers for some rooms what a test says, and counts the questions.
type claimed struct {
	cluster.Presence

	mu    sync.Mutex
	asked int
	says  map[string]bool
	gone  map[string]int // rooms that are empty after so many questions
}

func (p *claimed) Online(ctx context.Context, rooms []string) ([]bool, error) {
	states, err := p.Presence.Online(ctx, rooms)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	for i, room := range rooms {
		if state, ok := p.says[room]; ok && err == nil {
			states[i] = state
		}
		if after, ok := p.gone[room]; ok && p.asked > after && err == nil {
			states[i] = false
		}
	}
	return states, err
}

func (p *claimed) say(room string, online bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says[room] = online
}

// empties says that a room is empty once so many further questions have been answered.
func (p *claimed) empties(room string, questions int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone[room] = p.asked + questions
}

func (p *claimed) questions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// quietly is the use cases of a node that nobody hears.
func (n *node) quietly() (*chat.Service, *auth.Auth) {
	n.t.Helper()
	service := chat.New(chat.Options{DB: n.db, Lanes: 1, Notify: func(context.Context, chat.Event) {}, Online: n.presence.Online})
	n.t.Cleanup(service.Close)
	options := n.auth.Options
	options.Ended = func(context.Context, string, string, fault.Reason) error { return nil }
	return service, auth.New(options)
}

// Catching up costs a few questions for hundreds of connections, and does for each what it would for one.
func TestCatchUpByPages(t *testing.T) {
	t.Parallel()
	server := testserver.DatabaseServer(t)
	presence := &claimed{says: map[string]bool{}}
	n := startNode(t, setup{dsn: server.Address, presence: func(p cluster.Presence) cluster.Presence {
		presence.Presence = p
		return presence
	}})
	accounts := []string{"alice", "bob", "carol", "dave", "eve", "friend"}
	n.users(accounts...)
	group, direct := n.group(accounts[:5]...), "friend"
	n.friends("alice", direct)
	before, err := n.service.LastSeq(t.Context(), chat.ToGroup(int32(group)).Conversation(""))
	must(t, err)
	const devices = 60 // of each account: more than a page of connections
	all := map[string][]*device{}
	for _, account := range accounts[:5] {
		for range devices {
			d := n.deviceWith(account, options{unchecked: true})
			d.has[who{Group: group}] = before
			d.sync()
			d.ask("subscribe", map[string]any{"accounts": accounts})
			all[account] = append(all[account], d)
		}
	}
	n.chat("alice")
	inGroup, inDirect := n.member("alice", group), n.dial("alice", directPath("alice", direct))

	database, err := sql.Open("mysql", server.Address)
	must(t, err)
	defer database.Close()
	statements, lookups := questions(t, database), presence.questions()
	n.hub.CatchUp(t.Context())
	eventually(t, "presence is looked at", func() bool { return presence.questions() > lookups })
	if asked := questions(t, database) - statements; asked > 40 {
		t.Errorf("%d statements for %d connections", asked, 5*devices+3)
	}
	if asked := presence.questions() - lookups; asked > 1 {
		t.Errorf("presence was asked %d times", asked)
	}

	silent, silentAuth := n.quietly()
	session, err := n.auth.Authenticate(t.Context(), n.tokens["carol"])
	must(t, err)
	must(t, silentAuth.Logout(t.Context(), session))
	must(t, silent.LeaveGroup(t.Context(), "dave", "dave", int32(group)))
	for _, to := range []chat.Target{chat.ToGroup(int32(group)), chat.ToUser(direct)} {
		_, err = silent.Send(t.Context(), "alice", to, chat.TextContent("unheard of"), "")
		must(t, err)
	}
	last, err := silent.LastSeq(t.Context(), chat.ToGroup(int32(group)).Conversation(""))
	must(t, err)
	n.hub.CatchUp(t.Context())
	for _, account := range []string{"alice", "bob", "eve"} {
		for _, d := range all[account] {
			d.upTo(who{Group: group}, last)
		}
	}
	for _, d := range all["carol"] {
		d.expectBye(4500)
	}
	for _, d := range all["dave"] {
		d.ask("ping", nil)
		if got := d.texts[who{Group: group}]; slices.Contains(got, "unheard of") {
			t.Fatalf("a former member got %q", got)
		}
	}
	for missed := false; !missed; { // behind notices
		missed = inGroup.text() == "unheard of"
	}
	must(t, silent.DeleteFriend(t.Context(), "alice", "alice", direct))
	n.hub.CatchUp(t.Context())
	inDirect.expectEnd(websocket.ClosePolicyViolation)
}

// An account with more conversations than are listed at once catches up with the last of them, too.
func TestCatchUpWithManyConversations(t *testing.T) {
	t.Parallel()
	testModes(t, func(t *testing.T, s setup) {
		n := startNode(t, s)
		n.users("alice", "bob")
		n.friends("alice", "bob")
		alice, bob := n.device("alice"), n.device("bob")
		alice.sync()
		bob.sync()
		const conversations = 4100
		must(t, n.db.Tx(t.Context(), func(tx *store.Tx) error {
			last := ""
			for i := range conversations {
				last = fmt.Sprintf("e%05d", i) // behind alice's and bob's
				if err := tx.EnsureConversation(t.Context(), last, 0); err != nil {
					return err
				}
				err := tx.AddParticipant(t.Context(), db.AddParticipantParams{
					Account: "alice", Conversation: last, Peer: sql.NullString{String: fmt.Sprint("peer", i), Valid: true},
				})
				if err != nil {
					return err
				}
			}
			body := `{"body":{"kind":"text","text":"hello"}}`
			err := tx.InsertMessage(t.Context(), db.InsertMessageParams{Conversation: last, Seq: 1, Sender: "x", Body: body})
			return errors.Join(err, tx.SetLastSeq(t.Context(), 1, last))
		}))
		silent, _ := n.quietly()
		_, err := silent.Send(t.Context(), "bob", chat.ToUser("alice"), chat.TextContent("hello"), "")
		must(t, err)
		n.hub.CatchUp(t.Context())
		alice.upTo(who{User: "bob"}, 1)
		alice.upTo(who{User: fmt.Sprint("peer", conversations-1)}, 1)
		bob.upTo(who{User: "alice"}, 1)
	})
}

// After a loss, who has come is told at once, and who has gone a while later; whom one may not see any more looks gone,
// until it may be seen again.
func TestPresenceAfterALoss(t *testing.T) {
	t.Parallel()
	presence := &claimed{says: map[string]bool{}, gone: map[string]int{}}
	n := startNode(t, setup{timing: realtime.Timing{LookAgain: 300 * time.Millisecond}, presence: func(p cluster.Presence) cluster.Presence {
		presence.Presence = p
		return presence
	}})
	n.users("alice", "bob", "carol", "dave")
	for _, friend := range []string{"bob", "carol", "dave"} {
		n.friends("alice", friend)
	}
	presence.say("v:bob", true)
	presence.say("v:dave", true)
	alice := n.device("alice")
	alice.sync()
	alice.ask("subscribe", map[string]any{"accounts": []string{"bob", "carol", "dave"}})
	presence.say("v:bob", false)
	presence.say("v:carol", true)
	// Both losses are followed by a look at once, and by one later: carol goes before the last of the four, whose time may
	// be but a moment after that of the third.
	presence.empties("v:carol", 3)
	silent, _ := n.quietly()
	must(t, silent.DeleteFriend(t.Context(), "alice", "alice", "dave"))

	lost := time.Now()
	n.hub.CatchUp(t.Context())
	seen := func(account, state string) {
		t.Helper()
		if f := alice.until("presence", nil); f.Account != account || !strings.Contains(f.text, state) {
			t.Fatalf("got %s, want %s %s", f.text, account, state)
		}
	}
	seen("dave", `"online":false`)
	seen("carol", `"online":true`)
	n.hub.CatchUp(t.Context())
	seen("bob", `"online":false`)
	if took := time.Since(lost); took < 300*time.Millisecond {
		t.Errorf("bob is thought gone after %v", took)
	}
	seen("carol", `"online":false`) // the second loss has a second look of its own

	must(t, silent.AddFriend(t.Context(), "alice", "alice", "dave"))
	n.hub.CatchUp(t.Context())
	seen("dave", `"online":true`)
}

// A node that can reach neither bus nor database sends all sockets away, each client of tim.v1 at a time of its own.
func TestNeitherBusNorDatabase(t *testing.T) {
	t.Parallel()
	database, redis := testserver.DatabaseServer(t), testserver.RedisServer(t)
	w, _ := start(t, apptest.Servers, "--mysql-dsn="+database.Address, "--redis-url="+redis.Address)
	w.users("alice", "bob")
	group := w.group("alice", "bob")
	contract := w.chat("alice")
	inGroup := w.member("alice", group)
	devices := make([]*device, 30)
	for i := range devices {
		devices[i] = w.device([]string{"alice", "bob"}[i%2])
		if i%3 > 0 { // a third hasn't synced yet
			devices[i].sync()
		}
	}
	redis.Stop()
	database.Stop()
	after := map[int64]bool{}
	for _, d := range devices {
		frames := d.expectEnd(4002)
		var bye struct {
			Type      string `json:"type"`
			Reconnect bool   `json:"reconnect"`
			After     int64  `json:"after"`
		}
		must(t, json.Unmarshal([]byte(frames[len(frames)-1]), &bye))
		if bye.Type != "bye" || !bye.Reconnect || bye.After < 0 || bye.After >= 2000 {
			t.Errorf("the last frame is %s", frames[len(frames)-1])
		}
		after[bye.After/200] = true
	}
	if len(after) < 5 {
		t.Errorf("all come back within %d tenths of the time", len(after))
	}
	contract.expectEnd(websocket.CloseTryAgainLater)
	inGroup.expectEnd(websocket.CloseTryAgainLater)
	if _, response, err := w.tryDial("/websocket", options{protocols: []string{subprotocols}, header: http.Header{"token": {w.tokens["alice"]}}}); err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a handshake: %v, %v", response, err)
	}

	database.Start()
	redis.Start()
	eventually(t, "they are taken back", func() bool {
		p, _, err := w.tryDial("/websocket", options{protocols: []string{subprotocols}, header: http.Header{"token": {w.tokens["alice"]}}})
		if err == nil {
			p.cut()
		}
		return err == nil
	})
}
