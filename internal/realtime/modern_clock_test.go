package realtime_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"tim/internal/apptest"
	"tim/internal/auth"
	"tim/internal/chat"
)

// jump makes the clock jump, as far as a server can tell: all that is stored was stored that much earlier, by the clock
// as it is now. What a server keeps in memory is measured by Go's monotonic clock, which doesn't jump.
func jump(t *testing.T, dsn string, by time.Duration) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	must(t, err)
	defer db.Close()
	for _, statement := range []string{
		"UPDATE message SET sent_at = sent_at - ?", "UPDATE conversation SET created_at = created_at - ?",
		"UPDATE userofgroup SET joined_at = joined_at - ?",
		"UPDATE session SET created_at = created_at - ?", "UPDATE session SET used_at = used_at - ?", "UPDATE session SET expires_at = expires_at - ?",
	} {
		_, err := db.ExecContext(t.Context(), statement, by.Milliseconds())
		must(t, err)
	}
}

// issued is a session's token as a node signs it whose clock is ahead by so much.
func (n *node) issued(session string, ahead time.Duration) string {
	n.t.Helper()
	var claims jwt.RegisteredClaims
	key := make([]byte, auth.MinKeyBytes)
	_, err := jwt.ParseWithClaims(n.tokens[session], &claims, func(*jwt.Token) (any, error) { return key, nil })
	must(n.t, err)
	claims.IssuedAt = jwt.NewNumericDate(claims.IssuedAt.Add(ahead))
	claims.ExpiresAt = jwt.NewNumericDate(claims.ExpiresAt.Add(ahead))
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	must(n.t, err)
	return token
}

// A clock that jumps an hour, ahead or back, changes no order and no window: sockets live on, messages come in the order of
// their seq, live and by sync and in the history, a client id is remembered, marks only grow, who is online stays so,
// and sessions go on.
func TestModernClockJumps(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := mariaDB(t)
			n := startNode(t, setup{dsn: dsn})
			n.users("alice", "bob", "carol")
			group, target := who{Group: n.group("alice", "bob", "carol")}, chat.ToGroup(0)
			target.Group = int32(group.Group)
			alice, bob, away := n.device("alice"), n.device("bob"), n.device("carol")
			for _, d := range []*device{bob, away} {
				d.has[group] = 3
				d.sync()
			}
			const each = 10
			say := func(prefix string) {
				for _, text := range numbered(prefix, each) {
					bob.upTo(group, alice.say(group, text))
				}
			}
			say("before")
			away.upTo(group, 3+each/2)
			away.cut()
			if f := bob.ask("read", map[string]any{"conversation": group, "seq": 3 + each}); f.Type != "marked" {
				t.Errorf("mark: %s", f.text)
			}
			first := alice.ask("send", textTo(group, "kept", "kept"))
			bob.upTo(group, first.Seq)
			jump(t, dsn, by)

			say("after")
			want := append(append(numbered("before", each), "kept"), numbered("after", each)...)
			away = away.again(n.world)
			away.sync()
			away.upTo(group, int64(3+len(want)))
			for _, d := range []*device{bob, away} {
				if diff := cmp.Diff(want, d.texts[group]); diff != "" {
					t.Errorf("sent (-) and what %s got (+):\n%s", d.session, diff)
				}
			}
			if diff := cmp.Diff(want, n.history("carol", target)); diff != "" {
				t.Errorf("sent (-) and the history (+):\n%s", diff)
			}
			if f := alice.ask("send", textTo(group, "kept", "kept")); f.Seq != first.Seq {
				t.Errorf("a retry is %s, the first was %s", f.text, first.text)
			}
			if f := bob.ask("read", map[string]any{"conversation": group, "seq": 1}); f.Type != "marked" || !n.hasRead("bob", target, 3+each) {
				t.Errorf("an older mark: %s", f.text)
			}
			if !n.isOnline("alice") || !n.isOnline("bob") {
				t.Error("who is there is not online")
			}
			n.sessionsGoOn(by)
			if f := alice.ask("renew", nil); f.Type != "renewed" {
				t.Errorf("renew: %s", f.text)
			}
		})
	}
}

func (n *node) hasRead(account string, in chat.Target, seq int64) bool {
	n.t.Helper()
	page, err := n.service.Conversations(n.t.Context(), account, account, "", 10)
	must(n.t, err)
	for _, c := range page {
		if c.Target == in {
			return c.ReadSeq == seq
		}
	}
	return false
}

// sessionsGoOn wants those begun before a jump to live, for a node that has never seen them, and a login not to end them.
func (n *node) sessionsGoOn(by time.Duration) {
	n.t.Helper()
	token, _, err := n.auth.Login(n.t.Context(), "alice", apptest.Password, "127.0.0.1", "another device")
	must(n.t, err)
	passwords, err := auth.NewPasswords(4)
	must(n.t, err)
	other := auth.New(auth.Options{
		DB: n.db, Passwords: passwords, Key: make([]byte, auth.MinKeyBytes), Log: slog.New(slog.DiscardHandler), Ended: n.feed.SessionEnded,
	})
	tokens := map[string]string{"of the new session": token}
	for session := range n.tokens {
		tokens[fmt.Sprint("of ", session)] = n.tokens[session]
	}
	if by < 0 { // the clock was ahead when it was signed
		tokens["from the future"] = n.issued("bob", -by)
	}
	for what, token := range tokens {
		session, err := other.Authenticate(n.t.Context(), token)
		if err != nil {
			n.t.Errorf("the token %s: %v", what, err)
			continue
		}
		if _, _, err := other.Exchange(n.t.Context(), session); err != nil {
			n.t.Errorf("the token %s can't be renewed: %v", what, err)
		}
	}
	logins, err := other.Sessions(n.t.Context(), "alice")
	if must(n.t, err); len(logins) != 2 {
		n.t.Errorf("alice has %d sessions, want 2", len(logins))
	}
}
