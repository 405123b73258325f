package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/fault"
)

// renew returns the token that another one is renewed to.
func (s *site) renew(t testing.TB, token string) string {
	t.Helper()
	got := s.do(t, ask{path: "/Tim/renewToken", method: http.MethodPost, token: token})
	var fresh struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(got.Data, &fresh); err != nil || got.status != http.StatusOK {
		t.Fatalf("%v: %d %s", err, got.status, got.body)
	}
	return fresh.Token
}

// goodToken reports whether the account's token is taken.
func (s *site) goodToken(t testing.TB, token, account string) bool {
	t.Helper()
	return s.do(t, ask{path: query("/Tim/getFriends", "account", account), token: token}).status == http.StatusOK
}

// onOneAndTwo runs a test on a node alone, and on two nodes that share all.
func onOneAndTwo(t *testing.T, test func(t *testing.T, here, there *site), flags ...string) {
	t.Helper()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode, flags...)
			here := serve(t, settings)
			there := here
			if mode == apptest.Servers {
				there = serve(t, settings)
			}
			test(t, here, there)
		})
	}
}

// Whoever uses a token that was renewed, after the new one was used, ends the session, on all nodes. The sockets hear why.
func TestReusedToken(t *testing.T) {
	t.Parallel()
	onOneAndTwo(t, func(t *testing.T, here, there *site) {
		old := here.enter(t, "ru.a")
		elsewhere := there.login(t, "ru.a")
		fresh := here.renew(t, old)
		if !there.goodToken(t, fresh, "ru.a") || !here.goodToken(t, fresh, "ru.a") {
			t.Fatal("the new token isn't good")
		}
		own, other, chat := openModern(t, there.URL, fresh), openModern(t, there.URL, elsewhere), there.openChat(t, "ru.a", fresh)
		here.refused(t, ask{path: query("/Tim/getFriends", "account", "ru.a"), token: old}, unauthenticated(fault.TokenReused))
		before := time.Now()
		if bye := own.readType(t, "bye"); !strings.Contains(bye, "4500") || !strings.Contains(bye, "after its renewal") {
			t.Errorf("its connection hears %s", bye)
		}
		if _, err := chat.next(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
			t.Errorf("its chat socket: %v", err)
		}
		if took := time.Since(before); took > 3*time.Second { // a second; a busy machine may take longer
			t.Errorf("it took %s", took)
		}
		if frame := other.readType(t, "session"); !strings.Contains(frame, `"token_reused"`) {
			t.Errorf("the other session hears %s", frame)
		}
		for _, token := range []string{old, fresh} {
			for _, node := range []*site{here, there} {
				node.refused(t, ask{path: "/Tim/UserLogout", token: token}, unauthenticated(fault.TokenReused))
				node.refused(t, ask{path: "/Tim/renewToken", method: http.MethodPost, token: token}, unauthenticated(fault.TokenReused))
				node.refused(t, ask{path: "/websocket", token: token, header: with(upgrade(), "Sec-WebSocket-Protocol", "tim.v1")}, unauthenticated(fault.TokenReused))
			}
		}
		if !here.goodToken(t, elsewhere, "ru.a") || !there.goodToken(t, elsewhere, "ru.a") {
			t.Error("the other session has ended")
		}
		if log := here.Log.String(); !strings.Contains(log, "a token was used after its renewal") || !strings.Contains(log, `"reason":"token_reused"`) {
			t.Error("the log says nothing of it")
		}
	}, "--token-grace=1ms", "--log-format=json")
}

// A laptop that slept for an hour has an expired token, which it exchanges once. A token of somebody else's key isn't exchanged.
func TestExpiredTokenIsExchanged(t *testing.T) {
	t.Parallel()
	onOneAndTwo(t, func(t *testing.T, here, there *site) {
		good := here.enter(t, "xt.a")
		past := func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }
		expired := sign(t, good, jwt.SigningMethodHS256, []byte(here.Settings.JWTKey), past)
		post := func(token string) ask { return ask{path: "/Tim/renewToken", method: http.MethodPost, token: token} }
		here.refused(t, ask{path: query("/Tim/getFriends", "account", "xt.a"), token: expired}, unauthenticated(fault.ExpiredToken))
		fresh := there.renew(t, expired)
		again := here.renew(t, expired) // the answer might have been lost
		if !here.goodToken(t, fresh, "xt.a") || !there.goodToken(t, again, "xt.a") {
			t.Error("what it was exchanged for isn't good")
		}
		here.refused(t, post(sign(t, good, jwt.SigningMethodHS256, []byte("another key of more than thirty-two bytes"), past)), unauthenticated(fault.InvalidToken))
		here.refused(t, post(""), unauthenticated(fault.MissingToken))
		here.refused(t, post("x"+expired), unauthenticated(fault.InvalidToken))
		there.refused(t, post(expired), unauthenticated(fault.TokenReused))
		eventually(t, "the other node hears of it", func() bool {
			return here.do(t, ask{path: query("/Tim/getFriends", "account", "xt.a"), token: fresh}).Reason == string(fault.TokenReused)
		})
	}, "--token-grace=1ms", "--jwt-key="+signingKey)
}

// Two pages share a session, and each has a connection and a copy of its token. One of them renews; the other hears of it,
// renews too, and neither is logged out.
func TestPagesThatShareASession(t *testing.T) {
	t.Parallel()
	onOneAndTwo(t, func(t *testing.T, here, there *site) {
		token := here.enter(t, "pg.a")
		one, two := openModern(t, here.URL, token), openModern(t, there.URL, token)
		var tokens [2]string
		for i, page := range []*socket{one, two} {
			if i == 1 {
				page.readType(t, "session")
			}
			page.write(t, `{"type":"renew","id":"r"}`)
			var renewed struct {
				Token string `json:"token"`
			}
			if err := json.Unmarshal([]byte(page.readType(t, "renewed")), &renewed); err != nil {
				t.Fatal(err)
			}
			tokens[i] = renewed.Token
		}
		for _, token := range tokens {
			for _, node := range []*site{here, there} {
				if !node.goodToken(t, token, "pg.a") {
					t.Error("a page's new token isn't good")
				}
			}
		}
		for _, page := range []*socket{one, two} {
			page.write(t, `{"type":"ping","id":"p"}`)
			page.readType(t, "pong")
		}
	}, "--token-grace=1ms")
}

// A connection that is opened with a token that was just renewed, by a request that was under way, is told so.
func TestConnectionWithARenewedToken(t *testing.T) {
	t.Parallel()
	onOneAndTwo(t, func(t *testing.T, here, there *site) {
		token := here.enter(t, "lt.a")
		fresh := here.renew(t, token)
		late := openModern(t, there.URL, token)
		late.readType(t, "session")
		late.write(t, `{"type":"renew","id":"r"}`)
		late.readType(t, "renewed")
		in := openModern(t, there.URL, fresh)
		in.write(t, `{"type":"ping","id":"p"}`)
		for {
			frame := in.read(t)
			if strings.Contains(frame, `"session","`) || strings.Contains(frame, `"type":"session"`) {
				t.Errorf("one with the new token hears %s", frame)
			}
			if strings.Contains(frame, `"pong"`) {
				break
			}
		}
	})
}

// An account has as many sessions as the limit says; one more login ends the one that was used longest ago, and its sockets.
func TestSessionsAreLimited(t *testing.T) {
	t.Parallel()
	onOneAndTwo(t, func(t *testing.T, here, there *site) {
		first := here.enter(t, "sl.a")
		chat := there.openChat(t, "sl.a", first)
		var later []string
		for range 3 {
			later = append(later, here.login(t, "sl.a"))
		}
		if _, err := chat.next(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
			t.Errorf("its socket: %v", err)
		}
		there.refused(t, ask{path: "/Tim/UserLogout", token: first}, unauthenticated(fault.SessionEnded))
		for _, token := range later {
			if !there.goodToken(t, token, "sl.a") {
				t.Error("a newer session has ended")
			}
		}
	}, "--limit-sessions=3")
}

// A session ends at its time: the tokens with it, and the sockets of the contract, which need no token that is valid.
func TestSessionEndsAtItsTime(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := start(t, mode, "--token-life=1s", "--session-lifetime=2s")
			token := s.enter(t, "se.a")
			chat := s.openChat(t, "se.a", token)
			before := time.Now()
			if _, err := chat.next(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
				t.Errorf("the chat socket: %v", err)
			}
			if took := time.Since(before); took < time.Second {
				t.Errorf("it was closed after %s", took)
			}
			s.refused(t, ask{path: "/Tim/renewToken", method: http.MethodPost, token: token}, unauthenticated(fault.SessionEnded))
		})
	}
}

// The settings of tokens and sessions must fit each other.
func TestLivesThatCannotBe(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"--token-life=0s": "TIM_TOKEN_LIFE", "--token-life=900ms": "TIM_TOKEN_LIFE", "--token-grace=0s": "TIM_TOKEN_GRACE",
		"--token-grace=-1s": "TIM_TOKEN_GRACE", "--session-idle=59m": "TIM_SESSION_IDLE", "--session-lifetime=59m": "TIM_SESSION_LIFETIME",
		"--limit-sessions=-1": "TIM_LIMIT_SESSIONS",
	} {
		if _, err := parse(t, flags); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flags, err)
		}
	}
	var defaults app.Lives
	settings, err := parse(t)
	if err != nil || settings.Lives == defaults || settings.Lives.TokenLife != time.Hour {
		t.Errorf("%v: %+v", err, settings.Lives)
	}
}
