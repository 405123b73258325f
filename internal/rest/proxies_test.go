package rest

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
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
			same(t, "base, address", [2]string{tt.base, tt.address}, [2]string{p.base(r), p.extractor()(r)})
		})
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
