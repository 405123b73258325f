package client

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// What is written leaves when it is flushed, or when the reader has nothing left to read, all at once.
func TestBuffered(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	plain, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := &Conn{below: &buffered{Conn: plain, timeout: time.Second}}
	defer w.Close()
	peer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	in := make([]byte, 100)
	expect := func(want string) {
		t.Helper()
		_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := peer.Read(in)
		if err != nil || string(in[:n]) != want {
			t.Errorf("%q, %v; want %q", in[:n], err, want)
		}
	}
	for _, part := range []string{"a", "b", "c"} {
		if _, err := w.below.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	expect("abc")
	_, _ = w.below.Write([]byte("d"))
	_, _ = w.below.Write([]byte("e"))
	read := make(chan error, 1)
	go func() {
		_, err := w.below.Read(make([]byte, 1))
		read <- err
	}()
	expect("de")
	if _, err := peer.Write([]byte("f")); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	w.Reset()
	_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := peer.Read(in); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the connection ended in peace: %v", err)
	}
}
