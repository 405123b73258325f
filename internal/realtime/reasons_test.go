package realtime_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"testing"

	"tim/internal/apptest"
)

// errand is something that an account wants of a conversation, on one of the faces. It returns the reason of the refusal.
type errand struct {
	name string
	try  func(account string, to who) (reason string)
}

// errands lists all that needs a right to a conversation: over REST, as requests of tim.v1, and the contract's handshakes.
func errands(w *world, devices map[string]*device) (all []errand) {
	over := func(method, path string, account, query string) func(string, who) string {
		return func(caller string, to who) string {
			parameters, err := url.ParseQuery(query)
			must(w.t, err)
			parameters.Set(account, caller)
			if to.User != "" {
				parameters.Set("FriendAccount", to.User)
			} else {
				parameters.Set("GroupID", fmt.Sprint(to.Group))
			}
			return w.reason(caller, method, path, parameters, nil)
		}
	}
	all = []errand{
		{"getHistory", over(http.MethodGet, "/Tim/getHistory", "account", "")},
		{"markRead", over(http.MethodPost, "/Tim/markRead", "UserAccount", "seq=1")},
		{"markReceived", over(http.MethodPost, "/Tim/markReceived", "UserAccount", "seq=1")},
		{"sendMessage", func(caller string, to who) string {
			return w.reason(caller, http.MethodPost, "/Tim/sendMessage", nil, textTo(to, "c1", "x"))
		}},
		{"handshake", func(caller string, to who) string {
			path := directPath(caller, to.User)
			if to.Group != 0 {
				path = groupPath(to.Group, caller)
			}
			_, response, err := w.tryDial(path, options{header: http.Header{"token": {w.tokens[caller]}}})
			if err == nil {
				return ""
			}
			text, err := io.ReadAll(response.Body)
			must(w.t, err)
			return reasonIn(w.t, text)
		}},
	}
	for kind, fields := range map[string]map[string]any{
		"history": nil, "typing": nil, "read": {"seq": 1}, "received": {"seq": 1},
	} {
		all = append(all, errand{kind, func(caller string, to who) string {
			request := map[string]any{"conversation": to}
			maps.Copy(request, fields)
			return devices[caller].ask(kind, request).Reason
		}})
	}
	return append(all, errand{"send", func(caller string, to who) string {
		return devices[caller].ask("send", textTo(to, "c1", "x")).Reason
	}})
}

// reason does a REST request and returns the reason of its refusal, "" if there is none.
func (w *world) reason(session, method, path string, query url.Values, body any) string {
	w.t.Helper()
	_, answer, err := w.try(session, method, path, query, body)
	must(w.t, err)
	return reasonIn(w.t, answer)
}

func reasonIn(t testing.TB, answer []byte) string {
	t.Helper()
	var said struct {
		Reason string `json:"reason"`
	}
	must(t, json.Unmarshal(answer, &said))
	return said.Reason
}

// A state has one reason, on whatever route, frame or handshake it is met.
func TestOneReasonForOneState(t *testing.T) {
	t.Parallel()
	w, _ := start(t, apptest.Embedded)
	w.users("alice", "bob", "former", "stranger")
	w.friends("alice", "bob", "former")
	group, left, gone := w.group("bob", "alice"), w.group("bob", "alice"), w.group("alice")
	devices := map[string]*device{}
	for _, account := range []string{"alice", "stranger"} {
		devices[account] = w.device(account)
	}
	devices["alice"].say(who{User: "former"}, "kept")
	w.call("alice", http.MethodGet, "/Tim/deleteFriend", url.Values{"UserAccount": {"alice"}, "FriendAccount": {"former"}}, nil)
	w.membership("alice", "leaveGroup", left)
	w.membership("alice", "dissolveGroup", gone)
	for _, state := range []struct {
		name, account string
		of            who
		reason        string
		reads         bool // the history is open all the same
	}{
		{"a friend", "alice", who{User: "bob"}, "", false},
		{"a member", "alice", who{Group: group}, "", false},
		{"no such account", "alice", who{User: "nobody"}, "unknown_account", false},
		{"not friends", "alice", who{User: "stranger"}, "not_friends", false},
		{"friends no more", "alice", who{User: "former"}, "not_friends", true},
		{"oneself", "alice", who{User: "alice"}, "not_friends", false},
		{"no such group", "alice", who{Group: 999}, "unknown_group", false},
		{"never a member", "stranger", who{Group: group}, "not_a_member", false},
		{"a member no more", "alice", who{Group: left}, "not_a_member", false},
		{"a dissolved group", "alice", who{Group: gone}, "unknown_group", false},
	} {
		for _, e := range errands(w, devices) {
			want := state.reason
			if state.reads && (e.name == "history" || e.name == "getHistory") {
				want = ""
			}
			if got := e.try(state.account, state.of); got != want {
				t.Errorf("%s, %s: %q, want %q", state.name, e.name, got, want)
			}
		}
	}
}

// What names an account, a group or a session beside a conversation is refused for the same reasons.
func TestOneReasonForOneStateOfContactsAndGroups(t *testing.T) {
	t.Parallel()
	w, _ := start(t, apptest.Embedded)
	w.users("alice", "bob", "stranger")
	w.friends("alice", "bob")
	group := fmt.Sprint(w.group("alice", "bob"))
	query := func(pairs ...string) url.Values {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return q
	}
	for _, tt := range []struct {
		account, method, path string
		query                 url.Values
		reason                string
	}{
		{"alice", "GET", "/Tim/addFriend", query("UserAccount", "alice", "FriendAccount", "nobody"), "unknown_account"},
		{"alice", "GET", "/Tim/deleteFriend", query("UserAccount", "alice", "FriendAccount", "nobody"), "unknown_account"},
		{"alice", "GET", "/Tim/getProfile", query("account", "nobody"), "unknown_account"},
		{"alice", "POST", "/Tim/addMember", query("UserAccount", "alice", "GroupID", group, "MemberAccount", "nobody"), "unknown_account"},
		{"alice", "POST", "/Tim/addMember", query("UserAccount", "alice", "GroupID", group, "MemberAccount", "stranger"), "not_friends"},
		{"alice", "POST", "/Tim/addMember", query("UserAccount", "alice", "GroupID", "999", "MemberAccount", "bob"), "unknown_group"},
		{"alice", "POST", "/Tim/joinGroup", query("UserAccount", "alice", "GroupID", "999"), "unknown_group"},
		{"alice", "POST", "/Tim/leaveGroup", query("UserAccount", "alice", "GroupID", "999"), "unknown_group"},
		{"alice", "POST", "/Tim/removeMember", query("UserAccount", "alice", "GroupID", "999", "MemberAccount", "bob"), "unknown_group"},
		{"alice", "POST", "/Tim/transferGroup", query("UserAccount", "alice", "GroupID", "999", "MemberAccount", "bob"), "unknown_group"},
		{"alice", "POST", "/Tim/dissolveGroup", query("UserAccount", "alice", "GroupID", "999"), "unknown_group"},
		{"alice", "GET", "/Tim/getGroupMembers", query("account", "alice", "GroupID", "999"), "unknown_group"},
		{"stranger", "GET", "/Tim/getGroupMembers", query("account", "stranger", "GroupID", group), "not_a_member"},
		{"stranger", "POST", "/Tim/leaveGroup", query("UserAccount", "stranger", "GroupID", group), "not_in_group"},
		{"alice", "POST", "/Tim/removeMember", query("UserAccount", "alice", "GroupID", group, "MemberAccount", "nobody"), "not_in_group"},
		{"alice", "POST", "/Tim/transferGroup", query("UserAccount", "alice", "GroupID", group, "MemberAccount", "stranger"), "not_in_group"},
		{"bob", "POST", "/Tim/addMember", query("UserAccount", "bob", "GroupID", group, "MemberAccount", "alice"), "not_the_owner"},
		{"bob", "POST", "/Tim/removeMember", query("UserAccount", "bob", "GroupID", group, "MemberAccount", "alice"), "not_the_owner"},
		{"bob", "POST", "/Tim/transferGroup", query("UserAccount", "bob", "GroupID", group, "MemberAccount", "alice"), "not_the_owner"},
		{"bob", "POST", "/Tim/dissolveGroup", query("UserAccount", "bob", "GroupID", group), "not_the_owner"},
		{"alice", "GET", "/Tim/getConversations", query("account", "bob"), "not_your_account"},
		{"alice", "GET", "/Tim/getHistory", query("account", "bob", "FriendAccount", "alice"), "not_your_account"},
		{"alice", "GET", "/Tim/getSessions", query("account", "bob"), "not_your_account"},
		{"alice", "POST", "/Tim/leaveGroup", query("UserAccount", "bob", "GroupID", group), "not_your_account"},
	} {
		if got := w.reason(tt.account, tt.method, tt.path, tt.query, nil); got != tt.reason {
			t.Errorf("%s %s %v: %q, want %q", tt.account, tt.path, tt.query, got, tt.reason)
		}
	}
	// A session that has ended, on REST and in handshakes.
	w.login("bob#2")
	w.call("bob#2", http.MethodGet, "/Tim/UserLogout", nil, nil)
	if got := w.reason("bob#2", http.MethodGet, "/Tim/getConversations", query("account", "bob"), nil); got != "session_ended" {
		t.Errorf("REST with an ended session: %q", got)
	}
	for path, protocols := range map[string][]string{
		"/websocket": {subprotocols}, chatPath("bob"): nil, directPath("bob", "alice"): nil, groupPath(1, "bob"): nil,
	} {
		_, response, err := w.tryDial(path, options{protocols: protocols, header: http.Header{"token": {w.tokens["bob#2"]}}})
		if err == nil {
			t.Fatalf("%s with an ended session is opened", path)
		}
		answer, err := io.ReadAll(response.Body)
		must(t, err)
		if got := reasonIn(t, answer); got != "session_ended" {
			t.Errorf("%s with an ended session: %q", path, got)
		}
	}
}
