package realtime_test

import (
	"context"
	"encoding/json"
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

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/realtime"
)

// bareHub is a hub without a database: enough for whatever is refused before one is asked.
func bareHub(t testing.TB) (*realtime.Hub, *echo.Echo) {
	t.Helper()
	bus := cluster.NewMemory(cluster.Options{})
	bus.Start(nil)
	t.Cleanup(func() { _ = bus.Close() })
	h, err := realtime.New(realtime.Options{
		Bus: bus, Presence: bus, Zone: time.UTC, AllowOrigin: func(*http.Request) bool { return true },
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
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
	must(t, h.Serve(t.Context(), e, &chat.Service{}, auth.New(auth.Options{Key: make([]byte, auth.MinKeyBytes)})))
	t.Cleanup(func() { h.Close(context.Background()) })
	return h, e
}

// What the chat socket's decoder accepts is JSON with a text, and what it says of the rest fits into a close frame.
func FuzzDirectText(f *testing.F) {
	for _, seed := range []string{
		`{"to":"bob","text":"x"}`, `{"text":"out"}`, `{}`, `[]`, `null`, `{"to":1}`, `{"text":"\ud800"}`, `{"to":"` + strings.Repeat("中", 101) + `"}`,
		`{"to":null,"text":"x"}`, `{"text":"a","text":"b"}`, strings.Repeat("[", 10000), `{"text":1e400}`, "{\"text\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	h, _ := bareHub(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		text, problem := h.DecodeText(frame)
		if len(problem) > 123 || !utf8.ValidString(problem) {
			t.Errorf("a problem that fits into no close frame: %q", problem)
		}
		if problem != "" {
			return
		}
		if !json.Valid(frame) {
			t.Errorf("accepted, but no JSON: %q", frame)
		}
		if text.To != nil && (*text.To == "" || utf8.RuneCountInString(*text.To) > 100) {
			t.Errorf("accepted to %q", *text.To)
		}
		if !utf8.ValidString(text.Text) {
			t.Errorf("a text that is not UTF-8: %q", text.Text)
		}
	})
}

// Parameters of a path are decoded once, and what is accepted is an account or a group.
func FuzzPathParameters(f *testing.F) {
	for _, seed := range []string{"a", "a%40b", "a%2540b", "%ff", "%", "%00", "中文", "%E4%B8%AD", "%e4%b8%ad", "1", "+1", "0", "-1", "99999999999", "é", "e%CC%81"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if account, err := realtime.AccountParam(text); err == nil {
			once, err := url.PathUnescape(text)
			if err != nil || account != chat.Normal(once) || account == "" || !utf8.ValidString(account) || strings.ContainsFunc(account, unicode.IsControl) {
				t.Errorf("%q became %q", text, account)
			}
			if again, err := realtime.AccountParam(url.PathEscape(account)); err != nil || again != account {
				t.Errorf("%q is %q when escaped, %v", account, again, err)
			}
		}
		if group, err := realtime.GroupParam(text); err == nil {
			if group < 1 || strings.TrimLeft(text, "0") != fmt.Sprint(group) {
				t.Errorf("%q became group %d", text, group)
			}
		}
		if number, seq, ok := realtime.ParsePong(text); ok && !strings.Contains(text, ":") {
			t.Errorf("%q is pong %d of %d", text, number, seq)
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
