package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a client's end of one of the server's sockets.
type socket struct{ *websocket.Conn }

// patience is how long a test waits for what must happen, also on a busy machine.
const patience = time.Minute

// dial opens a socket at a URL.
func dial(t testing.TB, base, path, token string) *socket {
	t.Helper()
	c, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(base, "http")+path, http.Header{"token": {token}})
	if err != nil {
		t.Fatalf("open %s: %v (%v)", path, err, response)
	}
	t.Cleanup(func() { _ = c.Close() }) // a test may have closed it
	return &socket{c}
}

// openChat opens the chat socket, which makes an account online, and reads its greeting.
func (s *site) openChat(t testing.TB, account, token string) *socket {
	t.Helper()
	return openChat(t, s.URL, account, token)
}

func openChat(t testing.TB, base, account, token string) *socket {
	t.Helper()
	c := dial(t, base, "/websocket/"+url.PathEscape(account), token)
	if hello := c.read(t); hello != `{"code":200,"message":"连接成功"}` {
		t.Fatalf("greeting of %s: %s", account, hello)
	}
	if users := c.read(t); !strings.HasPrefix(users, `{"users":[`) {
		t.Fatalf("second frame of %s: %s", account, users)
	}
	return c
}

func openDirect(t testing.TB, base, account, friend, token string) *socket {
	t.Helper()
	return dial(t, base, "/websocket/OneToOne/"+url.PathEscape(account)+"/"+url.PathEscape(friend), token)
}

// openGroup opens a group's socket and reads up to the list that ends its greeting.
func openGroup(t testing.TB, base string, group int32, account, token string) *socket {
	t.Helper()
	c := dial(t, base, fmt.Sprintf("/websocket/%d/%s", group, url.PathEscape(account)), token)
	for {
		text := c.read(t)
		if strings.HasPrefix(text, "当前群在线用户列表：") {
			return c
		}
		left := strings.HasPrefix(text, "当前群聊在线用户[") // of a socket that was closed just before
		if !left && !strings.HasPrefix(text, "用户") || strings.HasSuffix(text, "未上线") {
			t.Fatalf("greeting of group %d: %s", group, text)
		}
	}
}

// openModern opens a connection of tim.v1.
func openModern(t testing.TB, base, token string) *socket {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"tim.v1"}}
	c, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(base, "http")+"/websocket", http.Header{"token": {token}})
	if err != nil {
		t.Fatalf("open tim.v1: %v (%v)", err, response)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &socket{c}
}

// read returns the next frame.
func (c *socket) read(t testing.TB) string {
	t.Helper()
	frame, err := c.next()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return frame
}

func (c *socket) next() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	_, frame, err := c.ReadMessage()
	return string(frame), err
}

// message is a message as the contract's sockets have it.
type message struct {
	FromUser string `json:"fromUser"`
	Time     string `json:"time"`
	Message  string `json:"message"`
}

// nextMessage returns the next frame that is a message. It skips notices.
func (c *socket) nextMessage() (message, error) {
	for {
		frame, err := c.next()
		if err != nil {
			return message{}, err
		}
		var m message
		if json.Unmarshal([]byte(frame), &m) == nil && m.FromUser != "" {
			return m, nil
		}
	}
}

func (c *socket) readMessage(t testing.TB) message {
	t.Helper()
	m, err := c.nextMessage()
	if err != nil {
		t.Fatalf("read a message: %v", err)
	}
	return m
}

func (c *socket) write(t testing.TB, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// close closes cleanly. When it returns, the server has stored that everything before was read.
func (c *socket) close(t testing.TB) {
	t.Helper()
	err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
	if err != nil {
		t.Fatalf("close: %v", err)
	}
	for {
		if _, err := c.next(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Fatalf("close: %v", err)
			}
			return
		}
	}
}

// When a friend on the contract's socket has received a message, which its pong confirms, the sender is told so on tim.v1.
func TestOldFrontEndsConfirmToNewOnes(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a, b := s.enter(t, "cf.a"), s.enter(t, "cf.b")
		s.befriend(t, a, "cf.a", "cf.b")
		modern := openModern(t, s.URL, a)
		modern.write(t, `{"type":"sync","id":"s"}`)
		modern.readType(t, "synced")
		s.openChat(t, "cf.b", b)
		direct := openDirect(t, s.URL, "cf.b", "cf.a", b)
		into[sent](t, s.do(t, text(a, toUser("cf.b"), "1", "hi")))
		if m := direct.readMessage(t); m.Message != "hi" {
			t.Errorf("got %+v", m)
		}
		ended := make(chan struct{})
		go func() { // keeps reading, since a reader's pong is the confirmation
			defer close(ended)
			_, _ = direct.next()
		}()
		frame := modern.readType(t, "marks")
		diff(t, "marks", `{"account":"cf.b","conversation":{"user":"cf.b"},"read":1,"received":1,"type":"marks"}`, frame)
		_ = direct.Close()
		<-ended
	})
}

// readType returns the next frame of tim.v1 of a type, with its fields in alphabetical order.
func (c *socket) readType(t testing.TB, kind string) string {
	t.Helper()
	for {
		var frame map[string]any
		if err := json.Unmarshal([]byte(c.read(t)), &frame); err != nil {
			t.Fatal(err)
		}
		if frame["type"] == kind {
			return encodeJSON(t, frame)
		}
	}
}

// A client that closes cleanly, and doesn't wait for the answer because the server is slow to read it, gets later what was written to
// it meanwhile.
func TestNothingIsLostBehindACloseFrame(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a, b := s.enter(t, "bc.a"), s.enter(t, "bc.b")
		s.befriend(t, a, "bc.a", "bc.b")
		s.openChat(t, "bc.b", b)
		direct := openDirect(t, s.URL, "bc.b", "bc.a", b)
		for i := range 4 { // the server waits before it reads on
			direct.write(t, strconv.Itoa(i))
		}
		goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		if err := direct.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if err := direct.Close(); err != nil {
			t.Fatal(err)
		}
		into[sent](t, s.do(t, text(a, toUser("bc.b"), "1", "hi")))
		eventually(t, "the close frame is read", func() bool { return strings.Contains(s.metrics(t), `tim_sockets{kind="direct"} 0`) })
		if m := openDirect(t, s.URL, "bc.b", "bc.a", b).readMessage(t); m.Message != "hi" {
			t.Errorf("got %+v", m)
		}
	}, "--admin-listen=127.0.0.1:0", "--limit-send-rate=2", "--limit-send-burst=1")
}
