package doors

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// house is doors and what they logged.
type house struct {
	*Doors

	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer.
func (h *house) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *house) logged(text string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Count(h.log.String(), text)
}

func open(t *testing.T, connections, perAddress int, trusted ...string) *house {
	t.Helper()
	h := &house{}
	var err error
	h.Doors, err = New(Options{
		Connections: connections, PerAddress: perAddress, Files: 4711, Message: "too \"many\" 连接", Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(h, nil)),
		Trusted: func(ip netip.Addr) bool {
			for _, one := range trusted {
				if netip.MustParseAddr(one) == ip {
					return true
				}
			}
			return false
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// from is a connection that claims to come from an address.
type from struct {
	net.Conn

	address string
}

// RemoteAddr implements net.Conn.
func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(f.address), 1234))
}

// Close implements net.Conn.
func (from) Close() error { return nil }

func TestConnections(t *testing.T) {
	t.Parallel()
	h := open(t, 10, 0)
	var conns []*conn
	for i := range 20 {
		c := h.admit(from{address: "192.0.2.1"})
		if (c != nil) != (i < 10) {
			t.Errorf("connection %d: %v", i, c)
		}
		if c != nil {
			conns = append(conns, c)
		}
	}
	if h.State() != Full || h.logged("new connections are refused") != 1 || h.logged("open_files_limit=4711") != 1 {
		t.Errorf("state %s, log %s", h.State(), &h.log)
	}
	for range 3 { // closing twice counts once
		_ = conns[0].Close()
	}
	if c := h.admit(from{address: "192.0.2.1"}); c == nil || h.admit(from{address: "192.0.2.2"}) != nil {
		t.Error("not one more is admitted")
	}
	if h.logged("new connections are refused") != 1 {
		t.Errorf("the episode is logged again: %s", &h.log)
	}
	_ = conns[1].Close()
	_ = conns[2].Close()
	if h.State() != OK || h.logged("accepted again") != 1 {
		t.Errorf("state %s, log %s", h.State(), &h.log)
	}
}

// What an address has open counts until it shows a token; proxies don't count, their clients do.
func TestAddresses(t *testing.T) {
	t.Parallel()
	h := open(t, 0, 2, "10.0.0.1")
	admit := func(address string) *conn { return h.admit(from{address: address}) }
	first, second := admit("192.0.2.1"), admit("::ffff:192.0.2.1")
	if first == nil || second == nil || admit("192.0.2.1") != nil || admit("192.0.2.2") == nil {
		t.Error("two of an address, and one of another, should be admitted")
	}
	ctx := h.Context(t.Context(), first)
	Authenticated(ctx)
	Authenticated(ctx)
	Authenticated(t.Context())
	if admit("192.0.2.1") == nil || admit("192.0.2.1") != nil {
		t.Error("one more should be admitted after one has shown a token")
	}
	_ = first.Close() // counts no more
	if admit("192.0.2.1") != nil {
		t.Error("the end of a connection with a token makes room for one without")
	}
	_ = second.Close()
	if admit("192.0.2.1") == nil {
		t.Error("the end of one without a token makes no room")
	}
	if admit("2001:db8::1") == nil || admit("2001:db8::ffff:1") == nil || admit("2001:db8::2") != nil || admit("2001:db8:0:1::1") == nil {
		t.Error("a network of /64 should count as one")
	}
	for range 10 {
		if admit("10.0.0.1") == nil {
			t.Error("a proxy is refused")
		}
	}
	if h.logged("too many connections without a token") != 1 {
		t.Errorf("the log: %s", &h.log)
	}
}

func TestRequestsOfProxies(t *testing.T) {
	t.Parallel()
	h := open(t, 0, 2, "10.0.0.1")
	leave, ok := h.Enter("192.0.2.1")
	if _, second := h.Enter("192.0.2.1"); !ok || !second {
		t.Error("two should enter")
	}
	if _, ok := h.Enter("192.0.2.1"); ok {
		t.Error("the third enters")
	}
	for range 3 { // leaving twice counts once
		leave()
	}
	_, third := h.Enter("192.0.2.1")
	if _, fourth := h.Enter("192.0.2.1"); !third || fourth {
		t.Error("one more should enter")
	}
	for range 5 {
		for _, free := range []string{"10.0.0.1", "", "no address"} {
			if _, ok := h.Enter(free); !ok {
				t.Errorf("%q is refused", free)
			}
		}
	}
	unlimited := open(t, 0, 0)
	for range 100 {
		if _, ok := unlimited.Enter("192.0.2.1"); !ok {
			t.Fatal("there is a limit")
		}
	}
}

// scripted is a listener whose answers are given.
type scripted struct {
	net.Listener

	errs []error
}

// Accept implements net.Listener.
func (s *scripted) Accept() (net.Conn, error) {
	if len(s.errs) == 0 {
		return from{address: "192.0.2.1"}, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, err
}

// That there are no descriptors left is logged once until there are some, and shown for a while.
func TestNoFilesLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, 0, 0)
		l := h.Listen(&scripted{errs: []error{
			os.NewSyscallError("accept", syscall.EMFILE), os.NewSyscallError("accept", syscall.ENFILE), os.NewSyscallError("accept", syscall.ECONNABORTED),
		}})
		for i, want := range []string{Files, Files, Files, Files} {
			_, err := l.Accept()
			if (err != nil) != (i < 3) || h.State() != want {
				t.Errorf("%d: %v, state %s", i, err, h.State())
			}
		}
		if h.logged("limit on open files is reached") != 1 || h.logged("accepted again") != 1 || h.logged("open_files_limit=4711") != 1 {
			t.Errorf("the log: %s", &h.log)
		}
		time.Sleep(filesFor)
		if h.State() != OK {
			t.Errorf("state %s", h.State())
		}
	})
}

// A connection that is refused gets an answer that a client of HTTP understands.
func TestRefusal(t *testing.T) {
	t.Parallel()
	h := open(t, 1, 0)
	tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute, ConnContext: h.Context}
	done := make(chan error, 1)
	go func() { done <- server.Serve(h.Listen(tcp)) }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	first := dial()
	if _, err := io.WriteString(first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Fatalf("the first: %v, %v", answer, err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(dial()), nil)
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !answer.Close {
		t.Fatalf("the second: %v, %v", answer, err)
	}
	var refused struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&refused); err != nil || refused.Code != 500 || refused.Message != `too "many" 连接` || refused.Reason != "too_many_connections" {
		t.Errorf("the second: %v, %v", refused, err)
	}
	if rest, err := io.ReadAll(answer.Body); len(rest) > 1 || err != nil {
		t.Errorf("behind the refusal: %q, %v", rest, err)
	}
	_ = first.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for h.State() != OK && ctx.Err() == nil { // until the server notices the end
		<-look.C
	}
	if err := server.Shutdown(ctx); err != nil || !errors.Is(<-done, http.ErrServerClosed) {
		t.Error(err)
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		wanted int
		files  uint64
		want   int
	}{
		{0, 0, 0}, {500, 0, 500}, {0, 1 << 40, 0}, {500, 1 << 40, 500},
		{0, 64, 32}, {0, 100, 50}, {0, 256, 192}, {0, 1024, 896}, {500, 1024, 500}, {5000, 1024, 896}, {100_000, 1 << 20, 100_000}, {0, 1 << 20, 1<<20 - 4096},
	} {
		if got := Within(tt.wanted, tt.files); got != tt.want {
			t.Errorf("%d within %d: %d, want %d", tt.wanted, tt.files, got, tt.want)
		}
	}
}

// What is admitted still tells when its peer has ended it: sockets look for that.
func TestAdmittedConnectionsShowTheirEnd(t *testing.T) {
	t.Parallel()
	h := open(t, 1, 1)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := h.Listen(plain)
	defer l.Close()
	peer, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	admitted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer admitted.Close()
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := admitted.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n, failed := -1, error(nil)
	err = raw.Read(func(fd uintptr) bool { // waits until there is something
		n, _, failed = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return !errors.Is(failed, syscall.EAGAIN)
	})
	if n != 0 || failed != nil || err != nil {
		t.Errorf("%d bytes, %v, %v; want the end", n, failed, err)
	}
	if _, err := (&conn{Conn: from{}}).SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("of what isn't from the system: %v", err)
	}
}
