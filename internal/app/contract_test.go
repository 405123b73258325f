package app_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tim/gen/client"
	"tim/internal/apptest"
	"tim/internal/fault"
)

// The routes under /Tim of the contract, in both modes.
func TestContract(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		for name, group := range map[string]func(*testing.T, *site){
			"register": testRegister, "login": testLogin, "logout": testLogout, "friends": testFriends,
			"friend refusals": testFriendRefusals, "groups": testGroups, "group refusals": testGroupRefusals,
			"owner": testOwnerInheritance, "rejoin": testRejoin, "online": testOnlineStatus, "client": testGeneratedClient,
			"accounts": testAccountSpellings,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				group(t, s)
			})
		}
	})
}

func testRegister(t *testing.T, s *site) {
	got := s.do(t, ask{path: "/Tim/UserRegister", json: `{"account":"reg.a","password":"123456","username":"甲","age":20,"sex":"female"}`})
	if got.status != http.StatusOK || got.Message != "注册成功" {
		t.Fatalf("register: %d %s", got.status, got.body)
	}
	female := "female"
	var made user
	if err := json.Unmarshal(got.Data, &made); err != nil || made.ID == 0 {
		t.Fatalf("data: %v %s", err, got.Data)
	}
	diff(t, "the new user", user{ID: made.ID, Username: "甲", Account: "reg.a", Sex: &female, Age: 20}, made)

	english := s.do(t, ask{
		path: "/Tim/UserRegister", header: map[string]string{"Tim-Language": "en"},
		json: `{"account":"reg.b","password":"123456","username":"b","sex":null,"age":null}`,
	})
	if english.status != http.StatusOK || english.Message != "registered" {
		t.Errorf("register in English: %d %s", english.status, english.body)
	}
	var plain user
	if err := json.Unmarshal(english.Data, &plain); err != nil {
		t.Fatal(err)
	}
	diff(t, "a user without age and sex", user{ID: plain.ID, Username: "b", Account: "reg.b"}, plain)
	if !strings.Contains(string(english.Data), `"sex":null`) {
		t.Errorf("sex is left out: %s", english.Data)
	}

	s.refused(t, ask{path: "/Tim/UserRegister", json: `{"account":"reg.a","password":"other!","username":"x"}`},
		want{http.StatusConflict, fault.AccountTaken, "此账号已存在", "this account exists already"})
}

func testLogin(t *testing.T, s *site) {
	s.register(t, "log.a")
	got := s.succeeds(t, ask{path: "/Tim/UserLogin", json: `{"account":"log.a","password":"123456"}`}, "登录成功", "logged in")
	var data []json.RawMessage
	var who user
	if err := json.Unmarshal(got.Data, &data); err != nil || len(data) != 2 || json.Unmarshal(data[0], &who) != nil {
		t.Fatalf("data is not [User, Token]: %s", got.Data)
	}
	if who.Account != "log.a" || who.Username != "LOG.A" {
		t.Errorf("the user logged in is %+v", who)
	}
	if parts := strings.Split(tokenOf(t, got), "."); len(parts) != 3 {
		t.Errorf("token of %d parts", len(parts))
	}
	wrong := want{http.StatusUnauthorized, fault.WrongCredentials, "用户名或密码错误", "wrong account or password"}
	s.refused(t, ask{path: "/Tim/UserLogin", json: `{"account":"log.a","password":"123457"}`}, wrong)
	s.refused(t, ask{path: "/Tim/UserLogin", json: `{"account":"log.nobody","password":"123456"}`}, wrong)
	// A token is ignored here, whether valid or not.
	for _, token := range []string{"garbage", tokenOf(t, got)} {
		again := s.do(t, ask{path: "/Tim/UserLogin", token: token, json: `{"account":"log.a","password":"123456"}`})
		if again.status != http.StatusOK {
			t.Errorf("login with a token: %d %s", again.status, again.body)
		}
	}
}

func testLogout(t *testing.T, s *site) {
	first := s.enter(t, "out.a")
	second := s.login(t, "out.a")
	s.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: first}, "退出成功")
	ended := want{http.StatusUnauthorized, fault.SessionEnded, "用户认证失败请查询登录", "not authenticated; please log in"}
	s.refused(t, ask{path: "/Tim/UserLogout", token: first}, ended)
	s.refused(t, ask{path: query("/Tim/getFriends", "account", "out.a"), token: first}, ended)
	s.friends(t, second, "out.a") // the other device stays logged in
	english := s.do(t, ask{path: "/Tim/UserLogout", token: second, header: map[string]string{"Tim-Language": "en"}})
	if english.Message != "logged out" {
		t.Errorf("logout in English: %s", english.body)
	}
}

func testFriends(t *testing.T, s *site) {
	a, b := s.enter(t, "fr.a"), s.enter(t, "fr.b")
	if list := s.friends(t, a, "fr.a"); len(list) != 0 {
		t.Errorf("friends of a new account: %v, want []", list)
	}
	add := ask{path: query("/Tim/addFriend", "UserAccount", "fr.a", "FriendAccount", "fr.b"), token: a}
	s.succeeds(t, add, "添加好友成功", "friend added") // it is idempotent
	for token, want := range map[string][2]string{a: {"fr.a", "fr.b"}, b: {"fr.b", "fr.a"}} {
		list := s.friends(t, token, want[0])
		if len(list) != 1 || list[0].Account != want[1] || list[0].Username != strings.ToUpper(want[1]) {
			t.Errorf("friends of %s: %+v, want %s", want[0], list, want[1])
		}
	}
	// From the other side: it concerns both directions, and succeeds when they aren't friends any more.
	del := ask{path: query("/Tim/deleteFriend", "UserAccount", "fr.b", "FriendAccount", "fr.a"), token: b}
	s.succeeds(t, del, "删除好友成功", "friend deleted")
	for token, account := range map[string]string{a: "fr.a", b: "fr.b"} {
		if list := s.friends(t, token, account); len(list) != 0 {
			t.Errorf("friends of %s after the end: %+v", account, list)
		}
	}
	oneself := ask{path: query("/Tim/deleteFriend", "UserAccount", "fr.a", "FriendAccount", "fr.a"), token: a}
	s.succeeds(t, oneself, "删除好友成功", "friend deleted")
}

func testFriendRefusals(t *testing.T, s *site) {
	a := s.enter(t, "fx.a")
	s.register(t, "fx.b")
	foreign := want{http.StatusForbidden, fault.NotYourAccount, "无权操作其他账号", "the account is somebody else's"}
	for _, tt := range []struct {
		path string
		want want
	}{
		{
			query("/Tim/addFriend", "UserAccount", "fx.a", "FriendAccount", "fx.nobody"),
			want{http.StatusNotFound, fault.UnknownAccount, "添加用户失败，查看用户账号是否正确", "friend not added; check the account"},
		},
		{
			query("/Tim/addFriend", "UserAccount", "fx.a", "FriendAccount", "fx.b "), // MySQL's = would ignore the space
			want{http.StatusNotFound, fault.UnknownAccount, "添加用户失败，查看用户账号是否正确", "friend not added; check the account"},
		},
		{
			query("/Tim/deleteFriend", "UserAccount", "fx.a", "FriendAccount", "fx.nobody"),
			want{http.StatusNotFound, fault.UnknownAccount, "删除用户失败，查看用户账号是否正确", "friend not deleted; check the account"},
		},
		{
			query("/Tim/addFriend", "UserAccount", "fx.a", "FriendAccount", "fx.a"),
			want{http.StatusUnprocessableEntity, fault.FriendIsSelf, "不能添加自己为好友", "nobody is their own friend"},
		},
		{query("/Tim/addFriend", "UserAccount", "fx.b", "FriendAccount", "fx.a"), foreign},
		{query("/Tim/deleteFriend", "UserAccount", "fx.b", "FriendAccount", "fx.a"), foreign},
		{query("/Tim/getFriends", "account", "fx.b"), foreign},
		{query("/Tim/getFriends", "account", "fx.nobody"), foreign},
	} {
		s.refused(t, ask{path: tt.path, token: a}, tt.want)
	}
	if list := s.friends(t, a, "fx.a"); len(list) != 0 {
		t.Errorf("a refusal made friends: %+v", list)
	}
}

func testGroups(t *testing.T, s *site) {
	a, b := s.enter(t, "gr.a"), s.enter(t, "gr.b")
	make50 := strings.Repeat("群", 50)
	create := ask{method: http.MethodPost, path: query("/Tim/createGroup", "CreateUserAccount", "gr.a", "GroupName", make50), token: a}
	created := s.succeedsOnce(t, create, "创建成功")
	var data map[string]int32
	if err := json.Unmarshal(created.Data, &data); err != nil || data["GroupID"] < 1 || len(data) != 1 {
		t.Fatalf("data: %s, want a GroupID alone", created.Data)
	}
	s.refused(t, create, want{http.StatusConflict, fault.GroupNameTaken, "创建失败", "not created: the name is taken"})

	id := encodeJSON(t, data["GroupID"])
	join := ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", "gr.b", "GroupID", id), token: b}
	s.succeeds(t, join, "加入群聊成功", "group joined") // it is idempotent
	leave := ask{method: http.MethodPost, path: query("/Tim/leaveGroup", "UserAccount", "gr.b", "GroupID", id), token: b}
	s.succeedsOnce(t, leave, "退出群聊成功")
	s.refused(t, leave, want{http.StatusNotFound, fault.NotInGroup, "退出群聊错误", "not left: not a member of the group"})
	// The creator is a member already, so joining changes nothing. Leaving works.
	s.succeedsOnce(t, ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", "gr.a", "GroupID", id), token: a}, "加入群聊成功")
	english := ask{
		method: http.MethodPost, token: a, header: map[string]string{"Tim-Language": "en"},
		path: query("/Tim/leaveGroup", "UserAccount", "gr.a", "GroupID", id),
	}
	s.succeedsOnce(t, english, "group left")
	// A group without members still exists: its name stays taken, and it can be joined.
	s.refused(t, create, want{http.StatusConflict, fault.GroupNameTaken, "创建失败", "not created: the name is taken"})
	s.succeedsOnce(t, join, "加入群聊成功")
}

func testGroupRefusals(t *testing.T, s *site) {
	a := s.enter(t, "gx.a")
	s.register(t, "gx.b")
	group := encodeJSON(t, s.createGroup(t, a, "gx.a", "gx"))
	foreign := want{http.StatusForbidden, fault.NotYourAccount, "无权操作其他账号", "the account is somebody else's"}
	for _, tt := range []struct {
		path string
		want want
	}{
		{
			query("/Tim/joinGroup", "UserAccount", "gx.a", "GroupID", "2147483647"),
			want{http.StatusNotFound, fault.UnknownGroup, "加入群聊错误", "not joined: no such group"},
		},
		{
			query("/Tim/leaveGroup", "UserAccount", "gx.a", "GroupID", "2147483647"),
			want{http.StatusNotFound, fault.UnknownGroup, "退出群聊错误", "not left: no such group"},
		},
		{query("/Tim/joinGroup", "UserAccount", "gx.b", "GroupID", group), foreign},
		{query("/Tim/leaveGroup", "UserAccount", "gx.b", "GroupID", group), foreign},
		{query("/Tim/createGroup", "CreateUserAccount", "gx.b", "GroupName", "gx.b's"), foreign},
	} {
		s.refused(t, ask{method: http.MethodPost, path: tt.path, token: a}, tt.want)
	}
}

// When the owner leaves, the member with the longest membership becomes the owner, whatever its name.
func testOwnerInheritance(t *testing.T, s *site) {
	owner, token := "in.owner", s.enter(t, "in.owner")
	group := s.createGroup(t, token, owner, "in")
	id := encodeJSON(t, group)
	heirs := []string{"in.z", "in.a", "in.m"}
	tokens := map[string]string{owner: token}
	for _, heir := range heirs {
		tokens[heir] = s.enter(t, heir)
		s.succeedsOnce(t, ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", heir, "GroupID", id), token: tokens[heir]}, "加入群聊成功")
	}
	for _, leaver := range append([]string{owner}, heirs...) {
		if got := s.ownerOf(t, group); got != leaver {
			t.Fatalf("the owner is %q, want %q", got, leaver)
		}
		s.succeedsOnce(t, ask{method: http.MethodPost, path: query("/Tim/leaveGroup", "UserAccount", leaver, "GroupID", id), token: tokens[leaver]}, "退出群聊成功")
	}
	if got := s.ownerOf(t, group); got != "" {
		t.Errorf("a group without members is owned by %q", got)
	}
	// A group that had no members has no owner after somebody joins. An operator names one.
	s.succeedsOnce(t, ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", "in.m", "GroupID", id), token: tokens["in.m"]}, "加入群聊成功")
	if got := s.ownerOf(t, group); got != "" {
		t.Errorf("joining an empty group made %q its owner", got)
	}
}

// A member that leaves and joins again is the newest member.
func testRejoin(t *testing.T, s *site) {
	names := []string{"re.a", "re.b", "re.c"}
	tokens := make(map[string]string)
	for _, name := range names {
		tokens[name] = s.enter(t, name)
	}
	group := s.createGroup(t, tokens["re.a"], "re.a", "re")
	id := encodeJSON(t, group)
	move := func(route, account string) {
		t.Helper()
		got := s.do(t, ask{method: http.MethodPost, path: query(route, "UserAccount", account, "GroupID", id), token: tokens[account]})
		if got.status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", route, account, got.status, got.body)
		}
	}
	move("/Tim/joinGroup", "re.b")
	move("/Tim/joinGroup", "re.c")
	move("/Tim/leaveGroup", "re.b")
	move("/Tim/joinGroup", "re.b")
	move("/Tim/leaveGroup", "re.a")
	if got := s.ownerOf(t, group); got != "re.c" {
		t.Errorf("the owner is %q, want re.c, who is a member for longer than re.b", got)
	}
}

func testOnlineStatus(t *testing.T, s *site) {
	a, b := s.enter(t, "on.a"), s.enter(t, "on.b")
	s.befriend(t, a, "on.a", "on.b")
	online := func() int {
		list := s.friends(t, a, "on.a")
		if len(list) != 1 {
			t.Fatalf("friends: %+v", list)
		}
		return list[0].OnlineStatus
	}
	if online() != 0 {
		t.Error("online without a socket")
	}
	first := s.openChat(t, "on.b", b)
	second := s.openChat(t, "on.b", b)
	first.close(t)
	if online() != 1 {
		t.Error("offline with a second socket open")
	}
	if login := s.tryLogin(t, "on.b", apptest.Password); !strings.Contains(login.body, `"onlineStatus":1`) {
		t.Errorf("login says offline: %s", login.body)
	}
	second.close(t)
	eventually(t, "the last socket's end makes its account offline", func() bool { return online() == 0 })
}

// The generated client decodes every answer.
func testGeneratedClient(t *testing.T, s *site) {
	token := s.enter(t, "gc.a")
	s.register(t, "gc.b")
	c := s.client(t, token)
	added, err := c.AddFriendWithResponse(t.Context(), &client.AddFriendParams{UserAccount: "gc.a", FriendAccount: "gc.b"})
	if err != nil || added.JSON200 == nil {
		t.Fatalf("add: %v %s", err, added.Body)
	}
	friends, err := c.GetFriendsWithResponse(t.Context(), &client.GetFriendsParams{Account: "gc.a"})
	if err != nil || friends.JSON200 == nil || !slices.ContainsFunc(*friends.JSON200, func(u client.User) bool { return u.Account == "gc.b" }) {
		t.Fatalf("friends: %v %s", err, friends.Body)
	}
	made, err := c.CreateGroupWithResponse(t.Context(), &client.CreateGroupParams{CreateUserAccount: "gc.a", GroupName: "gc"})
	if err != nil || made.JSON200 == nil || made.JSON200.Data.GroupID < 1 {
		t.Fatalf("create: %v %s", err, made.Body)
	}
	again, err := c.CreateGroupWithResponse(t.Context(), &client.CreateGroupParams{CreateUserAccount: "gc.a", GroupName: "gc"})
	if err != nil || again.JSON409 == nil || again.JSON409.Reason != "group_name_taken" {
		t.Fatalf("create again: %v %s", err, again.Body)
	}
	gone, err := c.LeaveGroupWithResponse(t.Context(), &client.LeaveGroupParams{UserAccount: "gc.a", GroupID: made.JSON200.Data.GroupID})
	if err != nil || gone.JSON200 == nil {
		t.Fatalf("leave: %v %s", err, gone.Body)
	}
}

// Accounts are NFC-normalised and compared by their bytes, on both engines.
func testAccountSpellings(t *testing.T, s *site) {
	const composed, decomposed = "sp.\u00e9", "sp.e\u0301"
	s.register(t, decomposed)
	taken := want{http.StatusConflict, fault.AccountTaken, "此账号已存在", "this account exists already"}
	for _, account := range []string{composed, decomposed} {
		s.refused(t, ask{path: "/Tim/UserRegister", json: encodeJSON(t, map[string]string{
			"account": account, "password": "123456", "username": "x",
		})}, taken)
		token := tokenOf(t, s.tryLogin(t, account, apptest.Password))
		s.friends(t, token, composed)
		s.friends(t, token, decomposed)
	}
	// With or without an accent, letters are different accounts; of those that differ in case only one is registered.
	for _, account := range []string{"sp.b", "sp.e", "sp.ß", "sp.ss"} {
		s.register(t, account)
	}
	for _, account := range []string{"sp.B", "ｓｐ.b", "sр.b"} { // the last with a Cyrillic letter
		s.refused(t, ask{path: "/Tim/UserRegister", json: encodeJSON(t, map[string]string{
			"account": account, "password": "123456", "username": "x",
		})}, want{http.StatusConflict, fault.AccountTooSimilar, "此账号与已有账号过于相似", "this account looks like one that exists"})
	}
	s.refused(t, ask{path: "/Tim/UserRegister", json: encodeJSON(t, map[string]string{
		"account": "Ad.min", "password": "123456", "username": "x",
	})}, want{http.StatusConflict, fault.AccountReserved, "此账号已被保留", "this account is reserved"})
	lower := s.login(t, "sp.b")
	s.refused(t, ask{path: query("/Tim/getFriends", "account", "sp.B"), token: lower},
		want{http.StatusForbidden, fault.NotYourAccount, "无权操作其他账号", "the account is somebody else's"})
	// Spaces at the end count, although MySQL's = ignores them.
	if got := s.tryLogin(t, "sp.b ", apptest.Password); got.status != http.StatusUnauthorized {
		t.Errorf("login with a space at the end: %d %s", got.status, got.body)
	}
	// Groups' names are compared by their bytes, too.
	for _, name := range []string{"sp group", "sp Group", "sp gr\u00f6up"} {
		s.createGroup(t, lower, "sp.b", name)
	}
}
