package app_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/fault"
)

// from is a registration by a client at an address, as a trusted proxy reports it.
func from(t testing.TB, address, account string, changes map[string]any) ask {
	t.Helper()
	return ask{path: "/Tim/UserRegister", json: registration(t, account, changes), header: map[string]string{"X-Forwarded-For": address}}
}

// Registrations count for each address (IPv6: /64), on all nodes together. What isn't hashed doesn't count.
func TestRegistrationLimit(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode, "--limit-registrations=4", "--trusted-proxies=127.0.0.1")
			nodes := []*site{serve(t, settings)}
			if mode == apptest.Servers {
				settings.DataDir = t.TempDir()
				nodes = append(nodes, serve(t, settings))
			}
			on := func(i int) *site { return nodes[i%len(nodes)] }
			limited := want{http.StatusTooManyRequests, fault.TooManyRegistrations, "注册过于频繁，请稍后再试", "too many registrations; try again later"}
			for i := range 4 {
				if got := on(i).do(t, from(t, "192.0.2.1", fmt.Sprint("rl.", i), nil)); got.status != http.StatusOK {
					t.Fatalf("registration %d: %d %s", i, got.status, got.body)
				}
				on(i).do(t, from(t, "192.0.2.1", "rl.0", nil))
				on(i).do(t, from(t, "192.0.2.1", "rl.x", map[string]any{"password": "short"}))
			}
			for i := range nodes {
				on(i).refused(t, from(t, "192.0.2.1", "rl.y", nil), limited)
				got := on(i).do(t, from(t, "192.0.2.1", "rl.y", nil))
				if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 600 || after > 900 {
					t.Errorf("Retry-After: %d, %v", after, err)
				}
			}
			many := make([]ask, 12)
			for i := range many {
				many[i] = from(t, fmt.Sprintf("2001:db8::%x", i), fmt.Sprint("rl.six", i), nil)
			}
			diff(t, "registrations from one /64", map[int]int{http.StatusOK: 4, http.StatusTooManyRequests: 8}, on(1).atOnce(t, many))
			if got := on(1).do(t, from(t, "2001:db8:0:1::1", "rl.y", nil)); got.status != http.StatusOK {
				t.Errorf("another /64: %d %s", got.status, got.body)
			}
		})
	}
}

// A password is the same in every spelling that RFC 8265 makes one of, and what that refuses is refused with words.
func TestPasswordSpellings(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		s.succeedsOnce(t, ask{path: "/Tim/UserRegister", json: registration(t, "ps.a", map[string]any{"password": "pass\u00e9 1"})}, "注册成功")
		for password, status := range map[string]int{
			"pass\u00e9 1": http.StatusOK, "passe\u0301 1": http.StatusOK, "passe\u0301\u30001": http.StatusOK, "passe 1": http.StatusUnauthorized,
			"pass\u200be\u0301 1": http.StatusUnauthorized,
		} {
			if got := s.tryLogin(t, "ps.a", password); got.status != status {
				t.Errorf("%q: %d %s, want %d", password, got.status, got.body, status)
			}
		}
		long := ask{path: "/Tim/UserRegister", json: registration(t, "ps.b", map[string]any{"password": "e\u0301" + fmt.Sprintf("%068d", 0)})}
		s.succeedsOnce(t, long, "注册成功") // 70 bytes, once it is composed
		for _, bad := range []string{"pass\u200bword", "pass\ufeffword", "e\u0301e\u0301e\u0301", "pass\U000e0001word"} {
			s.refused(t, ask{path: "/Tim/UserRegister", json: registration(t, "ps.c", map[string]any{"password": bad})}, badBody())
		}
	})
}

// invite makes a code by the command and returns it.
func invite(t testing.TB, settings app.Settings, args ...string) string {
	t.Helper()
	out, errs, err := tim(t, settings, "", append([]string{"invite"}, args...)...)
	if err != nil || !regexp.MustCompile(`^[A-Z2-7]{26}\n$`).MatchString(out) {
		t.Fatalf("invite: %v %q %s", err, out, errs)
	}
	return strings.TrimSpace(out)
}

// A code makes as many accounts as it was made for, also when many use it at once, and none when it is revoked or expired. Address
// limits don't hold for it.
func TestRegistrationByInvitation(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		invalid := want{http.StatusForbidden, fault.InvalidInvite, "邀请码无效", "the invitation code is not valid"}
		with := func(account, code string) ask {
			return ask{path: "/Tim/UserRegister", json: registration(t, account, map[string]any{"invite": code})}
		}
		s.refused(t, ask{path: "/Tim/UserRegister", json: registration(t, "iv.a", nil)}, invalid)
		for _, code := range []string{"", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("x", 100)} {
			s.refused(t, with("iv.a", code), invalid)
		}
		one := invite(t, s.Settings)
		if got := s.do(t, with("iv.a", strings.ToLower(one[:13]+"-"+one[13:])+" ")); got.status != http.StatusOK {
			t.Errorf("a code as somebody has typed it: %d %s", got.status, got.body)
		}
		s.refused(t, with("iv.b", one), invalid)

		ten := invite(t, s.Settings, "--uses=10")
		if got := s.do(t, with("iv.a", ten)); got.status != http.StatusConflict { // takes no use
			t.Errorf("a taken account: %d %s", got.status, got.body)
		}
		twenty := make([]ask, 20)
		for i := range twenty {
			twenty[i] = with(fmt.Sprint("iv.t", i), ten)
		}
		diff(t, "twenty at once with a code for ten", map[int]int{http.StatusOK: 10, http.StatusForbidden: 10}, s.atOnce(t, twenty))

		short := invite(t, s.Settings, "--life=1ms")
		s.refused(t, with("iv.b", short), invalid)
		revoked := invite(t, s.Settings, "--uses=5")
		list, _, err := tim(t, s.Settings, "", "invite", "list")
		found := regexp.MustCompile(`(?m)^([0-9a-f]{10}) +5 `).FindStringSubmatch(list)
		if err != nil || found == nil || strings.Contains(list, revoked) || strings.Count(list, "\n") != 5 {
			t.Fatalf("the list: %v\n%s", err, list)
		}
		if _, errs, err := tim(t, s.Settings, "", "invite", "revoke", found[1]); err != nil {
			t.Errorf("revoke: %v %s", err, errs)
		}
		s.refused(t, with("iv.b", revoked), invalid)
		for _, id := range []string{found[1], "", "%", "x", "0123456789"} {
			if _, errs, err := tim(t, s.Settings, "", "invite", "revoke", id); err == nil || !strings.Contains(errs, "no such") {
				t.Errorf("revoke %q: %v %s", id, err, errs)
			}
		}
		for _, bad := range [][]string{{"--uses=0"}, {"--uses=-1"}, {"--uses=1000001"}, {"--life=0s"}, {"--life=-1h"}} {
			if out, _, err := tim(t, s.Settings, "", append([]string{"invite"}, bad...)...); err == nil {
				t.Errorf("invite %v: %s", bad, out)
			}
		}
	}, "--registration=invite", "--limit-registrations=5")
}

// Where registration is closed, only an operator makes accounts.
func TestRegistrationClosed(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		closed := want{http.StatusForbidden, fault.RegistrationClosed, "注册未开放", "registration is closed"}
		s.refused(t, ask{path: "/Tim/UserRegister", json: registration(t, "cl.a", nil)}, closed)
		code := invite(t, s.Settings)
		s.refused(t, ask{path: "/Tim/UserRegister", json: registration(t, "cl.a", map[string]any{"invite": code})}, closed)
		if out, errs, err := tim(t, s.Settings, apptest.Password+"\n", "adduser", "cl.a"); err != nil || strings.Contains(out+errs, apptest.Password) {
			t.Fatalf("adduser: %v %s %s", err, out, errs)
		}
		if _, errs, err := tim(t, s.Settings, apptest.Password+"\n", "adduser", "cl.b", "--username=Bob"); err != nil {
			t.Fatalf("adduser: %v %s", err, errs)
		}
		token := s.login(t, "cl.a")
		for account, name := range map[string]string{"cl.a": "cl.a", "cl.b": "Bob"} {
			if got := into[user](t, s.do(t, get(token, "/Tim/getProfile", "account", account))); got.Username != name {
				t.Errorf("%s is called %q", account, got.Username)
			}
		}
		for _, tt := range []struct{ input, account, want string }{
			{apptest.Password, "cl.a", "exists"}, {"12345", "cl.c", "6 characters"}, {"", "cl.c", "no password"}, {apptest.Password, "c c", "letters"},
			{"pass\x07word", "cl.c", "control characters"},
		} {
			if _, errs, err := tim(t, s.Settings, tt.input, "adduser", tt.account); err == nil || !strings.Contains(errs, tt.want) {
				t.Errorf("adduser %s with %q: %v %s", tt.account, tt.input, err, errs)
			}
		}
	}, "--registration=closed")
}

// Those for whom the line of hashes has no room are refused at once, and told when to come back.
func TestTooManyRegistrationsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--bcrypt-cost=9")
	asks := make([]ask, 150)
	for i := range asks {
		asks[i] = ask{path: "/Tim/UserRegister", json: registration(t, fmt.Sprint("tm.", i), nil)}
	}
	counts := s.atOnce(t, asks)
	if counts[http.StatusOK] == 0 || counts[http.StatusServiceUnavailable] == 0 || counts[http.StatusOK]+counts[http.StatusServiceUnavailable] != len(asks) {
		t.Errorf("150 at once: %v", counts)
	}
	if !strings.Contains(s.Log.String(), `"reason":"busy"`) {
		t.Error("the log names no reason")
	}
}
