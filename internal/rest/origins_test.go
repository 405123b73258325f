package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	listed := []string{"https://chat.example.org", "HTTP://Other.example:8080/"}
	for _, tt := range []struct {
		name    string
		allowed []string
		origin  string
		want    bool
	}{
		{"not a browser", nil, "", true},
		{"listed", listed, "https://chat.example.org", true},
		{"listed in other letters", listed, "https://CHAT.example.org", true},
		{"listed with its port", listed, "http://other.example:8080", true},
		{"another scheme", listed, "http://chat.example.org", false},
		{"another port", listed, "https://chat.example.org:8443", false},
		{"no port", listed, "http://other.example", false},
		{"below a listed one", listed, "https://x.chat.example.org", false},
		{"a listed one within", listed, "https://chat.example.org.evil.example", false},
		{"a listed one behind @", listed, "https://chat.example.org@evil.example", false},
		{"the server's own", nil, "http://example.com", true},
		{"the server's own behind TLS", nil, "https://example.com", true},
		{"the server's own on another port", nil, "http://example.com:81", false},
		{"the server's own with its scheme's port", nil, "http://example.com:80", true},
		{"null", listed, "null", false},
		{"null where all may", []string{"*"}, "null", true},
		{"a file", listed, "file://", false},
		{"all", []string{"*"}, "https://anybody.example", true},
		{"localhost", []string{"localhost"}, "http://localhost:3000", true},
		{"localhost without port", []string{"localhost"}, "http://localhost", true},
		{"loopback", []string{"localhost"}, "http://127.0.0.1:5173", true},
		{"loopback, six", []string{"localhost"}, "http://[::1]:5173", true},
		{"localhost where it isn't listed", listed, "http://localhost:3000", false},
		{"one called localhost", []string{"localhost"}, "http://localhost.evil.example", false},
		{"nobody", nil, "https://evil.example", false},
		{"no URL", listed, "https://[", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			origins, err := ParseOrigins(tt.allowed)
			must(t, err)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Origin", tt.origin)
			if got := origins.Allow(r); got != tt.want {
				t.Errorf("%q: %v", tt.origin, got)
			}
		})
	}
}

func TestOriginsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "chat.example.org", "https://", "https://x/path", "https://x?query", "://x", "**", "Localhost", "null"} {
		if _, err := ParseOrigins([]string{"*", text}); err == nil || !strings.Contains(err.Error(), "must be an origin like") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	origins, err := ParseOrigins([]string{"https://chat.example.org"})
	must(t, err)
	s := newSite(t, func(o *Options) { o.Origins = origins })
	preflight := func(origin string) http.Header {
		w := s.ask(http.MethodOptions, "/Tim/addFriend", nil, "Origin", origin,
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "token, x-anything")
		return w.Header()
	}
	if h := preflight("https://chat.example.org"); h.Get("Access-Control-Allow-Origin") != "https://chat.example.org" ||
		h.Get("Access-Control-Allow-Headers") != "token, x-anything" || h.Get("Access-Control-Allow-Methods") != "GET,HEAD,POST,PUT,DELETE" {
		t.Errorf("preflight: %v", h)
	}
	if h := preflight("https://evil.example"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another: %v", h)
	}
	// Pages may read refusals, too.
	h := s.get("/Tim/UserLogout", "Origin", "https://chat.example.org").Header()
	if h.Get("Access-Control-Allow-Origin") != "https://chat.example.org" {
		t.Errorf("a refusal: %v", h)
	}
	for _, name := range []string{"Tim-Reason", "Content-Disposition", "Content-Range", "Retry-After"} {
		if !strings.Contains(h.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s can't be read: %v", name, h)
		}
	}
	if h := s.get("/healthz").Header(); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("nobody asked: %v", h)
	}
	if w := s.ask(http.MethodOptions, "/Tim/addFriend", nil, "Origin", "https://chat.example.org"); w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound && w.Code != http.StatusNoContent {
		t.Errorf("OPTIONS that is no preflight: %d %s", w.Code, w.Body)
	}
}
