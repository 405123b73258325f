package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// The admin listener answers to this server's own hosts.
func TestAdminHosts(t *testing.T) {
	t.Parallel()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	on := func(setting, ip string) *adminHosts {
		return newAdminHosts(setting, &net.TCPAddr{IP: net.ParseIP(ip), Port: 8082}, http.NotFoundHandler())
	}
	loopback, one, all := on("127.0.0.1:8082", "127.0.0.1"), on("10.0.0.7:8082", "10.0.0.7"), on(":8082", "::")
	named, six := on("Metrics.internal.example:8082", "10.0.0.7"), on("[::1]:8082", "::1")
	for _, tt := range []struct {
		host  string
		taken []*adminHosts
	}{
		{"", []*adminHosts{loopback, one, all, named, six}}, // HTTP/1.0
		{"localhost:8082", []*adminHosts{loopback, one, all, named, six}},
		{"LOCALHOST", []*adminHosts{loopback, one, all, named, six}},
		{"localhost.:8082", []*adminHosts{loopback, one, all, named, six}},
		{"127.0.0.1:8082", []*adminHosts{loopback, one, all, named, six}},
		{"127.8.9.10", []*adminHosts{loopback, one, all, named, six}},
		{"[::1]:8082", []*adminHosts{loopback, one, all, named, six}},
		{"[::1]", []*adminHosts{loopback, one, all, named, six}},
		{"[::ffff:127.0.0.1]:80", []*adminHosts{loopback, one, all, named, six}},
		{"10.0.0.7:8082", []*adminHosts{one, all, named}},
		{"192.0.2.9:9999", []*adminHosts{one, all, named}}, // a port of the host of a container
		{"[2001:db8::1]:8082", []*adminHosts{one, all, named}},
		{"tim1:8082", []*adminHosts{one, all, named}},
		{machine + ":8082", []*adminHosts{one, all, named}},
		{"metrics.internal.example:8082", []*adminHosts{named}},
		{"metrics.internal.example", []*adminHosts{named}},
		{"evil.example:8082", nil},
		{"localhost.evil.example:8082", nil},
		{"127.0.0.1.evil.example", nil},
		{"127.0.0.1.nip.io:8082", nil},
		{"0x7f.1:8082", nil},
		{"user@localhost:8082", nil},
		{"evil.example:localhost", nil},
		{"localhost:8082:8082", nil},
		{"[::1", nil},
		{".", nil},
	} {
		for name, h := range map[string]*adminHosts{"loopback": loopback, "one": one, "all": all, "named": named, "six": six} {
			want := http.StatusMisdirectedRequest
			for _, taken := range tt.taken {
				if taken == h {
					want = http.StatusNotFound // of the handler behind
				}
			}
			r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
			r.Host = tt.host
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%q on %s: %d, want %d", tt.host, name, w.Code, want)
			}
		}
	}
}
