package blob

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// connected returns both ends of a TCP connection.
func connected(t testing.TB) (client, server net.Conn) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

// TestProgressConnStalls: neither a Read from an idle peer nor a Write to it waits for ever.
func TestProgressConnStalls(t *testing.T) {
	t.Parallel()
	client, _ := connected(t)
	conn := progressConn{client, 50 * time.Millisecond}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := io.Copy(conn, zeros{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Copy = %d, %v", n, err)
	}
}

// TestProgressConnMoves: a Read waits as long as something is written, and works again after a stall.
func TestProgressConnMoves(t *testing.T) {
	t.Parallel()
	const limit = 400 * time.Millisecond
	client, server := connected(t)
	conn := progressConn{client, limit}
	go func() { _, _ = io.Copy(io.Discard, server) }()
	answered := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		answered <- err
	}()
	tick := time.NewTicker(limit / 8)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < 2*limit; <-tick.C {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("Read: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	if _, err := server.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("Read after a stall: %v", err)
	}
}
