package app_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
)

// Tokens and passwords reach the server in many ways. None of them reaches the log, at any level.
func TestLogsKeepSecrets(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		const password, wrong = "a-very-secret-password", "a-wrong-secret-password"
		for _, account := range []string{"lo.a", "lo.b"} {
			s.do(t, ask{path: "/Tim/UserRegister", json: registration(t, account, map[string]any{"password": password})})
		}
		token := tokenOf(t, s.tryLogin(t, "lo.a", password))
		s.tryLogin(t, "lo.a", wrong)
		s.do(t, ask{path: "/Tim/UserLogin", json: `{"account":"lo.a","password":"` + password + `"`})
		s.do(t, ask{path: "/Tim/UserRegister", json: registration(t, "lo.a", map[string]any{"password": password})})
		s.do(t, ask{path: "/Tim/UserRegister", json: registration(t, "lo.c", map[string]any{"password": "\x01" + password})})
		s.do(t, ask{path: query("/Tim/getFriends", "account", "lo.a", "token", token)})
		s.do(t, ask{path: query("/Tim/getFriends", "account", "lo.a", "password", password), token: token})
		s.do(t, ask{path: query("/nothing", "token", token), token: token})
		s.do(t, ask{path: query("/Tim/UserLogin", "token", token, "password", password)})
		s.do(t, ask{path: query("/websocket/lo.b", "token", token), header: upgrade()})
		s.do(t, ask{path: query("/websocket/lo.a", "token", token+"x"), header: upgrade()})
		s.setAvatar(t, token, "lo.a", jpgBytes(t))
		link := s.do(t, ask{path: query("/headpicurl", "username", "lo.a"), token: token}).body
		parsed, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		s.do(t, ask{path: parsed.RequestURI()})

		base := "ws" + strings.TrimPrefix(s.URL, "http")
		for name, open := range map[string]func() (*websocket.Conn, *http.Response, error){
			"query": func() (*websocket.Conn, *http.Response, error) {
				return websocket.DefaultDialer.Dial(base+"/websocket/lo.a?token="+token, nil)
			},
			"subprotocol": func() (*websocket.Conn, *http.Response, error) {
				return (&websocket.Dialer{Subprotocols: []string{"tim.v1", "token." + token}}).Dial(base+"/websocket/lo.a", nil)
			},
		} {
			c, response, err := open()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if chosen := response.Header.Get("Sec-WebSocket-Protocol"); strings.Contains(chosen, token) || name == "subprotocol" && chosen != "tim.v1" {
				t.Errorf("%s: the answer's protocol is %q", name, chosen)
			}
			(&socket{c}).close(t)
		}
		s.Shutdown(t)
		log := s.Log.String()
		for what, secret := range map[string]string{
			"a password": password, "a wrong password": wrong, "a token": token, "a signature of a token": token[strings.LastIndex(token, ".")+1:],
			"a link's signature": parsed.Query().Get("signature"), "a hash": "$2a$",
		} {
			if strings.Contains(log, secret) {
				t.Errorf("the log holds %s", what)
			}
		}
		if s.Settings.JWTKey != "" && strings.Contains(log, s.Settings.JWTKey) {
			t.Error("the log holds the signing key")
		}
	})
}

// No answer has a field for a password.
func TestAnswersKeepSecrets(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "as.a")
	s.register(t, "as.b")
	s.befriend(t, token, "as.a", "as.b")
	for what, a := range map[string]ask{
		"registration": {path: "/Tim/UserRegister", json: registration(t, "as.c", nil)},
		"login":        {path: "/Tim/UserLogin", json: `{"account":"as.a","password":"123456"}`},
		"friends":      {path: query("/Tim/getFriends", "account", "as.a"), token: token},
		"taken":        {path: "/Tim/UserRegister", json: registration(t, "as.a", nil)},
		"too short":    {path: "/Tim/UserRegister", json: registration(t, "as.d", map[string]any{"password": "12345"})},
	} {
		got := s.do(t, a)
		if strings.Contains(got.body, "$2a$") || strings.Contains(got.body, "123456") || strings.Contains(got.body, "12345") ||
			strings.Contains(strings.ToLower(got.body), `"password":`) {
			t.Errorf("%s: %s", what, got.body)
		}
	}
}

// Each request has one line in the log, with the id that its answer carries.
func TestLogLines(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "ll.a")
	ids := map[string]int{}
	for _, a := range []ask{
		{path: query("/Tim/getFriends", "account", "ll.a"), token: token}, {path: "/nothing"}, {path: "/Tim/UserLogout", method: http.MethodPut},
		{path: query("/downloadmp3", "filename", "x"), token: token}, {path: "/websocket/ll.a"}, {path: "/healthz"},
	} {
		id := s.do(t, a).header.Get("Tim-Request-Id")
		if id == "" {
			t.Errorf("%s: no request id", a.path)
		}
		ids[id] = 0
	}
	s.Shutdown(t)
	lines := bufio.NewScanner(strings.NewReader(s.Log.String()))
	for lines.Scan() {
		var line struct {
			Msg     string `json:"msg"`
			Request string `json:"request"`
			Method  string `json:"method"`
			Path    string `json:"path"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("%v: %s", err, lines.Text())
		}
		if _, ours := ids[line.Request]; ours && line.Msg == "request" {
			ids[line.Request]++
			if line.Method == "" || line.Path == "" {
				t.Errorf("a line lacks something: %s", lines.Text())
			}
		}
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("request %s has %d lines", id, n)
		}
	}
}
