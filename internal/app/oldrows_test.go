package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"tim/internal/apptest"
)

// Rows of an old database are served whatever they contain, although they couldn't be created now.
func TestOldRows(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		const odd = "We/ird %41?#&+ \U0001F600é"
		hash, err := bcrypt.GenerateFromPassword([]byte("1"), bcrypt.MinCost) // a password that registration would refuse
		if err != nil {
			t.Fatal(err)
		}
		db := database(t, s.Settings)
		run := func(statement string, values ...any) {
			t.Helper()
			statement = strings.NewReplacer("{user}", quoted(s.Settings, "user"), "{group}", quoted(s.Settings, "group")).Replace(statement)
			if _, err := db.ExecContext(t.Context(), statement, values...); err != nil {
				t.Fatal(err)
			}
		}
		const insert = "INSERT INTO {user} (account, password, username, age, sex) VALUES (?, ?, ?, ?, ?)"
		run(insert, odd, string(hash), "old\tname", nil, "unknown")
		run(insert, "old.plain", "123456", "x", -5, nil)
		run(insert, "old.null", nil, "x", 1000, "")
		run("INSERT INTO friends ({user}, friend) VALUES (?, ?)", odd, "old.gone") // a friend that doesn't exist
		run("INSERT INTO {group} (GroupID, GroupName, creator) VALUES (?, ?, ?)", 777, "old group", nil)
		run("INSERT INTO userofgroup (GroupID, account) VALUES (?, ?)", 777, "old.gone")

		token := tokenOf(t, s.tryLogin(t, odd, "1"))
		for _, account := range []string{"old.plain", "old.null"} {
			for _, password := range []string{"123456", "null", " "} {
				if got := s.tryLogin(t, account, password); got.status != http.StatusUnauthorized {
					t.Errorf("%s with %q: %d %s", account, password, got.status, got.body)
				}
			}
			s.befriend(t, token, odd, account)
		}
		empty := ""
		for _, friend := range s.friends(t, token, odd) {
			friend.ID = 0
			diff(t, "a friend", map[string]user{
				"old.plain": {Account: "old.plain", Username: "x", Age: -5}, "old.null": {Account: "old.null", Username: "x", Age: 1000, Sex: &empty},
			}[friend.Account], friend)
		}
		s.setAvatar(t, token, odd, jpgBytes(t))
		if got := s.avatar(t, token, odd); got != string(jpgBytes(t)) {
			t.Error("the avatar is another")
		}
		for _, route := range []string{"/Tim/joinGroup", "/Tim/joinGroup", "/Tim/leaveGroup", "/Tim/joinGroup"} {
			got := s.do(t, ask{method: http.MethodPost, path: query(route, "UserAccount", odd, "GroupID", "777"), token: token})
			if got.status != http.StatusOK {
				t.Errorf("%s: %d %s", route, got.status, got.body)
			}
		}
		if owner := s.ownerOf(t, 777); owner != "" {
			t.Errorf("a group without an owner got %q", owner)
		}
		chat := s.openChat(t, odd, token)
		members := dial(t, s.URL, "/websocket/777/"+url.PathEscape(odd), token)
		if hello := members.read(t); hello != "用户old\tname上线" {
			t.Errorf("the greeting is %q", hello)
		}
		members.write(t, "hi")
		if got := members.readMessage(t); got.FromUser != odd || got.Message != "hi" {
			t.Errorf("the echo is %+v", got)
		}
		members.close(t)
		chat.close(t)
		s.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: token}, "退出成功")
		if _, _, err := tim(t, s.Settings, apptest.Password+"\n", "passwd", "old.plain"); err != nil {
			t.Error(err)
		}
		s.login(t, "old.plain")
	})
}
