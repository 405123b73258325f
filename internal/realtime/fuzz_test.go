package realtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/account"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/presence"
	"tim/internal/realtime"
)

// bareHub is a hub without a database: enough for whatever is refused before one is asked.
func bareHub(t testing.TB) (*realtime.Hub, *echo.Echo) {
	t.Helper()
	bus := cluster.NewMemory(cluster.Options{})
	bus.Start(nil)
	t.Cleanup(func() { _ = bus.Close() })
	log := slog.New(slog.DiscardHandler)
	f := feed.New(bus, log)
	h, err := realtime.New(t.Context(), realtime.Options{
		Chat: &chat.Service{}, Auth: auth.New(auth.Options{Key: make([]byte, auth.MinKeyBytes)}), Feed: f, Presence: presence.New(bus, f, log),
		Zone: time.UTC, AllowOrigin: func(*http.Request) bool { return true }, Log: log, Metrics: prometheus.NewRegistry(),
	})
	must(t, err)
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := fault.From(err).Status()
		if he, ok := err.(*echo.HTTPError); ok { //nolint:errorlint // echo's own
			status = he.Code
		}
		_ = c.NoContent(status)
	}
	h.Routes(e)
	t.Cleanup(func() { h.Close(context.Background()) })
	return h, e
}

// Parameters of a path are decoded once, and what is accepted is an account or a group.
func FuzzPathParameters(f *testing.F) {
	for _, seed := range []string{"a", "a%40b", "a%2540b", "%ff", "%", "%00", "中文", "%E4%B8%AD", "%e4%b8%ad", "1", "+1", "0", "-1", "99999999999", "é", "e%CC%81"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if named, err := realtime.AccountParam(text); err == nil {
			once, err := url.PathUnescape(text)
			if err != nil || named != account.Normal(once) || named == "" || !utf8.ValidString(named) || strings.ContainsFunc(named, unicode.IsControl) {
				t.Errorf("%q became %q", text, named)
			}
			if again, err := realtime.AccountParam(url.PathEscape(named)); err != nil || again != named {
				t.Errorf("%q is %q when escaped, %v", named, again, err)
			}
		}
		if group, err := realtime.GroupParam(text); err == nil {
			if group < 1 || strings.TrimLeft(text, "0") != fmt.Sprint(group) {
				t.Errorf("%q became group %d", text, group)
			}
		}
	})
}

// A handshake with nothing behind it is refused, never accepted and never a fault of the server.
func FuzzHandshake(f *testing.F) {
	f.Add("/websocket/alice", "token", "x", "tim.v1, token.x", "token=x")
	f.Add("/websocket/OneToOne/a/b", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "token.", "token=%zz")
	f.Add("/websocket/1/a%2540b", "Origin", "null", ",,,", "")
	_, e := bareHub(f)
	f.Fuzz(func(t *testing.T, path, name, value, protocols, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		u, err := url.Parse(path)
		if err != nil || !strings.HasPrefix(u.Path, "/websocket/") {
			return
		}
		u.RawQuery, u.RawPath = query, u.EscapedPath()
		r.URL = u
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
		r.Header.Set("Sec-Websocket-Protocol", protocols)
		r.Header.Set(name, value)
		answer := httptest.NewRecorder()
		e.ServeHTTP(answer, r)
		if answer.Code < 400 || answer.Code >= 500 {
			t.Errorf("%q: %d", path, answer.Code)
		}
	})
}
