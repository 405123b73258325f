package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// A node whose limit on open files is low keeps some for its database and files: with as many connections as it takes, a
// message and an upload on one of them are stored. It says so in the log and in /readyz, and goes on when there is room.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Embedded)
	p := spawnBy(t, settings, exec.Command("/bin/sh", "-c", `ulimit -n 100 && exec "$0" serve`, timBinary(t)))
	token := p.enter(t, "few.a")
	socket := p.openChat(t, "few.a", token)
	address := strings.TrimPrefix(p.URL, "http://")
	var conns []net.Conn
	refused := 0
	for range 200 {
		c := half(t, address, "")
		conns = append(conns, c)
	}
	for _, c := range conns { // those that are refused get an answer at once, or a reset
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			refused++
			var envelope struct {
				Reason string `json:"reason"`
			}
			if err := json.NewDecoder(answer.Body).Decode(&envelope); answer.StatusCode != http.StatusServiceUnavailable || err != nil || envelope.Reason != string(fault.TooManyConnections) {
				t.Errorf("refused with %d %v %v", answer.StatusCode, envelope, err)
			}
			saw(fault.TooManyConnections)
		}
	}
	if refused < 100 {
		t.Errorf("%d of 200 connections are refused", refused)
	}
	if status, states := p.ready(t); status != http.StatusServiceUnavailable || states["connections"] != "full" || states["database"] != "ok" || states["files"] != "ok" {
		t.Errorf("ready: %d %v", status, states) // on the connection that the client has kept
	}
	p.register(t, "few.b")
	p.befriend(t, token, "few.a", "few.b")
	socket.write(t, `{"to":"few.a","text":"still here"}`)
	if got := socket.read(t); got != `[{"from":"few.a"},{"text":"still here"}]` {
		t.Errorf("the socket read %s", got)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "connections are accepted again", func() bool {
		status, states := p.ready(t)
		return status == http.StatusOK && states["connections"] == "ok"
	})
	for _, line := range []string{"connections are bounded by the limit on open files", "new connections are refused", "connections are accepted again"} {
		if got := strings.Count(p.Log.String(), line); got != 1 {
			t.Errorf("%q stands %d times in the log", line, got)
		}
	}
}

// Behind a proxy the requests of each client count, by the address that the proxy tells, until they show a good token.
func TestRequestsOfAnAddress(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-address-connections=3", "--trusted-proxies=127.0.0.1")
	token := s.enter(t, "ra.a")
	address := strings.TrimPrefix(s.URL, "http://")
	const client, other = "192.0.2.1", "192.0.2.2"
	for range 3 {
		half(t, address, "POST /Tim/UserLogin HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+client+"\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
	}
	ask4 := func(address, path, token string) answer {
		return s.do(t, ask{path: path, token: token, header: map[string]string{"X-Forwarded-For": address}})
	}
	eventually(t, "the fourth request is refused", func() bool { return ask4(client, "/healthz", "").status == http.StatusServiceUnavailable })
	got := ask4(client, "/healthz", "")
	if got.Reason != string(fault.TooManyConnections) || got.header.Get("Retry-After") == "" {
		t.Errorf("refused with %d %s", got.status, got.body)
	}
	for range 5 {
		if got := ask4(other, "/healthz", ""); got.status != http.StatusOK {
			t.Errorf("another address: %d %s", got.status, got.body)
		}
		if got := s.do(t, ask{path: "/healthz"}); got.status != http.StatusOK {
			t.Errorf("the proxy itself: %d %s", got.status, got.body)
		}
	}
	for range 5 { // more than the limit, under way at once, each with a token
		half(t, address, "POST /uploadmp4 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+other+"\r\ntoken: "+token+
			"\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n")
		eventually(t, "requests with a token don't count", func() bool { return ask4(other, "/healthz", "").status == http.StatusOK })
	}
}

// All sockets and requests of an account share its rate of sending.
func TestRateOfAnAccount(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-send-rate=0.001", "--limit-send-burst=3")
	token := s.enter(t, "rt.a")
	socket := s.openChat(t, "rt.a", token)
	for range 2 {
		socket.write(t, `{"to":"rt.a","text":"x"}`)
		socket.read(t)
	}
	message := ask{path: "/Tim/sendMessage", token: token, json: `{"to":{"user":"rt.b"},"clientId":"1","body":{"kind":"text","text":"x"}}`}
	eventually(t, "a message over REST is refused", func() bool { return s.do(t, message).Reason == string(fault.RateLimited) })
	message.token = s.login(t, "rt.a")
	if got := s.do(t, message); got.Reason != string(fault.RateLimited) {
		t.Errorf("in another session: %d %s", got.status, got.body)
	}
	message.token = s.enter(t, "rt.c")
	if got := s.do(t, message); got.Reason == string(fault.RateLimited) {
		t.Errorf("another account: %d %s", got.status, got.body)
	}
}

// What one address may open without a token is bounded also where no proxy stands before the node.
func TestConnectionsOfAnAddress(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-address-connections=5")
	token := s.enter(t, "ca.a") // on a connection that has shown a token then
	s.do(t, ask{path: "/Tim/getFriends?account=ca.a", token: token})
	address := strings.TrimPrefix(s.URL, "http://")
	var open []net.Conn
	for range 5 {
		open = append(open, half(t, address, ""))
	}
	answer, err := http.ReadResponse(bufio.NewReader(half(t, address, "")), nil)
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("the sixth: %v, %v", answer, err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(body), string(fault.TooManyConnections)) {
		t.Errorf("the sixth: %s, %v", body, err)
	}
	if got := s.do(t, ask{path: "/Tim/getFriends?account=ca.a", token: token}); got.status != http.StatusOK {
		t.Errorf("the connection with a token: %d %s", got.status, got.body)
	}
	for _, c := range open {
		_ = c.Close()
	}
	for range 10 { // sockets don't count once they are open
		eventually(t, "a socket opens", func() bool {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_, _ = io.WriteString(c, "GET /websocket/ca.a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\ntoken: "+token+"\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			return err == nil && answer.StatusCode == http.StatusSwitchingProtocols
		})
	}
}
