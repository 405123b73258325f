package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// The routes under /Tim that the original server didn't have, in both modes.
func TestNewRoutes(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		for name, group := range map[string]func(*testing.T, *site){
			"messages": testMessages, "spellings": testOneMessageOfManySpellings, "retries": testRetriesAtOnce, "bodies": testBodies,
			"marks": testMarks, "conversations": testConversationPages, "ownership": testOwnership, "ownership refusals": testOwnershipRefusals,
			"lists": testLists, "profiles": testProfiles, "find": testFindUsers, "sessions": testSessions, "password": testChangePassword,
			"rights": testRights, "parameters": testNewParameters,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				group(t, s)
			})
		}
	})
}

func notFriends() want {
	return want{http.StatusForbidden, fault.NotFriends, "对方不是好友", "not a friend"}
}

func notAMember() want {
	return want{http.StatusForbidden, fault.NotAMember, "不是群成员", "not a member of the group"}
}

func notTheOwner() want {
	return want{http.StatusForbidden, fault.NotTheOwner, "只有群主可以操作", "only the group's owner may do this"}
}

func notInGroup() want {
	return want{http.StatusNotFound, fault.NotInGroup, "对方不是群成员", "the account is no member of the group"}
}

func banned() want {
	return want{http.StatusForbidden, fault.BannedFromGroup, "您已被移出该群聊", "removed from this group; only its owner can add you again"}
}

func notYours() want {
	return want{http.StatusForbidden, fault.NotYourAccount, "无权操作其他账号", "the account is somebody else's"}
}

func unknownAccount() want {
	return want{http.StatusNotFound, fault.UnknownAccount, "账号不存在", "no such account"}
}

func unknownGroup() want {
	return want{http.StatusNotFound, fault.UnknownGroup, "群聊不存在", "no such group"}
}

func badParameter() want {
	return want{http.StatusBadRequest, fault.InvalidParameter, "参数有误", "a parameter is not as it should be"}
}

func badBody() want {
	return want{http.StatusUnprocessableEntity, fault.InvalidBody, "内容不符合要求", "the body is not as it should be"}
}

// into decodes an answer's data. The answer must be a success.
func into[T any](t testing.TB, got answer) (data T) {
	t.Helper()
	if err := json.Unmarshal(got.Data, &data); err != nil || got.status != http.StatusOK || got.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	return data
}

func get(token, path string, parameters ...string) ask {
	return ask{path: query(path, parameters...), token: token}
}

func post(token, path string, parameters ...string) ask {
	return ask{method: http.MethodPost, path: query(path, parameters...), token: token}
}

// text returns the request that sends a text.
func text(token, to, clientID, text string) ask {
	return sendBody(token, to, clientID, fmt.Sprintf(`{"kind":"text","text":%q}`, text))
}

func sendBody(token, to, clientID, body string) ask {
	return ask{path: "/Tim/sendMessage", token: token, json: fmt.Sprintf(`{"to":%s,"clientId":%q,"body":%s}`, to, clientID, body)}
}

func toUser(account string) string { return fmt.Sprintf(`{"user":%q}`, account) }

func toGroup(group int32) string { return fmt.Sprintf(`{"group":%d}`, group) }

type sent struct {
	Seq  int64 `json:"seq"`
	Time int64 `json:"time"`
}

type told struct {
	Seq      int64           `json:"seq"`
	Sender   string          `json:"sender"`
	Body     json.RawMessage `json:"body"`
	ReplyTo  int64           `json:"replyTo"`
	Mentions []string        `json:"mentions"`
}

type history struct {
	Last     int64  `json:"last"`
	Messages []told `json:"messages"`
}

func (h history) seqs() []int64 {
	seqs := make([]int64, len(h.Messages))
	for i, m := range h.Messages {
		seqs[i] = m.Seq
	}
	return seqs
}

func testMessages(t *testing.T, s *site) {
	a, b := s.enter(t, "ms.a"), s.enter(t, "ms.b")
	s.befriend(t, a, "ms.a", "ms.b")
	first := into[sent](t, s.succeeds(t, text(a, toUser("ms.b"), "1", "hello"), "发送成功", "sent")) // succeeds sends it twice, so the second is a retry
	if first.Seq != 1 || time.Since(time.UnixMilli(first.Time)).Abs() > time.Minute {
		t.Errorf("sent: %+v", first)
	}
	s.refused(t, text(a, toUser("ms.b"), "1", "another"), want{http.StatusConflict, fault.ClientIDReused, "消息标识已用于其他内容", "the client id was used for another message"})
	answer := ask{path: "/Tim/sendMessage", token: b, json: `{"to":{"user":"ms.a"},"clientId":"1","body":{"kind":"text","text":"hi"},"replyTo":1,"mentions":["ms.a"]}`}
	if second := into[sent](t, s.do(t, answer)); second.Seq != 2 {
		t.Errorf("the answer: %+v", second)
	}
	for i := range 4 {
		into[sent](t, s.do(t, text(a, toUser("ms.b"), fmt.Sprint("more", i), "x")))
	}
	for _, tt := range []struct {
		parameters []string
		want       []int64
	}{
		{nil, []int64{1, 2, 3, 4, 5, 6}},
		{[]string{"limit", "2"}, []int64{5, 6}},
		{[]string{"before", "5", "limit", "2"}, []int64{3, 4}},
		{[]string{"after", "0", "limit", "2"}, []int64{1, 2}},
		{[]string{"after", "5"}, []int64{6}},
		{[]string{"after", "6"}, []int64{}},
	} {
		got := into[history](t, s.do(t, get(b, "/Tim/getHistory", append([]string{"account", "ms.b", "FriendAccount", "ms.a"}, tt.parameters...)...)))
		diff(t, fmt.Sprint(tt.parameters), tt.want, got.seqs())
		if got.Last != 6 {
			t.Errorf("last is %d", got.Last)
		}
	}
	page := into[history](t, s.do(t, get(a, "/Tim/getHistory", "account", "ms.a", "FriendAccount", "ms.b", "after", "1", "limit", "1")))
	diff(t, "a message", []told{{
		Seq: 2, Sender: "ms.b", Body: json.RawMessage(`{"kind":"text","text":"hi"}`), ReplyTo: 1, Mentions: []string{"ms.a"},
	}}, page.Messages)
	s.refused(t, ask{path: "/Tim/sendMessage", token: b, json: `{"to":{"user":"ms.a"},"clientId":"9","body":{"kind":"text","text":"hi"},"replyTo":99}`}, badBody())
}

// A message is the same however its JSON is written, and after a restart.
func testOneMessageOfManySpellings(t *testing.T, s *site) {
	a := s.enter(t, "sp2.a")
	s.register(t, "sp2.b")
	s.befriend(t, a, "sp2.a", "sp2.b")
	for _, body := range []string{
		`{"kind":"custom","data":{"a":1,"b":[true,null]}}`, `{ "data" : { "b":[ true,null ],"a":1 },  "kind":"custom" }`,
		"{\"data\":{\"\\u0061\":1,\n\"b\":[true,null]},\"kind\":\"custom\"}",
	} {
		if got := into[sent](t, s.do(t, sendBody(a, toUser("sp2.b"), "1", body))); got.Seq != 1 {
			t.Errorf("%s is message %d", body, got.Seq)
		}
	}
	got := s.do(t, sendBody(a, toUser("sp2.b"), "1", `{"kind":"custom","data":{"a":1,"b":[null,true]}}`))
	if got.status != http.StatusConflict {
		t.Errorf("another order of a list: %d %s", got.status, got.body)
	}
}

func testRetriesAtOnce(t *testing.T, s *site) {
	a := s.enter(t, "ra.a")
	group := s.createGroup(t, a, "ra.a", "ra")
	var asks []ask
	for i := range 24 {
		asks = append(asks, text(a, toGroup(group), fmt.Sprint(i%4), fmt.Sprint(i%4)))
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	seqs := map[string]map[int64]bool{}
	for i, one := range asks {
		work.Go(func() {
			got := s.do(t, one)
			var data sent
			if err := json.Unmarshal(got.Data, &data); err != nil || got.status != http.StatusOK {
				t.Errorf("%d %s: %v", got.status, got.body, err)
			}
			mu.Lock()
			defer mu.Unlock()
			id := fmt.Sprint(i % 4)
			if seqs[id] == nil {
				seqs[id] = map[int64]bool{}
			}
			seqs[id][data.Seq] = true
		})
	}
	work.Wait()
	for id, got := range seqs {
		if len(got) != 1 {
			t.Errorf("%s has the numbers %v", id, got)
		}
	}
	all := into[history](t, s.do(t, get(a, "/Tim/getHistory", "account", "ra.a", "GroupID", fmt.Sprint(group))))
	diff(t, "the history", []int64{2, 3, 4, 5}, all.seqs())
}

func testBodies(t *testing.T, s *site) {
	a := s.enter(t, "bo.a")
	group := s.createGroup(t, a, "bo.a", "bo")
	good := []string{
		`{"kind":"text","text":""}`, `{"kind":"text","text":"密码😀\u0000"}`, `{"file":"x","kind":"image","width":3}`, `{"file":"x","kind":"audio"}`,
		`{"file":"x","kind":"video"}`, `{"file":"x","kind":"file","name":"y"}`, `{"kind":"location","latitude":1.5,"longitude":-2}`,
		`{"kind":"card","target":{"user":"bo.a"}}`, `{"data":{"anything":[1]},"kind":"custom"}`,
	}
	for i, body := range good {
		into[sent](t, s.do(t, sendBody(a, toGroup(group), fmt.Sprint("good", i), body)))
	}
	all := into[history](t, s.do(t, get(a, "/Tim/getHistory", "account", "bo.a", "GroupID", fmt.Sprint(group))))
	for i, m := range all.Messages {
		var got, want any
		if json.Unmarshal(m.Body, &got) != nil || json.Unmarshal([]byte(good[i]), &want) != nil {
			t.Fatalf("no JSON: %s", m.Body)
		}
		diff(t, good[i], want, got)
	}
	for _, body := range []string{
		`{}`, `{"kind":"nothing"}`, `{"kind":"text"}`, `{"kind":"text","text":1}`, `{"kind":"image"}`, `{"kind":"location","latitude":91,"longitude":0}`,
		`{"kind":"card"}`, `{"kind":"card","target":{}}`, `{"kind":"custom","data":[]}`, `{"kind":"notice","event":"joined","actor":"bo.a"}`, `"text"`, `null`,
	} {
		got := s.do(t, sendBody(a, toGroup(group), "bad", body))
		if got.status != http.StatusUnprocessableEntity || got.Reason != string(fault.InvalidBody) {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	for _, request := range []string{
		`{"clientId":"1","body":{"kind":"text","text":"x"}}`,
		`{"to":{},"clientId":"1","body":{"kind":"text","text":"x"}}`,
		`{"to":{"user":"bo.a","group":1},"clientId":"1","body":{"kind":"text","text":"x"}}`,
		`{"to":{"group":0},"clientId":"1","body":{"kind":"text","text":"x"}}`,
		`{"to":{"group":1},"body":{"kind":"text","text":"x"}}`,
		`{"to":{"group":1},"clientId":"","body":{"kind":"text","text":"x"}}`,
		`{"to":{"group":1},"clientId":"with space","body":{"kind":"text","text":"x"}}`,
		`{"to":{"group":1},"clientId":"` + strings.Repeat("x", 65) + `","body":{"kind":"text","text":"x"}}`,
		`{"to":{"group":1},"clientId":"1","body":{"kind":"text","text":"x"},"replyTo":0}`,
		`{"to":{"group":1},"clientId":"1","body":{"kind":"text","text":"x"},"mentions":[""]}`,
	} {
		got := s.do(t, ask{path: "/Tim/sendMessage", token: a, json: request})
		if got.status != http.StatusUnprocessableEntity || got.Reason != string(fault.InvalidBody) {
			t.Errorf("%s: %d %s", request, got.status, got.body)
		}
	}
}

type marks struct {
	Received int64 `json:"received"`
	Read     int64 `json:"read"`
}

func testMarks(t *testing.T, s *site) {
	a, b := s.enter(t, "mk.a"), s.enter(t, "mk.b")
	s.befriend(t, a, "mk.a", "mk.b")
	for i := range 3 {
		into[sent](t, s.do(t, text(a, toUser("mk.b"), fmt.Sprint(i), "x")))
	}
	for _, step := range []struct {
		route, seq string
		want       marks
	}{
		{"markReceived", "2", marks{2, 0}}, {"markRead", "1", marks{2, 1}}, {"markRead", "0", marks{2, 1}}, {"markReceived", "1", marks{2, 1}},
		{"markRead", "3", marks{3, 3}}, {"markReceived", "9", marks{3, 3}}, {"markRead", "9223372036854775807", marks{3, 3}},
	} {
		got := s.succeeds(t, post(b, "/Tim/"+step.route, "UserAccount", "mk.b", "FriendAccount", "mk.a", "seq", step.seq), "ok", "ok")
		diff(t, step.route+" "+step.seq, step.want, into[marks](t, got))
	}
	for _, route := range []string{"/Tim/markRead", "/Tim/markReceived"} {
		s.refused(t, post(b, route, "UserAccount", "mk.a", "FriendAccount", "mk.b", "seq", "1"), notYours())
		s.refused(t, post(b, route, "UserAccount", "mk.b", "FriendAccount", "mk.nobody", "seq", "1"), unknownAccount())
		for _, parameters := range [][]string{{"seq", "1"}, {"FriendAccount", "mk.a", "GroupID", "1", "seq", "1"}, {"FriendAccount", "mk.a"}, {"FriendAccount", "mk.a", "seq", "-1"}} {
			s.refused(t, post(b, route, append([]string{"UserAccount", "mk.b"}, parameters...)...), badParameter())
		}
	}
}

type conversations struct {
	Conversations []struct {
		Conversation struct {
			User  string `json:"user"`
			Group int32  `json:"group"`
		} `json:"conversation"`
		Last         int64  `json:"last"`
		Read         int64  `json:"read"`
		Unread       int64  `json:"unread"`
		PeerReceived *int64 `json:"peerReceived"`
		PeerRead     *int64 `json:"peerRead"`
		Message      *told  `json:"message"`
	} `json:"conversations"`
	Next string `json:"next"`
}

func testConversationPages(t *testing.T, s *site) {
	a := s.enter(t, "cv.a")
	names := []string{"cv.b", "cv.c", "cv.d"}
	for _, name := range names {
		token := s.enter(t, name)
		s.befriend(t, a, "cv.a", name)
		into[sent](t, s.do(t, text(token, toUser("cv.a"), "1", "x")))
		into[sent](t, s.do(t, text(token, toUser("cv.a"), "2", "from "+name)))
	}
	group := s.createGroup(t, a, "cv.a", "cv")
	for _, limit := range []string{"1", "2", "4", "5"} {
		seen, after := map[string]int64{}, ""
		for range 9 {
			page := into[conversations](t, s.do(t, get(a, "/Tim/getConversations", "account", "cv.a", "limit", limit, "after", after)))
			for _, c := range page.Conversations {
				seen[fmt.Sprint(c.Conversation.User, c.Conversation.Group)] += c.Unread
				if c.Conversation.User != "" && (c.Message == nil || c.Message.Sender != c.Conversation.User || *c.PeerRead != 2 || *c.PeerReceived != 2) {
					t.Errorf("of %s: %+v", c.Conversation.User, c)
				}
				if c.Conversation.Group != 0 && (c.Message != nil || c.PeerRead != nil || c.Last != 1) {
					t.Errorf("of the group: %+v", c)
				}
			}
			if after = page.Next; after == "" {
				break
			}
		}
		diff(t, "unread, by pages of "+limit, map[string]int64{"cv.b0": 2, "cv.c0": 2, "cv.d0": 2, fmt.Sprint(group): 0}, seen)
	}
	s.refused(t, get(a, "/Tim/getConversations", "account", "cv.b"), notYours())
	for _, parameters := range [][]string{{"limit", "0"}, {"limit", "201"}, {"after", "%"}, {"limit", "x"}} {
		s.refused(t, get(a, "/Tim/getConversations", append([]string{"account", "cv.a"}, parameters...)...), badParameter())
	}
}

// noticesOf returns the notices in a group's history.
func (s *site) noticesOf(t testing.TB, token, account string, group int32) []string {
	t.Helper()
	var notices []string
	for _, m := range into[history](t, s.do(t, get(token, "/Tim/getHistory", "account", account, "GroupID", fmt.Sprint(group), "after", "0"))).Messages {
		var n struct {
			Kind    string `json:"kind"`
			Event   string `json:"event"`
			Actor   string `json:"actor"`
			Account string `json:"account"`
		}
		if err := json.Unmarshal(m.Body, &n); err != nil {
			t.Fatal(err)
		}
		if n.Kind == "notice" {
			notices = append(notices, n.Event+" "+n.Actor+" "+n.Account)
		}
	}
	return notices
}

func testOwnership(t *testing.T, s *site) {
	a, b, c := s.enter(t, "ow.a"), s.enter(t, "ow.b"), s.enter(t, "ow.c")
	s.befriend(t, a, "ow.a", "ow.b")
	s.befriend(t, a, "ow.a", "ow.c")
	group := s.createGroup(t, a, "ow.a", "ow")
	id := fmt.Sprint(group)
	s.succeeds(t, post(a, "/Tim/addMember", "UserAccount", "ow.a", "GroupID", id, "MemberAccount", "ow.b"), "添加成员成功", "member added")
	s.succeeds(t, post(a, "/Tim/addMember", "UserAccount", "ow.a", "GroupID", id, "MemberAccount", "ow.c"), "添加成员成功", "member added")
	remove := post(a, "/Tim/removeMember", "UserAccount", "ow.a", "GroupID", id, "MemberAccount", "ow.c")
	s.succeedsOnce(t, remove, "移除成员成功")
	s.refused(t, remove, notInGroup())
	s.refused(t, post(c, "/Tim/joinGroup", "UserAccount", "ow.c", "GroupID", id), banned())
	hand := post(a, "/Tim/transferGroup", "UserAccount", "ow.a", "GroupID", id, "MemberAccount", "ow.b")
	s.succeedsOnce(t, hand, "转让群聊成功")
	s.refused(t, hand, notTheOwner())
	if owner := s.ownerOf(t, group); owner != "ow.b" {
		t.Errorf("the owner is %q", owner)
	}
	diff(t, "notices", []string{"joined ow.a ow.b", "joined ow.a ow.c", "left ow.a ow.c", "owner ow.a ow.b"}, s.noticesOf(t, a, "ow.a", group))
	s.succeedsOnce(t, post(b, "/Tim/dissolveGroup", "UserAccount", "ow.b", "GroupID", id), "解散群聊成功")
	for token, account := range map[string]string{a: "ow.a", b: "ow.b"} {
		s.refused(t, get(token, "/Tim/getHistory", "account", account, "GroupID", id), unknownGroup())
		s.refused(t, text(token, toGroup(group), "x", "x"), unknownGroup())
	}
	if next := s.createGroup(t, a, "ow.a", "ow"); next <= group { // the name is free again, the id isn't
		t.Errorf("group %d after %d", next, group)
	}
}

func testOwnershipRefusals(t *testing.T, s *site) {
	a, b := s.enter(t, "ox.a"), s.enter(t, "ox.b")
	s.register(t, "ox.c")
	group := s.createGroup(t, a, "ox.a", "ox")
	id := fmt.Sprint(group)
	s.succeedsOnce(t, post(b, "/Tim/joinGroup", "UserAccount", "ox.b", "GroupID", id), "加入群聊成功")
	for _, route := range []string{"addMember", "removeMember", "transferGroup", "dissolveGroup"} {
		act := func(token, account, group, member string) ask {
			parameters := []string{"UserAccount", account, "GroupID", group}
			if route != "dissolveGroup" {
				parameters = append(parameters, "MemberAccount", member)
			}
			return post(token, "/Tim/"+route, parameters...)
		}
		s.refused(t, act(b, "ox.b", id, "ox.a"), notTheOwner())
		s.refused(t, act(b, "ox.a", id, "ox.b"), notYours())
		s.refused(t, act(a, "ox.a", "2147483647", "ox.b"), unknownGroup())
		s.refused(t, act(a, "ox.a", "0", "ox.b"), badParameter())
		s.refused(t, act(a, "ox.a", "x", "ox.b"), badParameter())
	}
	s.refused(t, post(a, "/Tim/addMember", "UserAccount", "ox.a", "GroupID", id, "MemberAccount", "ox.c"), notFriends())
	s.refused(t, post(a, "/Tim/addMember", "UserAccount", "ox.a", "GroupID", id, "MemberAccount", "ox.nobody"), unknownAccount())
	s.refused(t, post(a, "/Tim/removeMember", "UserAccount", "ox.a", "GroupID", id, "MemberAccount", "ox.a"), badParameter())
	s.refused(t, post(a, "/Tim/removeMember", "UserAccount", "ox.a", "GroupID", id, "MemberAccount", "ox.nobody"), notInGroup())
	s.refused(t, post(a, "/Tim/transferGroup", "UserAccount", "ox.a", "GroupID", id, "MemberAccount", "ox.c"), notInGroup())
	if owner := s.ownerOf(t, group); owner != "ox.a" {
		t.Errorf("the owner is %q", owner)
	}
}

func testLists(t *testing.T, s *site) {
	a, b := s.enter(t, "li.a"), s.enter(t, "li.b")
	first, second := s.createGroup(t, a, "li.a", "li 1"), s.createGroup(t, a, "li.a", "li 2")
	s.succeedsOnce(t, post(b, "/Tim/joinGroup", "UserAccount", "li.b", "GroupID", fmt.Sprint(first)), "加入群聊成功")
	type group struct {
		GroupID          int32
		GroupName, Owner string
	}
	wanted := []group{{first, "li 1", "li.a"}, {second, "li 2", "li.a"}}
	diff(t, "groups", wanted, into[[]group](t, s.do(t, get(a, "/Tim/getGroups", "account", "li.a"))))
	diff(t, "a page", wanted[:1], into[[]group](t, s.do(t, get(a, "/Tim/getGroups", "account", "li.a", "limit", "1"))))
	diff(t, "the next", wanted[1:], into[[]group](t, s.do(t, get(a, "/Tim/getGroups", "account", "li.a", "after", fmt.Sprint(first)))))
	diff(t, "after the last", []group{}, into[[]group](t, s.do(t, get(a, "/Tim/getGroups", "account", "li.a", "after", fmt.Sprint(second)))))
	accounts := func(parameters ...string) (names []string) {
		all := append([]string{"account", "li.b", "GroupID", fmt.Sprint(first)}, parameters...)
		for _, u := range into[[]user](t, s.do(t, get(b, "/Tim/getGroupMembers", all...))) {
			names = append(names, u.Account)
		}
		return names
	}
	diff(t, "members", []string{"li.a", "li.b"}, accounts())
	diff(t, "a page", []string{"li.a"}, accounts("limit", "1"))
	diff(t, "the next", []string{"li.b"}, accounts("after", "li.a"))
	s.refused(t, get(b, "/Tim/getGroups", "account", "li.a"), notYours())
	s.refused(t, get(b, "/Tim/getGroupMembers", "account", "li.a", "GroupID", fmt.Sprint(first)), notYours())
	s.refused(t, get(b, "/Tim/getGroupMembers", "account", "li.b", "GroupID", fmt.Sprint(second)), notAMember())
	s.refused(t, get(b, "/Tim/getGroupMembers", "account", "li.b", "GroupID", "2147483647"), unknownGroup())
}

// A client id is remembered across a restart.
func TestClientIDsAfterARestart(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode)
			s := serve(t, settings)
			a := s.enter(t, "cr.a")
			group := s.createGroup(t, a, "cr.a", "cr")
			before := into[sent](t, s.do(t, text(a, toGroup(group), "1", "x")))
			s.Shutdown(t)
			s = serve(t, settings)
			again := s.login(t, "cr.a") // from another device
			diff(t, "the retry", before, into[sent](t, s.do(t, text(again, toGroup(group), "1", "x"))))
			if got := s.do(t, text(again, toGroup(group), "1", "y")); got.Reason != string(fault.ClientIDReused) {
				t.Errorf("another body: %d %s", got.status, got.body)
			}
		})
	}
}

// What comes faster than the limit is read later: each request has its answer, in order.
func TestRateLimitedSocket(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-send-rate=10", "--limit-send-burst=3")
	a := s.enter(t, "rl.a")
	c := openModern(t, s.URL, a)
	const count = 10
	begun := time.Now()
	for i := range count {
		c.write(t, fmt.Sprintf(`{"type":"ping","id":"%d"}`, i))
	}
	for i := 0; i < count; {
		var frame struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		}
		if err := json.Unmarshal([]byte(c.read(t)), &frame); err != nil {
			t.Fatal(err)
		}
		if frame.Type == "hello" {
			continue
		}
		if frame.Type != "pong" || frame.ID != fmt.Sprint(i) {
			t.Fatalf("the answer to ping %d is %+v", i, frame)
		}
		i++
	}
	if took := time.Since(begun); took < 500*time.Millisecond { // (10 - 3) / 10 s, but for the pause behind the last
		t.Errorf("they took %v", took)
	}
}
