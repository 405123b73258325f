package app_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// half sends a part of a request.
func half(t testing.TB, address, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err == nil {
		_, err = io.WriteString(c, text)
	}
	if err == nil {
		err = c.SetDeadline(time.Now().Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A stop doesn't wait for requests that don't come: not for their header, nor for a body that is read, nor for one that isn't.
func TestStopWithHalfRequests(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--drain-timeout=1m")
	address := strings.TrimPrefix(s.URL, "http://")
	const host = " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
	conns := []net.Conn{
		half(t, address, ""), half(t, address, "GET /hea"), half(t, address, "GET /healthz"+host+"\r\n"), half(t, address, "GET /unknown"+host+"\r\n123"),
	}
	login := half(t, address, "POST /Tim/UserLogin"+host+"Content-Type: application/json\r\n\r\n{")
	seen := bufio.NewReader(conns[2])
	if _, err := http.ReadResponse(seen, nil); err != nil { // by then the server has accepted the others, too
		t.Fatal(err)
	}
	begun := time.Now()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Shutdown(t)
	}()
	answer, err := http.ReadResponse(bufio.NewReader(login), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), string(fault.RequestTimeout)) {
		t.Errorf("half a login: %d %s, %v", answer.StatusCode, body, err)
	}
	saw(fault.RequestTimeout)
	for _, c := range append(conns, login) {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection outlives the stop")
		}
	}
	<-stopped
	if took := time.Since(begun); took > 15*time.Second { // 2 s on a machine that has nothing else to do
		t.Errorf("the stop took %v", took)
	}
}

// The admin listener doesn't wait for bodies.
func TestHalfAdminRequests(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--admin-listen=127.0.0.1:0")
	for path, host := range map[string]string{"/metrics": s.AdminAddr(), "/debug/pprof/": s.AdminAddr(), "/none": s.AdminAddr(), "/": "another.example"} {
		c := half(t, s.AdminAddr(), "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 10\r\n\r\n")
		begun := time.Now()
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || !answer.Close {
			t.Fatalf("%s: %v, %v", path, answer, err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) > 20*time.Second {
			t.Errorf("%s: the connection goes on for %v: %v", path, time.Since(begun), err)
		}
	}
}
