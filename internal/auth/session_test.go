package auth

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/fault"
)

func TestLoginTellsNobodyWhichAccountsThereAre(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.exec(t, "INSERT INTO `user` (account, username, password) VALUES ('nopassword', 'x', NULL), ('broken', 'x', '$2a$10$short')")
		var texts []string
		for _, tt := range []struct{ account, password string }{
			{"alice", "1234567"},
			{"alice", ""},
			{"Alice", password},
			{"alice ", password},
			{"nobody", password},
			{"nopassword", ""},
			{"nopassword", password},
			{"broken", password},
		} {
			_, _, err := n.Login(t.Context(), tt.account, tt.password, "192.0.2.1", "")
			refused(t, err, fault.WrongCredentials)
			texts = append(texts, err.Error())
		}
		if len(slices.Compact(texts)) != 1 {
			t.Errorf("the refusals differ: %q", texts)
		}
		n.login(t, "alice")
	})
}

func TestAccountsAreNormalisedAtLogin(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "ren\u00e9")
		_, s := n.login(t, "rene\u0301")
		if s.Account != "ren\u00e9" {
			t.Errorf("the session is %q's", s.Account)
		}
	})
}

// A client's User-Agent may have any bytes and any length.
func TestDeviceIsKeptAsFarAsItCan(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		for device, want := range map[string]string{
			"":                       "",
			"Mozilla/5.0":            "Mozilla/5.0",
			strings.Repeat("密", 300): strings.Repeat("密", 200),
			"a\xff\xfeb":             "a\uFFFDb",
			"😀":                      "😀",
		} {
			token, _, err := n.Login(t.Context(), "alice", password, "192.0.2.1", device)
			if err != nil {
				t.Errorf("%q: %v", device, err)
				continue
			}
			s, err := n.Authenticate(t.Context(), token)
			must(t, err)
			var kept string
			must(t, n.raw.QueryRowContext(t.Context(), "SELECT device FROM session WHERE id = ?", s.ID).Scan(&kept))
			if kept != want {
				t.Errorf("%q is kept as %q", device, kept)
			}
		}
	})
}

func TestLogoutEndsOneSession(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		phone, onPhone := n.login(t, "alice")
		laptop, onLaptop := n.login(t, "alice")
		if onPhone.ID == onLaptop.ID {
			t.Fatal("two logins are one session")
		}
		must(t, n.Logout(t.Context(), onPhone))
		_, err := n.Authenticate(t.Context(), phone)
		refused(t, err, fault.SessionEnded)
		if _, err := n.Authenticate(t.Context(), laptop); err != nil {
			t.Errorf("the other session: %v", err)
		}
		if diff := cmp.Diff([]string{onPhone.ID}, n.toldOf()); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
		// Nothing revives the session: not a lost announcement, not another login, not a second announcement.
		_, err = n.CheckAll(t.Context(), []Session{onPhone})
		must(t, err)
		n.login(t, "alice")
		must(t, n.Logout(t.Context(), onPhone))
		_, err = n.Authenticate(t.Context(), phone)
		refused(t, err, fault.SessionEnded)
	})
}

func TestLogoutSucceedsThoughNobodyHears(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	token, s := n.login(t, "alice")
	n.fail = errBus
	must(t, n.Logout(t.Context(), s))
	_, err := n.Authenticate(t.Context(), token)
	refused(t, err, fault.SessionEnded)
}

func TestOtherNodesHearOfTheEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		other := n.beside()
		token, s := n.login(t, "alice")
		_, err := other.Authenticate(t.Context(), token)
		must(t, err)
		must(t, n.Logout(t.Context(), s))
		if _, err := other.Authenticate(t.Context(), token); err != nil {
			t.Errorf("a node that has seen it a moment ago asks nobody: %v", err)
		}
		other.Forget(s.ID, fault.SessionEnded)
		_, err = other.Authenticate(t.Context(), token)
		refused(t, err, fault.SessionEnded)
	})
}

func TestLostNewsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		other := n.beside()
		token, s := n.login(t, "alice")
		_, err := other.Authenticate(t.Context(), token)
		must(t, err)
		must(t, n.Logout(t.Context(), s))
		errs, err := other.CheckAll(t.Context(), []Session{s})
		must(t, err)
		refused(t, errs[0], fault.SessionEnded)
		_, err = other.Authenticate(t.Context(), token)
		refused(t, err, fault.SessionEnded)
	})
}

// CheckAll tells sessions that live from those that have ended, have expired or belong to another account, for more sessions
// than one statement takes. Afterwards the cache has those that live.
func TestCheckAll(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "bob")
		var sessions []Session
		var want []bool
		for i := range 250 {
			account := []string{"alice", "bob"}[i%2]
			s := Session{Account: account, ID: fmt.Sprintf("%s%d", account, i)}
			expires := time.Now().Add(time.Hour).UnixMilli()
			if i%5 == 1 {
				expires = time.Now().Add(-time.Second).UnixMilli()
			}
			if i%5 != 2 {
				n.exec(t, "INSERT INTO session (account, id, device, created_at, used_at, expires_at) VALUES (?, ?, '', ?, ?, ?)",
					account, s.ID, time.Now().UnixMilli(), time.Now().UnixMilli(), expires)
			}
			if i%5 == 3 {
				n.Forget(s.ID, fault.SessionEnded) // ended, though the database doesn't know it yet
			}
			if i%5 == 4 {
				s.Account = "nobody"
			}
			sessions, want = append(sessions, s), append(want, i%5 == 0)
		}
		errs, err := n.CheckAll(t.Context(), sessions)
		must(t, err)
		for i, err := range errs {
			if !want[i] {
				refused(t, err, fault.SessionEnded)
			} else if err != nil {
				t.Errorf("%s: %v", sessions[i].ID, err)
			}
		}
		n.exec(t, "DELETE FROM session")
		for i, s := range sessions {
			if err := n.Check(t.Context(), s); (err == nil) != want[i] {
				t.Errorf("%s, which has been seen a moment ago: %v", s.ID, err)
			}
		}
	})
}

// Whenever requests meet a logout, the session has ended when Logout returns, and doesn't come back.
func TestCheckRacingLogout(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		for range 100 {
			s := n.session(t, "alice") // not in the cache, so the checks ask the database
			// The checks then write as the logout does, and often later than they have read.
			n.exec(t, "UPDATE session SET used_at = 0, expires_at = ? WHERE id = ?", ms(time.Now().Add(time.Hour)), s.ID)
			var work sync.WaitGroup
			start := make(chan struct{})
			for range 3 {
				work.Go(func() {
					<-start
					if err := n.Check(t.Context(), s); err != nil && !fault.Is(err, fault.SessionEnded) {
						t.Errorf("check: %v", err)
					}
				})
			}
			close(start)
			must(t, n.Logout(t.Context(), s))
			if got := n.seen.look(s.ID, time.Now()).state; got != ended {
				t.Fatalf("right after the logout the session is %v", got)
			}
			work.Wait()
			if got := n.seen.look(s.ID, time.Now()).state; got != ended {
				t.Fatalf("after the last check the session is %v", got)
			}
			refused(t, n.Check(t.Context(), s), fault.SessionEnded)
		}
	})
}

func TestSessionThatWasNotUsedExpires(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, s := n.login(t, "alice")
		n.exec(t, "UPDATE session SET expires_at = ? WHERE id = ?", ms(time.Now()), s.ID)
		_, err := n.beside().Authenticate(t.Context(), token)
		refused(t, err, fault.SessionEnded)
		// The next login deletes the account's expired sessions and nothing else.
		_, second := n.login(t, "alice")
		ids, err := n.DB.Read().SessionIDs(t.Context(), "alice")
		must(t, err)
		if diff := cmp.Diff([]string{second.ID}, ids); diff != "" {
			t.Errorf("sessions left (-want +got):\n%s", diff)
		}
	})
}

func TestUseIsNotedOnceAnHour(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, s := n.login(t, "alice")
		for _, tt := range []struct {
			ago     time.Duration
			touched bool
		}{{59 * time.Minute, false}, {61 * time.Minute, true}, {0, false}, {29 * 24 * time.Hour, true}} {
			used := ms(time.Now().Add(-tt.ago))
			expires := ms(time.Now().Add(SessionIdle - tt.ago))
			n.exec(t, "UPDATE session SET used_at = ?, expires_at = ? WHERE id = ?", used, expires, s.ID)
			_, err := n.beside().Authenticate(t.Context(), token)
			must(t, err)
			rows, err := n.DB.Read().Sessions(t.Context(), "alice")
			must(t, err)
			row := rows[0]
			if touched := row.UsedAt != used; touched != tt.touched || touched != (row.ExpiresAt != expires) {
				t.Errorf("used %s ago: used_at moved by %d ms, expires_at by %d ms", tt.ago, row.UsedAt-used, row.ExpiresAt-expires)
			}
			if left := row.ExpiresAt - ms(time.Now()); tt.touched && left < (SessionIdle-time.Minute).Milliseconds() {
				t.Errorf("used %s ago: now it has %d ms left", tt.ago, left)
			}
		}
	})
}

func TestSetPasswordEndsAllSessions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "ren\u00e9")
		n.register(t, "bob")
		first, one := n.login(t, "ren\u00e9")
		second, two := n.login(t, "ren\u00e9")
		bobs, _ := n.login(t, "bob")
		must(t, n.SetPassword(t.Context(), "rene\u0301", "another"))
		for _, token := range []string{first, second} {
			_, err := n.Authenticate(t.Context(), token)
			refused(t, err, fault.SessionEnded)
			_, err = n.beside().Authenticate(t.Context(), token)
			refused(t, err, fault.SessionEnded)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values([]string{one.ID, two.ID})), n.toldOf()); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
		if _, err := n.Authenticate(t.Context(), bobs); err != nil {
			t.Errorf("somebody else's session: %v", err)
		}
		_, _, err := n.Login(t.Context(), "ren\u00e9", password, "", "")
		refused(t, err, fault.WrongCredentials)
		_, _, err = n.Login(t.Context(), "ren\u00e9", "another", "", "")
		must(t, err)
	})
}

func TestSetPasswordRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, _ := n.login(t, "alice")
		refused(t, n.SetPassword(t.Context(), "nobody", "another"), fault.UnknownAccount)
		refused(t, n.SetPassword(t.Context(), "alice ", "another"), fault.UnknownAccount)
		refused(t, n.SetPassword(t.Context(), "alice", "short"), fault.InvalidBody)
		refused(t, n.SetPassword(t.Context(), "alice", strings.Repeat("x", 73)), fault.InvalidBody)
		if _, err := n.Authenticate(t.Context(), token); err != nil || len(n.toldOf()) != 0 {
			t.Errorf("a refusal ended a session: %v, told of %v", err, n.toldOf())
		}
		n.login(t, "alice")
	})
}

// An error of the database must not tell a client that its session has ended.
func TestSessionThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	_, s := n.login(t, "alice")
	must(t, n.DB.Close())
	for _, err := range []error{n.beside().Check(t.Context(), s), n.Logout(t.Context(), s)} {
		if fault.From(err).Reason != fault.Internal {
			t.Errorf("got %v", err)
		}
	}
	if len(n.toldOf()) != 0 {
		t.Error("others were told of an end that didn't come")
	}
	_, _, err := n.Login(t.Context(), "alice", password, "", "")
	if fault.From(err).Reason != fault.Internal {
		t.Errorf("login: %v", err)
	}
}
