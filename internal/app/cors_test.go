package app_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
)

// preflight is a browser's question whether a page of an origin may send a token.
func preflight(path, origin string) ask {
	return ask{method: http.MethodOptions, path: path, plain: true, header: map[string]string{
		"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,token",
	}}
}

// listed splits a header's list.
func listed(header string) []string {
	var out []string
	for entry := range strings.SplitSeq(header, ",") {
		out = append(out, strings.ToLower(strings.TrimSpace(entry)))
	}
	return out
}

func TestCORS(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		flags          []string
		allowed, other []string
	}{
		"by default": {
			nil, []string{"http://localhost", "http://localhost:5173", "https://localhost:8443", "http://127.0.0.1:3000", "http://[::1]:80"},
			[]string{"https://evil.example", "http://localhost.evil.example", "http://evil.example?localhost", "null", "file://", "localhost", "http://127.0.0.1.evil.example"},
		},
		"a list": {
			[]string{"--allowed-origins=https://chat.example.org,http://b.example:81"},
			[]string{"https://chat.example.org", "https://CHAT.example.org", "http://b.example:81"},
			[]string{"http://chat.example.org", "https://chat.example.org:444", "https://example.org", "http://localhost:5173", "http://b.example", "https://chat.example.org.evil"},
		},
		"all": {[]string{"--allowed-origins=*"}, []string{"https://evil.example", "http://localhost:1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, apptest.Embedded, tt.flags...)
			token := s.enter(t, "co.a")
			picture := s.do(t, ask{path: "/uploadchatpic", token: token, form: fileForm(jpgBytes(t)), plain: true}).body
			for _, origin := range tt.allowed {
				s.allowsOrigin(t, origin, token, picture)
			}
			for _, origin := range tt.other {
				s.ignoresOrigin(t, origin, token)
			}
			none := s.do(t, ask{path: query("/Tim/getFriends", "account", "co.a"), token: token})
			if none.status != http.StatusOK || none.header.Get("Access-Control-Allow-Origin") != "" ||
				none.header.Get("Access-Control-Allow-Credentials") != "" || !slices.Contains(none.header.Values("Vary"), "Origin") {
				t.Errorf("without an Origin: %d %v", none.status, none.header)
			}
			for _, origin := range append(tt.allowed, s.URL) { // a page of the server itself is allowed, too
				c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/websocket/co.a", http.Header{"token": {token}, "Origin": {origin}})
				if err != nil {
					t.Errorf("a socket from %s: %v", origin, err)
					continue
				}
				(&socket{c}).close(t)
			}
		})
	}
}

func (s *site) allowsOrigin(t *testing.T, origin, token, picture string) {
	t.Helper()
	allows := func(got answer) bool {
		allowed, credentials := got.header.Get("Access-Control-Allow-Origin"), got.header.Get("Access-Control-Allow-Credentials")
		return allowed == origin && credentials == "true" && slices.Contains(got.header.Values("Vary"), "Origin")
	}
	for _, path := range []string{"/Tim/UserLogin", "/uploadmp4", "/downloadmp4"} {
		got := s.do(t, preflight(path, origin)) // without a token
		if got.status != http.StatusNoContent || !allows(got) {
			t.Errorf("preflight of %s from %s: %d %v", path, origin, got.status, got.header)
		}
		for name, wants := range map[string][]string{
			"Access-Control-Allow-Methods": {"get", "post", "put", "delete"}, "Access-Control-Allow-Headers": {"content-type", "token"},
		} {
			for _, want := range wants {
				if !slices.Contains(listed(got.header.Get(name)), want) && got.header.Get(name) != "*" {
					t.Errorf("preflight of %s: %s is %q, without %s", path, name, got.header.Get(name), want)
				}
			}
		}
	}
	for what, a := range map[string]ask{
		"success": {path: query("/Tim/getFriends", "account", "co.a"), token: token}, "no token": {path: "/Tim/UserLogout"},
		"unknown route": {path: "/nothing"}, "wrong method": {path: "/Tim/UserLogin"}, "a text": {path: "/downloadmp4?filename=x", token: token},
		"a picture": {path: query("/downloadchatpic", "filename", picture), token: token}, "health": {path: "/healthz"}, "a page": {path: "/docs/"},
		"a spec": {path: "/openapi.json"}, "a method that nobody has": {method: "BREW", path: "/Tim/UserLogin"},
		"malformed JSON": {path: "/Tim/UserLogin", json: "{"}, "too large": {path: "/Tim/UserLogin", json: `{"account":"` + strings.Repeat("a", 1<<20) + `"}`},
		"a handshake without a token": {path: "/websocket/co.a", header: upgrade()},
	} {
		a.header, a.plain = with(a.header, "Origin", origin), true
		got := s.do(t, a)
		exposed := listed(got.header.Get("Access-Control-Expose-Headers"))
		if !allows(got) {
			t.Errorf("%s from %s: %v", what, origin, got.header)
		}
		for _, name := range []string{"tim-reason", "content-disposition", "content-range", "retry-after"} {
			if !slices.Contains(exposed, name) {
				t.Errorf("%s from %s: %s is not exposed: %v", what, origin, name, exposed)
			}
		}
	}
}

// ignoresOrigin checks that a page of a foreign origin may not read the answer. The request itself is served, as it is for
// clients that aren't browsers.
func (s *site) ignoresOrigin(t *testing.T, origin, token string) {
	t.Helper()
	a := ask{path: query("/Tim/getFriends", "account", "co.a"), token: token, header: map[string]string{"Origin": origin}}
	for what, got := range map[string]answer{"preflight": s.do(t, preflight("/Tim/UserLogin", origin)), "request": s.do(t, a)} {
		if allowed := got.header.Get("Access-Control-Allow-Origin") + got.header.Get("Access-Control-Allow-Credentials"); allowed != "" {
			t.Errorf("%s from %s: allowed as %q", what, origin, allowed)
		}
	}
	handshake := s.do(t, ask{path: "/websocket/co.a", token: token, header: with(upgrade(), "Origin", origin)})
	if handshake.status != http.StatusForbidden || handshake.Reason != "origin_not_allowed" {
		t.Errorf("handshake from %s: %d %s", origin, handshake.status, handshake.body)
	}
}

// OPTIONS that isn't a preflight returns the methods of a route, RFC 9110 section 9.3.7.
func TestPlainOptions(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	for _, header := range []map[string]string{{}, {"Origin": "http://localhost:1"}} {
		got := s.do(t, ask{method: http.MethodOptions, path: "/Tim/UserLogin", header: header, plain: true})
		if got.status != http.StatusNoContent || !strings.Contains(got.header.Get("Allow"), "POST") {
			t.Errorf("OPTIONS %v: %d %v", header, got.status, got.header)
		}
	}
}
