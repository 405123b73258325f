package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

func testProfiles(t *testing.T, s *site) {
	a := s.enter(t, "pr.a")
	was := into[user](t, s.succeeds(t, get(a, "/Tim/getProfile", "account", "pr.a"), "ok", "ok"))
	change := ask{path: "/Tim/updateProfile", token: a, json: `{"username":"爱丽丝😀","sex":"female"}`}
	female := "female"
	wanted := user{ID: was.ID, Account: "pr.a", Username: "爱丽丝😀", Sex: &female}
	diff(t, "changed", wanted, into[user](t, s.succeeds(t, change, "修改成功", "changed")))
	wanted.Age = 20
	diff(t, "once more", wanted, into[user](t, s.do(t, ask{path: "/Tim/updateProfile", token: a, json: `{"age":20}`})))
	diff(t, "read", wanted, into[user](t, s.do(t, get(s.enter(t, "pr.b"), "/Tim/getProfile", "account", "pr.a"))))
	s.refused(t, get(a, "/Tim/getProfile", "account", "pr.nobody"), unknownAccount())
	for _, body := range []string{
		`{"username":""}`, `{"username":"a\nb"}`, `{"username":"` + strings.Repeat("x", 101) + `"}`, `{"age":-1}`, `{"age":151}`, `{"sex":12}`, `{"age":"x"}`,
	} {
		s.refused(t, ask{path: "/Tim/updateProfile", token: a, json: body}, badBody())
	}
}

func testFindUsers(t *testing.T, s *site) {
	a := s.enter(t, "fu.a")
	for account, name := range map[string]string{"fu_b": "fu%100", "fu.b": "😀 fu", "fu.bb": "fu\\x"} {
		s.registerAs(t, account, name)
	}
	for keyword, want := range map[string][]string{
		"fu.b": {"fu.b", "fu.bb"}, "fu_": {"fu_b"}, "fu%": {"fu_b"}, "fu\\": {"fu.bb"}, "😀 f": {"fu.b"}, "FU.": {"fu.a"}, "fu.nobody": nil,
	} {
		var got []string
		for _, u := range into[[]user](t, s.do(t, get(a, "/Tim/findUsers", "keyword", keyword))) {
			got = append(got, u.Account)
		}
		diff(t, keyword, want, got)
	}
	if one := into[[]user](t, s.do(t, get(a, "/Tim/findUsers", "keyword", "fu", "limit", "1"))); len(one) != 1 {
		t.Errorf("limit 1: %+v", one)
	}
	for _, parameters := range [][]string{{"keyword", ""}, {}, {"keyword", "x", "limit", "0"}, {"keyword", "x", "limit", "101"}, {"keyword", "a\x00"}} {
		s.refused(t, get(a, "/Tim/findUsers", parameters...), badParameter())
	}
}

type session struct {
	ID      string `json:"id"`
	Device  string `json:"device"`
	Created int64  `json:"created"`
	Used    int64  `json:"used"`
	Current bool   `json:"current"`
}

func testSessions(t *testing.T, s *site) {
	first, other := s.enter(t, "se.a"), s.enter(t, "se.b")
	second, third := s.login(t, "se.a"), s.login(t, "se.a")
	list := func(token string) (current string, others []string) {
		for _, one := range into[[]session](t, s.succeeds(t, get(token, "/Tim/getSessions", "account", "se.a"), "ok", "ok")) {
			if one.Current {
				current = one.ID
			} else {
				others = append(others, one.ID)
			}
			if time.Since(time.UnixMilli(one.Created)).Abs() > time.Minute || one.Used < one.Created || one.Device == "" {
				t.Errorf("got %+v", one)
			}
		}
		return current, others
	}
	id, others := list(first)
	if len(others) != 2 {
		t.Fatalf("others: %v", others)
	}
	// Another account can't end the session, even if it knows its id.
	s.succeeds(t, post(other, "/Tim/endSession", "UserAccount", "se.b", "session", id), "退出成功", "logged out")
	list(first)
	secondID, _ := list(second)
	s.succeeds(t, post(first, "/Tim/endSession", "UserAccount", "se.a", "session", secondID), "退出成功", "logged out")
	s.refused(t, get(second, "/Tim/getSessions", "account", "se.a"), unauthenticated(fault.SessionEnded))
	s.refused(t, post(second, "/Tim/renewToken"), unauthenticated(fault.SessionEnded))
	fresh := into[struct {
		Token   string `json:"token"`
		Expires int64  `json:"expires"`
	}](t, s.succeeds(t, post(first, "/Tim/renewToken"), "ok", "ok"))
	if left := time.Until(time.UnixMilli(fresh.Expires)); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the fresh token lives %s", left)
	}
	if renewed, _ := list(fresh.Token); renewed != id {
		t.Errorf("the fresh token is of the session %s, not %s", renewed, id)
	}
	s.succeeds(t, post(fresh.Token, "/Tim/endOtherSessions", "UserAccount", "se.a"), "退出成功", "logged out")
	s.refused(t, get(third, "/Tim/getSessions", "account", "se.a"), unauthenticated(fault.SessionEnded))
	if _, others := list(first); len(others) != 0 {
		t.Errorf("still there: %v", others)
	}
	s.refused(t, get(first, "/Tim/getSessions", "account", "se.b"), notYours())
	s.refused(t, post(first, "/Tim/endSession", "UserAccount", "se.b", "session", id), notYours())
	s.refused(t, post(first, "/Tim/endOtherSessions", "UserAccount", "se.b"), notYours())
	for _, bad := range []string{"", "a b", strings.Repeat("x", 33)} {
		s.refused(t, post(first, "/Tim/endSession", "UserAccount", "se.a", "session", bad), badParameter())
	}
}

func testChangePassword(t *testing.T, s *site) {
	other := s.enter(t, "cp.a")
	here := s.login(t, "cp.a")
	change := func(old, changed string) ask {
		return ask{path: "/Tim/changePassword", token: here, json: encodeJSON(t, map[string]string{"oldPassword": old, "newPassword": changed})}
	}
	s.refused(t, change("wrong", "another"), want{http.StatusUnauthorized, fault.WrongCredentials, "用户名或密码错误", "wrong account or password"})
	for _, bad := range []string{"", "short", strings.Repeat("密", 25)} {
		s.refused(t, change(apptest.Password, bad), badBody())
	}
	s.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: s.login(t, "cp.a")}, "退出成功") // the password hasn't changed
	s.succeedsOnce(t, change(apptest.Password, "another"), "修改成功")
	s.refused(t, get(other, "/Tim/getSessions", "account", "cp.a"), unauthenticated(fault.SessionEnded))
	s.friends(t, here, "cp.a")
	if got := s.tryLogin(t, "cp.a", apptest.Password); got.status != http.StatusUnauthorized {
		t.Errorf("the old password: %d", got.status)
	}
	if got := s.tryLogin(t, "cp.a", "another"); got.status != http.StatusOK {
		t.Errorf("the new password: %d %s", got.status, got.body)
	}
}

// What strangers, former members, users whose session has ended, and clients without a token may do in a group and with a
// friend.
func testRights(t *testing.T, s *site) {
	a, former, stranger := s.enter(t, "rt.a"), s.enter(t, "rt.former"), s.enter(t, "rt.stranger")
	ended := s.login(t, "rt.a")
	s.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: ended}, "退出成功")
	group := s.createGroup(t, a, "rt.a", "rt")
	id := fmt.Sprint(group)
	s.succeedsOnce(t, post(former, "/Tim/joinGroup", "UserAccount", "rt.former", "GroupID", id), "加入群聊成功")
	s.succeedsOnce(t, post(a, "/Tim/removeMember", "UserAccount", "rt.a", "GroupID", id, "MemberAccount", "rt.former"), "移除成员成功")
	type row struct {
		act  func(token, account string) ask
		want want // for a stranger and a former member
	}
	for name, r := range map[string]row{
		"send": {func(token, _ string) ask { return text(token, toGroup(group), "1", "x") }, notAMember()},
		"history": {func(token, account string) ask {
			return get(token, "/Tim/getHistory", "account", account, "GroupID", id)
		}, notAMember()},
		"read": {func(token, account string) ask {
			return post(token, "/Tim/markRead", "UserAccount", account, "GroupID", id, "seq", "1")
		}, notAMember()},
		"received": {func(token, account string) ask {
			return post(token, "/Tim/markReceived", "UserAccount", account, "GroupID", id, "seq", "1")
		}, notAMember()},
		"members": {func(token, account string) ask {
			return get(token, "/Tim/getGroupMembers", "account", account, "GroupID", id)
		}, notAMember()},
		"add": {func(token, account string) ask {
			return post(token, "/Tim/addMember", "UserAccount", account, "GroupID", id, "MemberAccount", "rt.stranger")
		}, notTheOwner()},
		"remove": {func(token, account string) ask {
			return post(token, "/Tim/removeMember", "UserAccount", account, "GroupID", id, "MemberAccount", "rt.a")
		}, notTheOwner()},
		"hand on": {func(token, account string) ask {
			return post(token, "/Tim/transferGroup", "UserAccount", account, "GroupID", id, "MemberAccount", "rt.a")
		}, notTheOwner()},
		"dissolve": {func(token, account string) ask {
			return post(token, "/Tim/dissolveGroup", "UserAccount", account, "GroupID", id)
		}, notTheOwner()},
		"send to a friend": {func(token, account string) ask {
			if account == "rt.a" {
				return text(token, toUser("rt.stranger"), "1", "x")
			}
			return text(token, toUser("rt.a"), "1", "x")
		}, notFriends()},
		"history with a friend": {func(token, account string) ask {
			return get(token, "/Tim/getHistory", "account", account, "FriendAccount", "rt.a")
		}, notFriends()},
		"read a friend's": {func(token, account string) ask {
			return post(token, "/Tim/markRead", "UserAccount", account, "FriendAccount", "rt.a", "seq", "1")
		}, notFriends()},
	} {
		t.Run(name, func(t *testing.T) {
			s.refused(t, r.act(former, "rt.former"), r.want)
			s.refused(t, r.act(stranger, "rt.stranger"), r.want)
			s.refused(t, r.act(ended, "rt.a"), unauthenticated(fault.SessionEnded))
			s.refused(t, r.act("", "rt.a"), unauthenticated(fault.MissingToken))
		})
	}
	diff(t, "the history", []int64{2, 3}, into[history](t, s.do(t, get(a, "/Tim/getHistory", "account", "rt.a", "GroupID", id))).seqs())
}

// Every new route demands a token, and the token's own account.
func testNewParameters(t *testing.T, s *site) {
	a := s.enter(t, "np.a")
	missing := unauthenticated(fault.MissingToken)
	for _, path := range []string{"getProfile", "findUsers", "getSessions", "getGroups", "getGroupMembers", "getHistory", "getConversations"} {
		s.refused(t, ask{path: "/Tim/" + path}, missing)
		s.refused(t, ask{path: "/Tim/" + path, token: a}, badParameter())
	}
	for _, path := range []string{"endSession", "endOtherSessions", "addMember", "removeMember", "transferGroup", "dissolveGroup", "markRead", "markReceived"} {
		s.refused(t, ask{method: http.MethodPost, path: "/Tim/" + path}, missing)
		s.refused(t, ask{method: http.MethodPost, path: "/Tim/" + path, token: a}, badParameter())
	}
	malformed := want{http.StatusBadRequest, fault.MalformedJSON, "JSON格式错误", "malformed JSON"}
	for _, path := range []string{"updateProfile", "changePassword", "sendMessage"} {
		s.refused(t, ask{path: "/Tim/" + path, json: "{}"}, missing)
		s.refused(t, ask{path: "/Tim/" + path, token: a, json: "{"}, malformed)
	}
	for _, parameters := range [][]string{{}, {"FriendAccount", "np.b", "GroupID", "1"}, {"GroupID", "0"}, {"FriendAccount", "np.b", "limit", "201"}, {"FriendAccount", "np.b", "after", "-1"}} {
		s.refused(t, get(a, "/Tim/getHistory", append([]string{"account", "np.a"}, parameters...)...), badParameter())
	}
	s.refused(t, get(a, "/Tim/getHistory", "account", "np.b", "FriendAccount", "np.a"), notYours())
}
