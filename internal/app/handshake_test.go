package app_test

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"testing"

	"tim/internal/apptest"
	"tim/internal/fault"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// upgrade returns the headers of a handshake.
func upgrade() map[string]string {
	return map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	}
}

func upgradeNeeded() want {
	return want{http.StatusUpgradeRequired, fault.UpgradeRequired, "需要WebSocket连接", "a WebSocket handshake is needed"}
}

// A refused handshake is answered over HTTP, before the upgrade, with an envelope.
func TestRefusedHandshakes(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		a := s.enter(t, "hs.a")
		s.register(t, "hs.b")
		b := s.login(t, "hs.b")
		theirs := s.createGroup(t, b, "hs.b", "hs")
		foreign := want{http.StatusForbidden, fault.NotYourAccount, "无权操作其他账号", "the account is somebody else's"}
		noFriend := want{http.StatusForbidden, fault.NotFriends, "对方不是好友", "not a friend"}
		for path, w := range map[string]want{
			"/websocket/hs.b":                            foreign,
			"/websocket/OneToOne/hs.b/hs.a":              foreign,
			fmt.Sprintf("/websocket/%d/hs.b", theirs):    foreign,
			"/websocket/OneToOne/hs.a/hs.b":              noFriend,
			"/websocket/OneToOne/hs.a/hs.a":              noFriend,
			"/websocket/OneToOne/hs.a/nobody":            {http.StatusNotFound, fault.UnknownAccount, "账号不存在", "no such account"},
			fmt.Sprintf("/websocket/%d/hs.a", theirs):    {http.StatusForbidden, fault.NotAMember, "不是群成员", "not a member of the group"},
			"/websocket/2147483647/hs.a":                 {http.StatusNotFound, fault.UnknownGroup, "群聊不存在", "no such group"},
			"/websocket/0/hs.a":                          invalidParameter(),
			"/websocket/-1/hs.a":                         invalidParameter(),
			"/websocket/x/hs.a":                          invalidParameter(),
			"/websocket/99999999999/hs.a":                invalidParameter(),
			"/websocket/%ff":                             invalidParameter(),
			"/websocket/hs.a%00":                         invalidParameter(),
			"/websocket/OneToOne/hs.a/%ff":               invalidParameter(),
			"/websocket/OneToOne/hs.a/a%0ab":             invalidParameter(),
			"/websocket/hs.a%2f..":                       foreign,
			"/websocket/hs%252ea":                        foreign, // decoded once
			"/websocket/OneToOne/hs.a/hs.b/more":         {http.StatusNotFound, fault.UnknownRoute, "接口不存在", "no such route"},
			fmt.Sprintf("/websocket/%d/hs.a/x/", theirs): {http.StatusNotFound, fault.UnknownRoute, "接口不存在", "no such route"},
		} {
			s.refused(t, ask{path: path, token: a, header: upgrade()}, w)
		}
		s.refused(t, ask{path: "/websocket/hs.a", token: a}, upgradeNeeded())
		if got := s.do(t, ask{path: "/websocket/hs.a", token: a}); got.header.Get("Upgrade") != "websocket" {
			t.Errorf("426 without Upgrade: %v", got.header)
		}
	})
}

func TestHandshakeHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "hh.a")
	for name, change := range map[string]map[string]string{
		"no key":    {"Sec-WebSocket-Key": ""},
		"short key": {"Sec-WebSocket-Key": "c2hvcnQ="},
		"no base64": {"Sec-WebSocket-Key": "!!!!!!!!!!!!!!!!!!!!!!!!"},
	} {
		header := upgrade()
		maps.Copy(header, change)
		t.Log(name)
		s.refused(t, ask{path: "/websocket/hh.a", token: token, header: header}, invalidParameter())
	}
	for _, version := range []string{"", "8", "14"} { // RFC 6455 section 4.4
		a := ask{path: "/websocket/hh.a", token: token, header: upgrade()}
		a.header["Sec-WebSocket-Version"] = version
		s.refused(t, a, upgradeNeeded())
		if got := s.do(t, a); got.header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("version %q: the answer names %q", version, got.header.Get("Sec-WebSocket-Version"))
		}
	}
	header := upgrade()
	for origin, w := range map[string]want{
		"https://evil.example":  {http.StatusForbidden, fault.OriginNotAllowed, "来源不被允许", "origin not allowed"},
		"null":                  {http.StatusForbidden, fault.OriginNotAllowed, "来源不被允许", "origin not allowed"},
		"http://localhost.evil": {http.StatusForbidden, fault.OriginNotAllowed, "来源不被允许", "origin not allowed"},
	} {
		s.refused(t, ask{path: "/websocket/hh.a", token: token, header: with(header, "Origin", origin)}, w)
	}
}
