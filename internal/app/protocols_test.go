package app_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
)

// shake sends a handshake as it is written here, and returns the answer. WebSocket libraries write each header in one line.
func (s *site) shake(t *testing.T, path string, lines ...string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	head := append([]string{"GET " + path + " HTTP/1.1", "Host: " + s.Addr(), "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}, lines...)
	if _, err := fmt.Fprint(c, strings.Join(head, "\r\n"), "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// The subprotocols are a list, in as many lines and with as many blanks as a client likes. The answer is one of them: browsers
// close a socket whose answer names none.
func TestSubprotocols(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "sp.a")
	const p = "Sec-WebSocket-Protocol: "
	own := "token." + token
	upgrading := []string{"Connection: keep-alive", "connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"} // lists as well
	for _, tt := range []struct {
		name  string
		lines []string
		want  string // the answer on a socket of the contract
	}{
		{"together", []string{p + "tim.v1, " + own}, "tim.v1"},
		{"two lines", []string{p + "tim.v1", p + own}, "tim.v1"},
		{"two lines, the token first", []string{p + own, p + "tim.v1"}, "tim.v1"},
		{"no blank", []string{p + "tim.v1," + own}, "tim.v1"},
		{"many blanks", []string{p + " \t" + own + " \t,\t  tim.v1\t "}, "tim.v1"},
		{"empty entries", []string{p + ", ,tim.v1,,", p, p + "," + own + ","}, "tim.v1"},
		{"others too", []string{p + "chat, tim.v1", p + "soap, " + own}, "tim.v1"},
		{"the token alone", []string{p + own}, own},
		{"the token alone, after an empty line", []string{p, p + own}, own},
		{"the token and others", []string{p + "chat", p + own + ", soap"}, own},
		{"the token in the header, too", []string{"token: " + token, p + own}, own},
		{"the token in the header, another in the list", []string{"token: " + token, p + "token.x"}, ""},
		{"the token in the header, tim.v1 in the list", []string{"token: " + token, p + "tim.v1"}, "tim.v1"},
		{"the token in the header, another protocol", []string{"token: " + token, p + "chat"}, ""},
		{"no list", []string{"token: " + token}, ""},
	} {
		for path, wanted := range map[string]string{"/websocket/sp.a": tt.want, "/websocket": "tim.v1"} {
			answer := s.shake(t, path, slices.Concat(upgrading, tt.lines)...)
			got := answer.Header.Values("Sec-WebSocket-Protocol")
			switch {
			case path == "/websocket" && tt.want != "tim.v1":
				if answer.StatusCode != http.StatusBadRequest {
					t.Errorf("%s on tim.v1, without it in the list: %d", tt.name, answer.StatusCode)
				}
			case answer.StatusCode != http.StatusSwitchingProtocols:
				t.Errorf("%s on %s: %d", tt.name, path, answer.StatusCode)
			case wanted == "" && len(got) != 0, wanted != "" && !slices.Equal(got, []string{wanted}):
				t.Errorf("%s on %s: answered %q, want %q", tt.name, path, got, wanted)
			}
		}
	}
	if got := s.shake(t, "/websocket/sp.a", slices.Concat(upgrading, []string{p + "token.x", p + own})...); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("two tokens, the first of which is none: %d", got.StatusCode)
	}
	for line, want := range map[string]int{ // which the handshake has already
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==": http.StatusBadRequest, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==": http.StatusBadRequest,
		"Sec-WebSocket-Version: 13": http.StatusUpgradeRequired, "Sec-WebSocket-Version: 8": http.StatusUpgradeRequired,
	} {
		if got := s.shake(t, "/websocket/sp.a", slices.Concat(upgrading, []string{"token: " + token, line})...); got.StatusCode != want {
			t.Errorf("%s, a second time: %d, want %d", line, got.StatusCode, want)
		}
	}
	c, answer, err := (&websocket.Dialer{Subprotocols: []string{own}}).Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/websocket/sp.a", nil)
	if err != nil {
		t.Fatalf("gorilla: %v, %v", err, answer)
	}
	if c.Subprotocol() != own {
		t.Errorf("gorilla has %q", c.Subprotocol())
	}
	(&socket{c}).close(t)
	s.Shutdown(t)
	if strings.Contains(s.Log.String(), token) {
		t.Error("the log holds the token")
	}
}
