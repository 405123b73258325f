package rest

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListsAreOneLine(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	for _, line := range []struct{ name, value string }{
		{"sec-websocket-protocol", "tim.v1"}, {"Sec-WebSocket-Protocol", "token.x"}, {"X-Forwarded-For", "192.0.2.1"},
		{"x-forwarded-for", "10.0.0.1, 10.0.0.2"}, {"If-None-Match", `"a"`}, {"If-None-Match", `W/"b,c"`}, {"If-None-Match", `"d"`},
		{"Connection", "keep-alive"}, {"connection", "Upgrade"}, {"TE", "trailers"}, {"te", "gzip"}, {"Accept", "text/html"},
		{"token", "one"}, {"token", "two"}, {"Origin", "a"},
	} {
		header.Add(line.name, line.value)
	}
	joinLines(header)
	want := http.Header{
		"Sec-Websocket-Protocol": {"tim.v1, token.x"}, "X-Forwarded-For": {"192.0.2.1, 10.0.0.1, 10.0.0.2"},
		"If-None-Match": {`"a", W/"b,c", "d"`}, "Connection": {"keep-alive, Upgrade"}, "Te": {"trailers, gzip"}, "Accept": {"text/html"},
		"Token": {"one", "two"}, "Origin": {"a"}, // no lists
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Error(diff)
	}
	for _, name := range lists {
		if name != http.CanonicalHeaderKey(name) {
			t.Errorf("net/http never has %s", name)
		}
	}
}

// Each origin is logged once, at most so many, however it is refused.
func TestRefusedOriginsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	origins, err := ParseOrigins([]string{"https://chat.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	origins.Refused = NewRefusals(slog.New(slog.NewTextHandler(&out, nil)))
	from := func(origin string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/Tim/getFriends", http.NoBody)
		r.Header.Set("Origin", origin)
		return r
	}
	for range 3 {
		for _, origin := range []string{"https://other.example.org", "null", "https://chat.example.org", "https://a.example/" + strings.Repeat("x", 10000)} {
			origins.Allow(from(origin))
		}
	}
	if got := strings.Count(out.String(), "TIM_ALLOWED_ORIGINS"); got != 3 || out.Len() > 2000 ||
		!strings.Contains(out.String(), "origin=https://other.example.org") || strings.Contains(out.String(), "origin=https://chat") {
		t.Errorf("%d lines, %d bytes:\n%.3000s", got, out.Len(), out.String())
	}
	for i := range 10 * maxRefusals {
		origins.Allow(from(fmt.Sprintf("https://%d.example", i)))
	}
	if got := strings.Count(out.String(), "\n"); got != maxRefusals+1 || len(origins.Refused.seen) > maxRefusals {
		t.Errorf("%d lines, %d remembered", got, len(origins.Refused.seen))
	}
}

// What a load balancer asks every second isn't in the log, unless the answer isn't good.
func TestHealthIsLoggedWhenItFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		route  string
		status int
		want   slog.Level
	}{
		{"/healthz", 200, slog.LevelDebug},
		{"/readyz", 200, slog.LevelDebug},
		{"/readyz", 503, slog.LevelWarn},
		{"/healthz", 500, slog.LevelWarn},
		{"/healthz", 405, slog.LevelWarn},
		{"/Tim/getFriends", 200, slog.LevelInfo},
		{"none", 404, slog.LevelInfo},
	} {
		if got := levelOf(tt.route, tt.status); got != tt.want {
			t.Errorf("%s %d is logged as %s", tt.route, tt.status, got)
		}
	}
}
