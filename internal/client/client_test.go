package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// serve runs a server whose every socket f serves, and returns a connection to it.
func serve(t *testing.T, d Dialer, f func(ws *websocket.Conn)) *Conn {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{Protocol}}
	served := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		f(ws)
	}))
	d.Handshake, d.Write = 10*time.Second, 10*time.Second
	c, err := d.Dial(t.Context(), Endpoint{Server: server.URL, Path: Path, Protocol: Protocol, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-served
		server.Close()
	})
	return c
}

// Between the client's goodbye and the server's answer everything is read, pings or not: the server counts it as read.
func TestCleanCloseReadsOn(t *testing.T) {
	t.Parallel()
	c := serve(t, Dialer{}, func(ws *websocket.Conn) {
		ws.SetCloseHandler(func(int, string) error { return nil }) // answered below
		_, _, err := ws.ReadMessage()
		if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Errorf("the server reads %v", err)
		}
		_ = ws.WriteMessage(websocket.TextMessage, []byte("before the ping"))
		_ = ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		_ = ws.WriteMessage(websocket.TextMessage, []byte("after the ping"))
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	})
	c.CloseCleanly()
	for _, want := range []string{"before the ping", "after the ping"} {
		if frame, err := c.Read(); err != nil || string(frame) != want {
			t.Fatalf("%q, %v; want %q", frame, err, want)
		}
	}
	if _, err := c.Read(); CloseCode(err) != websocket.CloseNormalClosure {
		t.Errorf("the answer is %v", err)
	}
}

func TestSilenceEndsTheConnection(t *testing.T) {
	t.Parallel()
	c := serve(t, Dialer{Silence: 100 * time.Millisecond}, func(ws *websocket.Conn) { _, _, _ = ws.ReadMessage() })
	if _, err := c.Read(); err == nil || CloseCode(err) != 0 {
		t.Errorf("silence ends in %v", err)
	}
}

func TestRefusedHandshake(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no token", http.StatusUnauthorized)
	}))
	defer server.Close()
	d := Dialer{Handshake: 10 * time.Second, Write: time.Second}
	_, err := d.Dial(t.Context(), Endpoint{Server: server.URL, Path: Path, Token: "t"})
	if !RefusedWith(err, http.StatusUnauthorized) || RefusedWith(err, http.StatusForbidden) || !strings.Contains(err.Error(), "no token") {
		t.Errorf("%v", err)
	}
	server.Close()
	if _, err := d.Dial(t.Context(), Endpoint{Server: server.URL, Path: Path}); err == nil || RefusedWith(err, http.StatusUnauthorized) {
		t.Errorf("without a server: %v", err)
	}
}

func TestHelloComesFirst(t *testing.T) {
	t.Parallel()
	for frame, good := range map[string]bool{`{"type":"hello"}`: true, `{"type":"message"}`: false} {
		c := serve(t, Dialer{}, func(ws *websocket.Conn) {
			_ = ws.WriteMessage(websocket.TextMessage, []byte(frame))
			_, _, _ = ws.ReadMessage()
		})
		if err := c.Hello(t.Context()); (err == nil) != good {
			t.Errorf("%s: %v", frame, err)
		}
	}
}
