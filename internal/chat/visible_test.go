package chat

import (
	"context"
	"slices"
	"testing"

	"tim/internal/fault"
)

// asked is what a question asks presence about.
func (h *house) asked(questions *[]string) func(context.Context, []string) []bool {
	return func(ctx context.Context, accounts []string) []bool {
		*questions = append(*questions, accounts...)
		return h.onlineOf(ctx, accounts)
	}
}

// Whether an account is online is seen by itself, its friends and the members of its groups, whichever question is asked, and by
// them no longer than they are that.
func TestWhoSeesWhoIsOnline(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.register(t, "alice", "friend", "mate", "mute", "exfriend", "exmate", "stranger")
		h.comeOnline("alice", "friend", "mate", "exfriend", "exmate", "stranger")
		h.befriend(t, "alice", "friend", "mute", "exfriend")
		must(t, h.DeleteFriend(ctx, "exfriend", "exfriend", "alice"))
		group := h.group(t, "climbers", "alice", "mate", "exmate", "mute")
		must(t, h.RemoveMember(ctx, "alice", "alice", group, "exmate"))
		h.group(t, "of others", "mate", "stranger")
		var questions []string
		asking := h.reopened(t, func(*Options) {})
		asking.Online = h.asked(&questions)
		for account, want := range map[string]bool{
			"alice": true, "friend": true, "mate": true, "mute": false, "exfriend": false, "exmate": false, "stranger": false,
		} {
			user, err := asking.Profile(ctx, "alice", account)
			must(t, err)
			if user.Online != want {
				t.Errorf("alice is shown %s online: %t", account, user.Online)
			}
			found, err := asking.FindUsers(ctx, "alice", account, 10)
			must(t, err)
			if len(found) != 1 || found[0].Online != want {
				t.Errorf("alice finds %+v", found)
			}
			back, err := asking.Profile(ctx, account, "alice")
			must(t, err)
			if sees := want || account == "mute"; back.Online != sees {
				t.Errorf("%s is shown alice online: %t", account, back.Online)
			}
		}
		for _, hidden := range []string{"exfriend", "exmate", "stranger"} {
			if slices.Contains(questions, hidden) {
				t.Errorf("presence was asked about %s", hidden)
			}
		}
		nobody, err := asking.FindUsers(ctx, "stranger", "ex", 10)
		must(t, err)
		same(t, "found by a stranger", []string{"exfriend", "exmate"}, accountsOf(nobody))
		if nobody[0].Online || nobody[1].Online {
			t.Errorf("a stranger is shown %+v", nobody)
		}
		members, err := h.Members(ctx, "mate", "mate", group, "", 10)
		must(t, err)
		for _, m := range members {
			if m.Online != (m.Account != "mute") {
				t.Errorf("a member is shown %+v", m)
			}
		}
		_, err = h.Members(ctx, "exmate", "exmate", group, "", 10)
		refused(t, err, fault.NotAMember)
	})
}

// The other's marks are seen by who may write to it. To a former friend its newest message is all that shows how far it has read.
func TestFormerFriendsMarks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.register(t, "alice", "bob", "carol")
		h.befriend(t, "alice", "bob", "carol")
		h.send(t, "bob", ToUser("alice"), "1")
		h.send(t, "alice", ToUser("bob"), "2")
		h.send(t, "alice", ToUser("bob"), "3")
		h.send(t, "alice", ToUser("carol"), "1")
		_, err := h.Mark(ctx, "bob", ToUser("alice"), Marks{Read: 2, Received: 3})
		must(t, err)
		marks := func(s *Service, account, peer string, received, read int64) {
			t.Helper()
			list, err := s.Conversations(ctx, account, account, "", 10)
			must(t, err)
			for _, c := range list {
				if c.Target.User == peer && (c.PeerReceived != received || c.PeerRead != read) {
					t.Errorf("%s sees that %s has received %d and read %d, want %d and %d", account, peer, c.PeerReceived, c.PeerRead, received, read)
				}
			}
		}
		marks(h.Service, "alice", "bob", 3, 2)
		must(t, h.DeleteFriend(ctx, "bob", "bob", "alice"))
		marks(h.Service, "alice", "bob", 1, 1)
		marks(h.Service, "bob", "alice", 3, 3) // what she sent
		marks(h.Service, "alice", "carol", 0, 0)
		_, err = h.Mark(ctx, "bob", ToUser("alice"), Marks{Read: 3})
		refused(t, err, fault.NotFriends)
		open := h.reopened(t, func(o *Options) { o.AllowStrangers = true })
		marks(open.Service, "alice", "bob", 3, 2)
		h.befriend(t, "alice", "bob")
		marks(h.Service, "alice", "bob", 3, 2)
	})
}
