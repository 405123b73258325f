package app_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

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
