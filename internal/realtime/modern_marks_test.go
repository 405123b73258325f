package realtime_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"tim/gen/api"
	"tim/internal/apptest"
)

// What a socket of the contract has confirmed counts as read on the account's other devices, and its peer hears of it.
func TestConfirmedCountsAsRead(t *testing.T) {
	t.Parallel()
	w, _ := start(t, apptest.Embedded)
	w.users("alice", "bob")
	w.friends("alice", "bob")
	group := w.group("alice", "bob")
	alice, bob := w.device("alice"), w.device("bob")
	alice.sync()
	bob.sync()
	w.chat("bob")
	for path, to := range map[string]struct{ alices, bobs who }{
		directPath("bob", "alice"): {alices: who{User: "bob"}, bobs: who{User: "alice"}},
		groupPath(group, "bob"):    {alices: who{Group: group}, bobs: who{Group: group}},
	} {
		seq := alice.say(to.alices, "hello")
		unread(t, w, "bob", to.bobs, 1)
		socket := w.dial("bob", path)
		for text := ""; text != "hello"; {
			text = socket.text()
		}
		socket.leave()
		read := func(f frame) bool { return f.Account == "bob" && f.Read == seq && f.Received == seq }
		if got := bob.until("marks", read); got.Conversation != to.bobs {
			t.Errorf("bob hears %s", got.text)
		}
		if got := alice.until("marks", read); got.Conversation != to.alices {
			t.Errorf("alice hears %s", got.text)
		}
		unread(t, w, "bob", to.bobs, 0)
	}
}

// unread compares how many messages of a conversation an account hasn't read.
func unread(t *testing.T, w *world, account string, of who, want int64) {
	t.Helper()
	var list api.Conversations
	must(t, json.Unmarshal(w.call(account, http.MethodGet, "/Tim/getConversations", url.Values{"account": {account}}, nil), &list))
	for _, c := range list.Conversations {
		if named(c.Conversation) == of {
			if c.Unread != want {
				t.Errorf("%d unread of %+v, want %d", c.Unread, of, want)
			}
			return
		}
	}
	t.Errorf("%s has no conversation with %+v", account, of)
}

func named(c api.ConversationName) (name who) {
	if c.User != nil {
		name.User = *c.User
	}
	if c.Group != nil {
		name.Group = int(*c.Group)
	}
	return name
}
