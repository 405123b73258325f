package app_test

import (
	"database/sql"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/testserver"
)

// runs returns a function that runs statements on a server's database. {user} and {group} are quoted.
func runs(t *testing.T, db *sql.DB, settings app.Settings) func(statement string, values ...any) {
	t.Helper()
	return func(statement string, values ...any) {
		t.Helper()
		statement = strings.NewReplacer("{user}", quoted(settings, "user"), "{group}", quoted(settings, "group")).Replace(statement)
		if _, err := db.ExecContext(t.Context(), statement, values...); err != nil {
			t.Fatal(err)
		}
	}
}

// A new account gets nothing of one of the same name that was deleted from the database.
func TestNewAccountInheritsNothing(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		db := database(t, s.Settings)
		run := runs(t, db, s.Settings)
		a, old := s.enter(t, "he.a"), s.enter(t, "he.b")
		s.befriend(t, a, "he.a", "he.b")
		group := s.createGroup(t, old, "he.b", "he")
		run("DELETE FROM {user} WHERE account = ?", "he.b")
		token := s.enter(t, "he.b")
		if got := s.friends(t, token, "he.b"); len(got) != 0 {
			t.Errorf("it has the friends %v", got)
		}
		if got := s.friends(t, a, "he.a"); len(got) != 0 {
			t.Errorf("the other has the friends %v", got)
		}
		if groups := s.succeeds(t, get(token, "/Tim/getGroups", "account", "he.b"), "ok", "ok"); strings.Contains(string(groups.Data), "GroupID") {
			t.Errorf("it is in %s", groups.Data)
		}
		if owner := s.ownerOf(t, group); owner != "" {
			t.Errorf("%s owns its group", owner)
		}
		if got := s.do(t, ask{path: query("/Tim/getFriends", "account", "he.b"), token: old}); got.Reason != "session_ended" && got.status == http.StatusOK {
			t.Logf("a session that was checked within five seconds: %s", got.body) // as after every end that no node was told of
		}
		var sessions int
		err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM session WHERE account = 'he.b'").Scan(&sessions)
		if err != nil || sessions != 1 {
			t.Errorf("%d sessions, %v", sessions, err)
		}
	})
}

// original fills a database with the original's tables and odd accounts, which all have the password 123456.
func original(t *testing.T, dsn string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("123456"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run := func(statement string, values ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, values...); err != nil {
			t.Fatal(err)
		}
	}
	const ci = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
	run("CREATE TABLE `user` (id int AUTO_INCREMENT PRIMARY KEY, account varchar(100) NOT NULL UNIQUE KEY, password varchar(500), username varchar(100) NOT NULL, age int, sex varchar(100), OnlineStatus int DEFAULT 0)" + ci)
	run("CREATE TABLE friends (`user` varchar(100), friend varchar(100), PRIMARY KEY (`user`, friend))" + ci)
	run("CREATE TABLE `group` (GroupName varchar(50) NOT NULL UNIQUE KEY, GroupID int AUTO_INCREMENT PRIMARY KEY, creator varchar(50))" + ci)
	run("CREATE TABLE userofgroup (GroupID int, account varchar(100), PRIMARY KEY (GroupID, account))" + ci)
	for account := range oddAccounts() {
		run("INSERT INTO `user` (account, username, password) VALUES (?, ?, ?)", account, "name of "+account, string(hash))
		run("INSERT INTO friends VALUES (?, 'boss'), ('BOSS', ?)", account, strings.ToUpper(account))
		run("INSERT INTO userofgroup VALUES (1, ?)", strings.ToUpper(account))
	}
	run("INSERT INTO `user` (account, username, password) VALUES ('Boss', 'Boss', ?), ('plain', 'plain', 'secret')", string(hash))
	run("INSERT INTO `group` (GroupID, GroupName, creator) VALUES (1, 'all of them', 'bosS')")
	run("INSERT INTO userofgroup VALUES (1, 'boss'), (2, 'boss')")
	run("INSERT INTO friends VALUES ('boss', 'ghost'), ('ghost', 'boss')")
}

// oddAccounts are accounts that can't be registered, with what they are afterwards.
func oddAccounts() map[string]string {
	return map[string]string{
		"..": "..", ".": ".", "a/b": "a/b", "/": "/", "100%": "100%", "%2e%2e": "%2e%2e", "tail ": "tail ", " lead": " lead",
		"jose\u0301": "jos\u00e9", "\U0001f600": "\U0001f600", "x?y#z&w=+": "x?y#z&w=+", "back\\slash": "back\\slash", "~Li4": "~Li4", `q"'`: `q"'`, ";,": ";,",
	}
}

// Every account of an old database logs in, has its friends and groups, chats and has an avatar.
func TestOldDatabaseOfOddAccounts(t *testing.T) {
	t.Parallel()
	dsn := testserver.Database(t)
	original(t, dsn)
	settings := apptest.Settings(t, apptest.Embedded, "--mysql-dsn="+dsn)
	said, errs, err := tim(t, settings, "", "migrate", "--report")
	for _, part := range []string{`"plain"`, "plain passwords", `"ghost"`, `"jose\u0301" is "josé"`, "nothing was changed"} {
		if err != nil || !strings.Contains(said, part) {
			t.Errorf("the report has no %s: %v %s %s", part, err, errs, said)
		}
	}
	done, errs, err := tim(t, settings, "", "migrate")
	if err != nil || !strings.Contains(done, strings.TrimSuffix(said, "nothing was changed\n")) {
		t.Errorf("migrate says something else: %v %s %s", err, errs, done)
	}
	s := serve(t, settings)
	boss := s.login(t, "Boss")
	if got := s.friends(t, boss, "Boss"); len(got) != len(oddAccounts()) {
		t.Errorf("Boss has %d friends", len(got))
	}
	chat := s.openChat(t, "Boss", boss)
	all := openGroup(t, s.URL, 1, "Boss", boss)
	for was, is := range oddAccounts() {
		token := tokenOf(t, s.tryLogin(t, was, "123456"))
		if friends := s.friends(t, token, was); len(friends) != 1 || friends[0].Account != "Boss" {
			t.Errorf("%q has the friends %v", was, friends)
		}
		mine := dial(t, s.URL, "/websocket/"+escaped(is), token)
		if hello := mine.read(t); hello != `{"code":200,"message":"连接成功"}` {
			t.Errorf("%q is greeted with %s", is, hello)
		}
		mine.read(t)
		group := openGroupAs(t, s, is, token)
		group.write(t, "hello of "+is)
		if got := all.readMessage(t); got.FromUser != is || got.Message != "hello of "+is {
			t.Errorf("%q: the group reads %+v", is, got)
		}
		direct := dial(t, s.URL, "/websocket/OneToOne/"+escaped(is)+"/Boss", token)
		direct.write(t, "to you")
		opposite := dial(t, s.URL, "/websocket/OneToOne/Boss/"+escaped(is), boss)
		if got := opposite.readMessage(t); got.FromUser != is || got.Message != "to you" {
			t.Errorf("%q: %+v", is, got)
		}
		s.setAvatar(t, token, is, jpgBytes(t))
		if got := s.avatar(t, token, is); got != string(jpgBytes(t)) {
			t.Errorf("%q: the avatar is another", is)
		}
		link := s.do(t, ask{path: query("/headpicurl", "username", is), token: token}).body
		parsed, err := url.Parse(link)
		if err != nil || strings.Contains(link, "%2F") || parsed.JoinPath().EscapedPath() != parsed.EscapedPath() || !strings.HasPrefix(parsed.Path, "/avatar/") {
			t.Errorf("%q: a browser or proxy would change the link %s: %v", is, link, err)
		}
		for _, c := range []*socket{group, direct, opposite, mine} {
			c.close(t)
		}
	}
	chat.close(t)
}

// escaped is an account in a path, as a careful client writes it.
func escaped(account string) string {
	if strings.Trim(account, ".") == "" {
		return strings.ReplaceAll(account, ".", "%2E")
	}
	return url.PathEscape(account)
}

func openGroupAs(t *testing.T, s *site, account, token string) *socket {
	t.Helper()
	c := dial(t, s.URL, "/websocket/1/"+escaped(account), token)
	for {
		if text := c.read(t); strings.HasPrefix(text, "当前群在线用户列表：") {
			return c
		}
	}
}
