package deploy_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/apptest"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/feed"
	"tim/internal/presence"
	"tim/internal/realtime"
	"tim/internal/store"
)

// hub serves sockets alone, with a heartbeat that no setting offers.
type hub struct {
	address string
	token   string // of the account a
}

func startHub(t *testing.T, heartbeat time.Duration) hub {
	t.Helper()
	ctx := t.Context()
	log := slog.New(slog.DiscardHandler)
	db, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "tim.db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.Migrate(ctx)
	must(t, err)
	bus := cluster.NewMemory(cluster.Options{})
	bus.Start(nil)
	t.Cleanup(func() { _ = bus.Close() })
	events := feed.New(bus, log)
	online := presence.New(bus, events, log)
	passwords, err := auth.NewPasswords(4)
	must(t, err)
	sessions := auth.New(auth.Options{DB: db, Passwords: passwords, Key: make([]byte, auth.MinKeyBytes), Ended: events.SessionEnded, Log: log})
	service := chat.New(chat.Options{DB: db, Admit: auth.Registrations{Passwords: passwords}.Admit, HashPassword: auth.Registrations{Passwords: passwords}.Hash, Notify: events.Notify, Online: online.Online, Lanes: 1})
	t.Cleanup(service.Close)
	sockets, err := realtime.New(ctx, realtime.Options{
		Chat: service, Auth: sessions, Feed: events, Presence: online, Zone: time.UTC, AllowOrigin: func(*http.Request) bool { return true },
		FrameLimit: 1 << 16, RosterLimit: 200, Timing: realtime.Timing{Heartbeat: heartbeat}, Log: log, Metrics: prometheus.NewRegistry(),
	})
	must(t, err)
	e := echo.New()
	sockets.Routes(e)
	e.GET("/readyz", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		sockets.Close(ctx)
	})
	_, err = service.Register(ctx, chat.Registration{Account: "a", Password: apptest.Password, Username: "A"})
	must(t, err)
	token, _, err := sessions.Login(ctx, "a", apptest.Password, "127.0.0.1", "test")
	must(t, err)
	return hub{server.Listener.Addr().String(), token}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
