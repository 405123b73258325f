package rest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestProxies(t *testing.T) {
	t.Parallel()
	proxies := []string{"10.0.0.7", "192.168.0.0/16", "2001:db8::/32"}
	const client = "203.0.113.9"
	for _, tt := range []struct {
		name    string
		trusted []string
		public  string
		peer    string
		headers map[string]string
		tls     bool
		base    string
		address string
	}{
		{"no proxy", nil, "", client + ":5", nil, false, "http://example.com", client},
		{"TLS", nil, "", client + ":5", nil, true, "https://example.com", client},
		{
			"a client's own word", nil, "", client + ":5",
			map[string]string{"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}, false,
			"http://example.com", client,
		},
		{
			"a client's own word where others are trusted", proxies, "", client + ":5",
			map[string]string{"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}, false,
			"http://example.com", client,
		},
		{
			"a proxy's word", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-For": client, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.org"}, false,
			"https://chat.example.org", client,
		},
		{
			"a range's word", proxies, "", "192.168.3.4:5", map[string]string{"X-Forwarded-For": client, "X-Forwarded-Proto": "https"}, false,
			"https://example.com", client,
		},
		{"six", proxies, "", "[2001:db8::1]:5", map[string]string{"X-Forwarded-For": client}, false, "http://example.com", client},
		{"a proxy that says nothing", proxies, "", "10.0.0.7:5", nil, false, "http://example.com", "10.0.0.7"},
		{
			"a word before the proxy's own", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-For": client, "X-Forwarded-Proto": "http, https", "X-Forwarded-Host": "evil.example, chat.example.org"}, false,
			"https://chat.example.org", client,
		},
		{
			"a word before the proxies' own", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-For": "1.2.3.4, " + client + ", 192.168.0.1", "X-Forwarded-Host": "evil.example, chat.example.org, inner"}, false,
			"http://chat.example.org", client,
		},
		{
			"proxies all the way", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-For": "192.168.0.9, 192.168.0.1", "X-Forwarded-Host": "evil.example, chat.example.org, inner"}, false,
			"http://chat.example.org", "192.168.0.9",
		},
		{
			"the scheme's own port", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-Proto": "HTTPS", "X-Forwarded-Host": "Chat.Example.org:443"}, false, "https://chat.example.org", "10.0.0.7",
		},
		{
			"another scheme's port", proxies, "", "10.0.0.7:5", map[string]string{"X-Forwarded-Host": "chat.example.org:443"}, false,
			"http://chat.example.org:443", "10.0.0.7",
		},
		{
			"a port of its own", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.org", "X-Forwarded-Port": "8443"}, false,
			"https://chat.example.org:8443", "10.0.0.7",
		},
		{
			"the scheme's port by itself", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "[2001:db8::5]", "X-Forwarded-Port": "443"}, false,
			"https://[2001:db8::5]", "10.0.0.7",
		},
		{
			"two ports", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-Host": "[2001:db8::5]:81", "X-Forwarded-Port": "8443"}, false, "http://[2001:db8::5]:81", "10.0.0.7",
		},
		{
			"ports that are none", proxies, "", "10.0.0.7:5", map[string]string{"X-Forwarded-Host": "h", "X-Forwarded-Port": "99999"}, false,
			"http://h", "10.0.0.7",
		},
		{
			"a host that is none", proxies, "", "10.0.0.7:5", map[string]string{"X-Forwarded-Host": "evil.example/x?"}, false,
			"http://example.com", "10.0.0.7",
		},
		{
			"two proxies", proxies, "", "10.0.0.7:5",
			map[string]string{"X-Forwarded-For": client + ", 192.168.0.1", "X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "chat.example.org, inner"},
			false, "https://chat.example.org", client,
		},
		{
			"what a client put before the proxy's word", proxies, "", "10.0.0.7:5", map[string]string{"X-Forwarded-For": "1.2.3.4, " + client}, false,
			"http://example.com", client,
		},
		{"a neighbour of a proxy", proxies, "", "10.0.0.8:5", map[string]string{"X-Forwarded-For": "1.2.3.4"}, false, "http://example.com", "10.0.0.8"},
		{"another scheme", proxies, "", "10.0.0.7:5", map[string]string{"X-Forwarded-Proto": "javascript"}, false, "http://example.com", "10.0.0.7"},
		{
			"by setting", proxies, "https://set.example/tim/", "10.0.0.7:5", map[string]string{"X-Forwarded-Host": "chat.example.org"}, false,
			"https://set.example/tim", "10.0.0.7",
		},
		{"loopback is trusted no more than others", proxies, "", "127.0.0.1:5", map[string]string{"X-Forwarded-For": "1.2.3.4"}, false, "http://example.com", "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := ParseProxies(tt.trusted, tt.public)
			must(t, err)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			for name, value := range tt.headers {
				r.Header.Set(name, value)
			}
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			same(t, "base, address", [2]string{tt.base, tt.address}, [2]string{p.base(r).String(), p.extractor()(r)})
		})
	}
}

// A header may come in several lines, which make one list.
func TestForwardedLines(t *testing.T) {
	t.Parallel()
	p, err := ParseProxies([]string{"10.0.0.0/8"}, "")
	must(t, err)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.7:5"
	r.Header["X-Forwarded-For"] = []string{"203.0.113.9", "10.0.0.1"}
	r.Header["X-Forwarded-Host"] = []string{"evil.example", "chat.example.org", " inner "}
	r.Header["X-Forwarded-Proto"] = []string{"http,", ",https", "http"}
	same(t, "base", "https://chat.example.org", p.base(r).String())
}

// Without a good Host, the address is where the request arrived.
func TestHostsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "a b", "a/b", "user@h", "h:port", "h:", "h:123456", "\"h\"", "[::1", "é.example"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		same(t, host, "http://localhost", Proxies{}.base(r).String())
		local := &net.TCPAddr{IP: net.IPv6loopback, Port: 8081}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
		same(t, host, "http://[::1]:8081", Proxies{}.base(r).String())
	}
}

func TestParsePublicURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "https://chat.example.org": "https://chat.example.org", "https://chat.example.org/": "https://chat.example.org",
		"HTTPS://Chat.Example.org:443/chat/": "https://chat.example.org/chat", "http://h:80": "http://h", "http://h:443/a/b": "http://h:443/a/b",
		"http://[::1]:8081/x": "http://[::1]:8081/x", "https://h/聊天": "https://h/%E8%81%8A%E5%A4%A9", "https://h/a%2Fb": "https://h/a%2Fb",
	} {
		got, err := ParsePublicURL(text)
		must(t, err)
		same(t, text, want, got)
	}
	for _, text := range []string{
		"chat.example.org", "ftp://h", "https://", "https:///x", "https://h?x", "https://h?", "https://h/#x", "https://u:p@h", "https://h//x",
		"https://h/x//", "https://h/../x", "https://h/./x", "/chat", " https://h", "https://:443",
	} {
		if got, err := ParsePublicURL(text); err == nil || !strings.Contains(err.Error(), "must ") {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
}

// The routes answer below the public address's path too. A route that is there as it was asked for comes first.
func TestRoutesBelowAPath(t *testing.T) {
	t.Parallel()
	sites := make(map[string]*site) // by public address
	for _, tt := range []struct {
		public, path string
		status       int
	}{
		{"https://h/chat/", "/chat/healthz", http.StatusOK},
		{"https://h/chat", "/healthz", http.StatusOK},
		{"https://h/chat", "/chat", http.StatusFound},
		{"https://h/chat", "/chat/", http.StatusFound},
		{"https://h/chat", "/chat/docs/docs.js", http.StatusOK},
		{"https://h/chat", "/chat/chat/healthz", http.StatusNotFound},
		{"https://h/chat", "/chatter/healthz", http.StatusNotFound},
		{"https://h/chat", "/CHAT/healthz", http.StatusNotFound},
		{"https://h/chat", "/chat/Tim/getFriends", http.StatusUnauthorized},
		{"https://h/chat", "/chat/Tim/UserLogin", http.StatusMethodNotAllowed},
		{"https://h/a/b", "/a/b/healthz", http.StatusOK},
		{"https://h/a/b", "/b/healthz", http.StatusNotFound},
		{"https://h/聊天", "/%E8%81%8A%E5%A4%A9/healthz", http.StatusOK},
		{"https://h/api", "/api/frames.yaml", http.StatusOK},
		{"https://h/api", "/api/api/frames.yaml", http.StatusOK},
		{"https://h/api", "/api/healthz", http.StatusOK},
		{"https://h/docs", "/docs/healthz", http.StatusNotFound}, // an asset's route
		{"https://h/docs", "/docs/Tim/getFriends", http.StatusUnauthorized},
		{"https://h/docs", "/docs", http.StatusOK},
		{"https://h/avatar", "/avatar/avatar/a%2fb?expires=1&signature=x", http.StatusForbidden},
	} {
		s := sites[tt.public]
		if s == nil { // a site reads the spec, which takes 0.1 s
			p, err := ParseProxies(nil, tt.public)
			must(t, err)
			s = newSite(t, func(o *Options) { o.Proxies = p })
			sites[tt.public] = s
		}
		if w := s.get(tt.path); w.Code != tt.status {
			t.Errorf("%s of %s: %d %s, want %d", tt.path, tt.public, w.Code, w.Body, tt.status)
		}
	}
}

func TestProxiesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "proxy", "10.0.0", "10.0.0.0/33", "10.0.0.7:80", "*"} {
		if _, err := ParseProxies([]string{"10.0.0.7", text}, ""); err == nil || !strings.Contains(err.Error(), "must be an address like") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever is forwarded, the address is a scheme and a host that may stand in a link.
func FuzzForwarded(f *testing.F) {
	f.Add("h", "203.0.113.9, 10.0.0.1", "evil.example, chat.example.org", "https", "8443")
	f.Add("[::1]:80", ",,", "a b", "HTTP", "0")
	f.Add("", "10.0.0.1", "[::1", "javascript", "99999")
	p, err := ParseProxies([]string{"10.0.0.0/8"}, "")
	must(f, err)
	f.Fuzz(func(t *testing.T, host, forwardedFor, forwardedHost, proto, port string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = "10.0.0.7:5", host
		r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Host"] = []string{forwardedFor}, []string{forwardedHost}
		r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Port"] = []string{proto}, []string{port}
		text := p.base(r).String()
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.User != nil || u.String() != text {
			t.Errorf("%q", text)
		}
	})
}
