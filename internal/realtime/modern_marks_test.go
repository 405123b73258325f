package realtime_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
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

// Who sends has read what came before. Its other devices hear so, and one to one its peer; in a group nobody else does.
func TestSendingReads(t *testing.T) {
	t.Parallel()
	testModes(t, func(t *testing.T, s setup) {
		n := startNode(t, s)
		n.users("alice", "bob")
		n.friends("alice", "bob")
		group := who{Group: n.group("alice", "bob")}
		sending, other, bob := n.device("alice"), n.device("alice"), n.device("bob")
		for _, d := range []*device{sending, other, bob} {
			d.sync()
		}
		for _, step := range []struct {
			alices, bobs who
			peer         bool
		}{{who{User: "bob"}, who{User: "alice"}, true}, {group, group, false}} {
			names := map[*device]who{sending: step.alices, other: step.alices, bob: step.bobs}
			first := bob.say(step.bobs, "bob's")
			for d, of := range names {
				d.upTo(of, first)
				d.ask("ping", nil) // behind what bob's message moved
				d.others = nil
			}
			seq := sending.say(step.alices, "alice's")
			again := sending.say(step.alices, "another")
			for d, of := range names {
				want := 1
				if d == bob && !step.peer {
					want = 0
				}
				d.upTo(of, again)
				d.ask("ping", nil)
				var moved []frame
				for _, f := range d.others {
					if f.Type == "marks" {
						moved = append(moved, f)
					}
				}
				if len(moved) != want {
					t.Errorf("%s hears of %+v: %+v", d.session, of, moved)
				}
				for _, f := range moved {
					if f.Account != "alice" || f.Conversation != of || f.Received != seq || f.Read != seq {
						t.Errorf("%s hears %s", d.session, f.text)
					}
				}
			}
		}
	})
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

// A notice that an account causes moves its marks, of which nobody is told; its next send tells of them all the same.
func TestSendingReadsBehindOwnNotice(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob", "carol")
	n.friends("alice", "carol")
	group := who{Group: n.group("alice", "bob")}
	sending, other, bob := n.device("alice"), n.device("alice"), n.device("bob")
	for _, d := range []*device{sending, other, bob} {
		d.sync()
	}
	bob.say(group, "unread")
	must(t, n.service.AddMember(t.Context(), "alice", "alice", int32(group.Group), "carol"))
	seq := sending.say(group, "read")
	read := func(f frame) bool { return f.Account == "alice" && f.Read == seq }
	if got := other.until("marks", read); got.Conversation != group {
		t.Errorf("the other device hears %s", got.text)
	}
}

// Before its first sync a connection hears of no group. Whoever it may not see any more is still shown offline, at the latest
// when that account comes or goes, and nothing of it is shown afterwards.
func TestPresenceBeforeTheFirstSync(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob", "carol")
	n.friends("alice", "bob")
	group := int32(n.group("alice", "carol"))
	carol := n.device("carol")
	alice := n.device("alice")
	if f := alice.ask("subscribe", map[string]any{"accounts": []string{"bob", "carol"}}); f.Type != "subscribed" {
		t.Fatalf("got %s", f.text)
	}
	must(t, n.service.LeaveGroup(t.Context(), "carol", "carol", group))
	must(t, carol.Close())
	if f := alice.until("presence", nil); f.Account != "carol" || !strings.Contains(f.text, `"online":false`) {
		t.Errorf("got %s", f.text)
	}
	carol = n.device("carol") // which alice may not hear of
	bob := n.device("bob")
	if f := alice.until("presence", nil); f.Account != "bob" || !strings.Contains(f.text, `"online":true`) {
		t.Errorf("got %s", f.text)
	}
	must(t, bob.Close())
	if f := alice.until("presence", nil); f.Account != "bob" || !strings.Contains(f.text, `"online":false`) {
		t.Errorf("got %s", f.text)
	}
	carol.quiet("message")
}
