package realtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/apptest"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/pace"
	"tim/internal/presence"
	"tim/internal/realtime"
	"tim/internal/store"
)

// node is a hub with everything under it but without REST, for tests that need times of their own, or to break things.
type node struct {
	*world
	hub      *realtime.Hub
	feed     *feed.Feed
	presence *presence.Presence
	service  *chat.Service
	auth     *auth.Auth
	db       *store.DB
	server   *httptest.Server
	log      *apptest.Log
	close    func(context.Context) // the hub, once
}

// setup of a node; the zero value is the embedded default.
type setup struct {
	sockets  int    // of an account, 0 for any number
	dsn      string // of MariaDB
	rate     float64
	burst    int
	timing   realtime.Timing
	presence func(cluster.Presence) cluster.Presence
	online   func(next func(context.Context, []string) []bool) func(context.Context, []string) []bool
}

func startNode(t testing.TB, s setup) *node {
	t.Helper()
	ctx := t.Context()
	n := &node{log: &apptest.Log{}}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	var err error
	if s.dsn == "" {
		n.db, err = store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "tim.db"))
	} else {
		n.db, err = store.OpenMySQL(ctx, s.dsn, 0)
	}
	must(t, err)
	t.Cleanup(func() { _ = n.db.Close() })
	_, err = n.db.Migrate(ctx)
	must(t, err)
	bus := cluster.NewMemory(cluster.Options{})
	bus.Start(nil)
	t.Cleanup(func() { _ = bus.Close() })
	var rooms cluster.Presence = bus
	if s.presence != nil {
		rooms = s.presence(bus)
	}
	n.feed = feed.New(bus, log)
	n.presence = presence.New(rooms, n.feed, log)
	passwords, err := auth.NewPasswords(4)
	must(t, err)
	n.auth = auth.New(auth.Options{DB: n.db, Passwords: passwords, Key: make([]byte, auth.MinKeyBytes), Ended: n.feed.SessionEnded, Log: log})
	online := n.presence.Online
	if s.online != nil {
		online = s.online(online)
	}
	n.service = chat.New(chat.Options{DB: n.db, Admit: auth.Registrations{Passwords: passwords}.Admit, HashPassword: auth.Registrations{Passwords: passwords}.Hash, Notify: n.feed.Notify, Online: online, Lanes: 1})
	t.Cleanup(n.service.Close)
	n.hub, err = realtime.New(ctx, realtime.Options{
		Chat: n.service, Auth: n.auth, Feed: n.feed, Presence: n.presence, Zone: time.UTC, IsFull: store.IsFull, IsUnavailable: store.IsUnavailable,
		AllowOrigin: func(*http.Request) bool { return true }, FrameLimit: 1 << 16,
		SendRate: s.rate, SendBurst: s.burst, Pace: pace.New(s.rate, s.burst), AccountLimit: s.sockets, RosterLimit: 200, Timing: s.timing, Log: log, Metrics: prometheus.NewRegistry(),
	})
	must(t, err)
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if !c.Response().Committed {
			_ = c.JSON(fault.From(err).Status(), map[string]string{"error": err.Error()})
		}
	}
	n.hub.Routes(e)
	n.server = httptest.NewUnstartedServer(e)
	n.server.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	n.server.Start()
	t.Cleanup(n.server.Close)
	closed := false
	n.close = func(ctx context.Context) {
		closed = true
		n.hub.Close(ctx)
	}
	t.Cleanup(func() {
		if !closed {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			n.hub.Close(ctx)
		}
		if t.Failed() {
			t.Logf("the node's log:\n%s", n.log)
		}
	})
	n.world = newWorld(t, n.server.URL, n.server.Client())
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// users makes accounts and logs them in.
func (n *node) users(accounts ...string) {
	n.t.Helper()
	for _, account := range accounts {
		_, err := n.service.Register(n.t.Context(), chat.Registration{Account: account, Password: apptest.Password, Username: strings.ToUpper(account)})
		must(n.t, err)
		token, _, err := n.auth.Login(n.t.Context(), account, apptest.Password, "127.0.0.1", "test")
		must(n.t, err)
		n.tokens[account] = token
	}
}

func (n *node) friends(account, friend string) {
	n.t.Helper()
	must(n.t, n.service.AddFriend(n.t.Context(), account, account, friend))
}

func (n *node) group(accounts ...string) int {
	n.t.Helper()
	n.groups++
	id, err := n.service.CreateGroup(n.t.Context(), accounts[0], accounts[0], fmt.Sprintf("g%d", n.groups))
	must(n.t, err)
	for _, account := range accounts[1:] {
		must(n.t, n.service.JoinGroup(n.t.Context(), account, account, id))
	}
	return int(id)
}

// say stores messages without a socket.
func (n *node) say(from string, to chat.Target, texts ...string) {
	n.t.Helper()
	for _, text := range texts {
		_, err := n.service.Send(n.t.Context(), from, to, chat.TextContent(text), "")
		must(n.t, err)
	}
}

func (n *node) isOnline(account string) bool {
	return n.presence.Online(context.WithoutCancel(n.t.Context()), []string{account})[0]
}

// delivered is an account's mark in a conversation.
func (n *node) delivered(account string, with chat.Target) int64 {
	n.t.Helper()
	opening, err := n.service.Open(n.t.Context(), account, with)
	must(n.t, err)
	return opening.Delivered
}
