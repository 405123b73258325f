package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"tim/internal/apptest"
)

// A server that was stopped and started again on the same data has everything it had.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode)
			s := serve(t, settings)
			a, b := s.enter(t, "rs.a"), s.enter(t, "rs.b")
			ended := s.login(t, "rs.a")
			s.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: ended}, "退出成功")
			s.befriend(t, a, "rs.a", "rs.b")
			group := s.createGroup(t, a, "rs.a", "rs")
			join := ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", "rs.b", "GroupID", encodeJSON(t, group)), token: b}
			s.succeedsOnce(t, join, "加入群聊成功")
			picture := s.do(t, ask{path: "/uploadchatpic", token: a, form: fileForm(jpgBytes(t))}).body
			s.setAvatar(t, a, "rs.a", jpgBytes(t))
			link := s.do(t, ask{path: query("/headpicurl", "username", "rs.a"), token: a}).body
			s.sendWhileAway(t, a, group)
			s.Shutdown(t)

			old := s.URL
			s = serve(t, settings)
			if list := s.friends(t, a, "rs.a"); len(list) != 1 || list[0].Account != "rs.b" { // the session survives, too
				t.Errorf("friends: %+v", list)
			}
			s.refused(t, ask{path: "/Tim/UserLogout", token: ended}, unauthenticated("session_ended"))
			s.login(t, "rs.b")
			if got := s.ownerOf(t, group); got != "rs.a" {
				t.Errorf("the owner is %q", got)
			}
			if got := s.do(t, ask{path: query("/downloadchatpic", "filename", picture), token: b}); got.body != string(jpgBytes(t)) {
				t.Errorf("the picture: %d", got.status)
			}
			if got := s.do(t, ask{path: link[len(old):]}); got.body != string(jpgBytes(t)) {
				t.Errorf("the link from before: %d", got.status)
			}
			s.receiveMissed(t, b, group)
		})
	}
}

const away = 5

// sendWhileAway sends to a friend and to a group with a member that is away.
func (s *site) sendWhileAway(t *testing.T, token string, group int32) {
	t.Helper()
	chat := s.openChat(t, "rs.a", token)
	friend, members := openDirect(t, s.URL, "rs.a", "rs.b", token), openGroup(t, s.URL, group, "rs.a", token)
	for i := range away {
		friend.write(t, fmt.Sprintf("to you %d", i))
		members.write(t, fmt.Sprintf("to all %d", i))
		if got := members.readMessage(t); got.Message != fmt.Sprintf("to all %d", i) {
			t.Fatalf("the echo is %+v", got)
		}
	}
	friend.close(t) // afterwards the server has stored everything
	members.close(t)
	chat.close(t)
}

// receiveMissed opens twice what sendWhileAway has written to. The second time there is nothing.
func (s *site) receiveMissed(t *testing.T, token string, group int32) {
	t.Helper()
	s.openChat(t, "rs.b", token)
	for what, open := range map[string]func() *socket{
		"to you": func() *socket { return openDirect(t, s.URL, "rs.b", "rs.a", token) },
		"to all": func() *socket { return openGroup(t, s.URL, group, "rs.b", token) },
	} {
		c := open()
		for i := range away {
			got := c.readMessage(t)
			if got.Message != fmt.Sprintf("%s %d", what, i) || got.FromUser != "rs.a" {
				t.Errorf("missed message %d is %+v", i, got)
			}
		}
		c.close(t)
		again := open()
		if what == "to all" {
			again.write(t, "mine")
			if got := again.readMessage(t); got.Message != "mine" {
				t.Errorf("after a clean close came %+v", got)
			}
		}
		again.close(t)
	}
}

// A server's settings aren't part of its data: what was stored under other settings is still there.
func TestRestartOverKey(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Embedded)
	s := serve(t, settings)
	token := s.enter(t, "rk.a")
	s.Shutdown(t)
	settings.JWTKey = signingKey // a new key ends every token and nothing else
	s = serve(t, settings)
	s.refused(t, ask{path: "/Tim/UserLogout", token: token}, unauthenticated("invalid_token"))
	var data json.RawMessage
	if got := s.tryLogin(t, "rk.a", apptest.Password); got.status != http.StatusOK || json.Unmarshal(got.Data, &data) != nil {
		t.Errorf("login: %d %s", got.status, got.body)
	}
}
