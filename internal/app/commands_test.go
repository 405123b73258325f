package app_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/testserver"
)

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Embedded)
	out, errs, err := tim(t, settings, "", "version")
	if err != nil || !strings.HasPrefix(out, app.Release+", commit ") || errs != "" {
		t.Errorf("version: %v %q %q", err, out, errs)
	}
	help, _, err := tim(t, settings, "", "serve", "--help")
	if err != nil {
		t.Error(err)
	}
	for _, part := range []string{"TIM_LISTEN", "TIM_LIMIT_VIDEO_BYTES", "--mysql-dsn", "8081"} {
		if !strings.Contains(help, part) {
			t.Errorf("serve --help says nothing of %s", part)
		}
	}
	for _, args := range [][]string{{}, {"nothing"}, {"serve", "--nothing"}, {"owner", "x", "y"}, {"passwd"}, {"serve", "--listen=x"}} {
		if out, errs, err := tim(t, settings, "", args...); err == nil || errs == "" {
			t.Errorf("tim %v: %v %q %q", args, err, out, errs)
		}
	}
}

func TestMigrateCommand(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]app.Settings{
		"embedded": apptest.Settings(t, apptest.Embedded), "mysql": apptest.Settings(t, apptest.Embedded, "--mysql-dsn="+testserver.Database(t)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, _, err := tim(t, settings, "", "migrate")
			if err != nil || !strings.Contains(first, "applied") || !strings.HasSuffix(first, "the database is up to date\n") {
				t.Errorf("the first time: %v %q", err, first)
			}
			second, _, err := tim(t, settings, "", "migrate")
			if err != nil || second != "the database is up to date\n" {
				t.Errorf("the second time: %v %q", err, second)
			}
			serve(t, settings).enter(t, "mi.a")
		})
	}
}

// Beside a running server, no command changes the schema; the server goes on, and so do commands when the database is up to date.
func TestNoCommandMigratesUnderAServer(t *testing.T) {
	t.Parallel()
	engines := map[string][]string{"embedded": nil}
	if testserver.Available() {
		engines["mysql"] = []string{"--mysql-dsn=" + testserver.Database(t)}
	}
	for name, flags := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, apptest.Embedded, flags...)
			s, db := serve(t, settings), database(t, settings)
			s.enter(t, "ms.a")
			var newest int
			if err := db.QueryRowContext(t.Context(), "SELECT MAX(version_id) FROM goose_db_version").Scan(&newest); err != nil {
				t.Fatal(err)
			}
			if _, errs, err := tim(t, settings, "123456\n", "passwd", "ms.a"); err != nil {
				t.Fatalf("up to date: %v %s", err, errs)
			}
			note := func(statement string) {
				t.Helper()
				if _, err := db.ExecContext(t.Context(), statement, newest); err != nil {
					t.Fatal(err)
				}
			}
			note("DELETE FROM goose_db_version WHERE version_id = ?") // as if this version had one more
			for _, args := range [][]string{
				{"migrate"}, {"passwd", "ms.a"}, {"adduser", "ms.b"}, {"owner", "1", "ms.a"}, {"invite"}, {"invite", "list"}, {"invite", "revoke", "0123456789"},
			} {
				if out, errs, err := tim(t, settings, "654321\n", args...); err == nil || !strings.Contains(errs, "stop the server") {
					t.Errorf("tim %v: %v %q %q", args, err, out, errs)
				}
			}
			var noted int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM goose_db_version WHERE version_id = ?", newest).Scan(&noted); err != nil || noted != 0 {
				t.Errorf("a refused command migrated: %d, %v", noted, err)
			}
			note("INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)")
			s.login(t, "ms.a")
			if out, errs, err := tim(t, settings, "", "migrate"); err != nil || out != "the database is up to date\n" {
				t.Errorf("up to date again: %v %q %q", err, out, errs)
			}
		})
	}
}

// The operator's commands work beside a running server, which notices what they did.
func TestOperatorCommands(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a, b := s.enter(t, "op.a"), s.enter(t, "op.b")
		group := s.createGroup(t, a, "op.a", "op")
		id := fmt.Sprint(group)
		s.succeedsOnce(t, ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", "op.b", "GroupID", id), token: b}, "加入群聊成功")

		if _, errs, err := tim(t, s.Settings, "", "owner", id, "op.b"); err != nil {
			t.Errorf("owner: %v %s", err, errs)
		}
		if got := s.ownerOf(t, group); got != "op.b" {
			t.Errorf("the owner is %q", got)
		}
		said := into[history](t, s.do(t, get(b, "/Tim/getHistory", "account", "op.b", "GroupID", id)))
		if len(said.Messages) != 1 || string(said.Messages[0].Body) != `{"kind":"notice","event":"owner","actor":"","account":"op.b"}` {
			t.Errorf("the history says %+v", said)
		}
		if out, errs, err := tim(t, s.Settings, "a new password\n", "passwd", "op.a"); err != nil || strings.Contains(out+errs, "a new password") {
			t.Errorf("passwd: %v %s %s", err, out, errs)
		}
		if got := s.tryLogin(t, "op.a", apptest.Password); got.status != http.StatusUnauthorized {
			t.Errorf("the old password: %d", got.status)
		}
		fresh := tokenOf(t, s.tryLogin(t, "op.a", "a new password"))
		eventually(t, "the sessions from before are refused", func() bool {
			return s.do(t, ask{path: query("/Tim/getFriends", "account", "op.a"), token: a}).Reason == "session_ended"
		})
		s.friends(t, fresh, "op.a")
		s.friends(t, b, "op.b")

		for _, tt := range []struct {
			input string
			args  []string
			want  string
		}{
			{"", []string{"passwd", "op.b"}, "no password"},
			{"12345\n", []string{"passwd", "op.b"}, "6 characters"},
			{strings.Repeat("密", 25) + "\n", []string{"passwd", "op.b"}, "72 bytes"},
			{"123456\n", []string{"passwd", "nobody"}, "account"},
			{"123456\n", []string{"passwd", "op.b "}, "account"},
			{"", []string{"owner", id, "nobody"}, "member"},
			{"", []string{"owner", "2147483647", "op.b"}, "group"},
		} {
			if _, errs, err := tim(t, s.Settings, tt.input, tt.args...); err == nil || !strings.Contains(errs, tt.want) {
				t.Errorf("tim %v with %q: %v %q, want %q", tt.args, tt.input, err, errs, tt.want)
			}
		}
		s.login(t, "op.b")
		if got := s.ownerOf(t, group); got != "op.b" {
			t.Errorf("a refused command made %q the owner", got)
		}
	})
}

// On SIGTERM the server tells its sockets to reconnect elsewhere, and the process ends by itself with status 0.
func TestTerminate(t *testing.T) {
	t.Parallel()
	p := spawn(t, apptest.Settings(t, apptest.Embedded))
	chat := p.openChat(t, "te.a", p.enter(t, "te.a"))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.next(); err == nil || !strings.Contains(err.Error(), "1001") {
		t.Errorf("the socket ends with %v, want 1001", err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("it ended: %v", p.err)
		}
	case <-time.After(patience):
		t.Error("it doesn't end")
	}
	if _, err := os.Stat(p.Settings.DataDir); err != nil {
		t.Error(err)
	}
}
