package chat

import (
	"fmt"
	"sync"
	"testing"

	"tim/internal/fault"
)

func TestFriendshipGoesBothWays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "ren\u00e9")
		for range 2 { // the second time changes nothing
			must(t, h.AddFriend(t.Context(), "bob", "bob", "alice"))
			must(t, h.AddFriend(t.Context(), "alice", "alice", "rene\u0301"))
		}
		for account, want := range map[string][]string{"alice": {"bob", "ren\u00e9"}, "bob": {"alice"}, "ren\u00e9": {"alice"}} {
			friends, err := h.Friends(t.Context(), account, account)
			must(t, err)
			same(t, account+"'s friends", want, accountsOf(friends))
		}
		for range 2 {
			must(t, h.DeleteFriend(t.Context(), "bob", "bob", "alice"))
		}
		for account, want := range map[string][]string{"alice": {"ren\u00e9"}, "bob": {}} {
			friends, err := h.Friends(t.Context(), account, account)
			must(t, err)
			same(t, account+"'s friends afterwards", want, accountsOf(friends))
		}
	})
}

func TestFriendRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		ctx := t.Context()
		refused(t, h.AddFriend(ctx, "alice", "bob", "alice"), fault.NotYourAccount)
		refused(t, h.AddFriend(ctx, "alice", "alice ", "bob"), fault.NotYourAccount)
		refused(t, h.AddFriend(ctx, "alice", "alice", "alice"), fault.FriendIsSelf)
		for _, nobody := range []string{"nobody", "BOB", "bob "} {
			refused(t, h.AddFriend(ctx, "alice", "alice", nobody), fault.UnknownAccount)
			refused(t, h.DeleteFriend(ctx, "alice", "alice", nobody), fault.UnknownAccount)
		}
		refused(t, h.DeleteFriend(ctx, "alice", "bob", "alice"), fault.NotYourAccount)
		_, err := h.Friends(ctx, "alice", "bob")
		refused(t, err, fault.NotYourAccount)
		same(t, "friendships", nil, h.column(t, "SELECT friend FROM friends"))
		same(t, "told", nil, h.told())
	})
}

func TestFriendshipIsToldAtBothEnds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		for range 2 { // the second time changes nothing
			h.befriend(t, "alice", "bob")
		}
		h.befriend(t, "bob", "alice")
		both := []string{"alice", "bob"}
		same(t, "told of its beginning", []Event{{Kind: FriendshipBegan, Accounts: both, Account: "bob", Actor: "alice"}}, h.told())
		for range 2 {
			must(t, h.DeleteFriend(t.Context(), "alice", "alice", "bob"))
		}
		want := []Event{{Kind: FriendshipEnded, Conversation: ToUser("alice").Conversation("bob"), Accounts: both, Account: "bob", Actor: "alice"}}
		same(t, "told", want, h.told())
		// Where strangers may write, no socket is closed.
		open := h.reopened(t, func(o *Options) { o.AllowStrangers = true })
		open.befriend(t, "alice", "bob")
		must(t, open.DeleteFriend(t.Context(), "alice", "alice", "bob"))
		want = []Event{{Kind: FriendshipBegan, Accounts: both, Account: "bob", Actor: "alice"}, {Kind: FriendshipEnded, Accounts: both, Account: "bob", Actor: "alice"}}
		same(t, "told where strangers may write", want, open.told())
	})
}

// Rows of an old database may name users that don't exist, and only one direction of a friendship.
func TestFriendsOfAnOldDatabase(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.exec(t, "INSERT INTO friends (`user`, friend) VALUES ('alice', 'gone'), ('alice', 'bob'), ('alice', 'alice')")
		h.comeOnline("alice", "bob", "gone")
		friends, err := h.Friends(t.Context(), "alice", "alice")
		must(t, err)
		same(t, "alice's friends", []string{"alice", "bob"}, accountsOf(friends))
		visible, err := h.VisibleOnline(t.Context(), "alice")
		must(t, err)
		same(t, "visible", []string{"bob", "gone"}, visible)
		must(t, h.DeleteFriend(t.Context(), "alice", "alice", "gone"))
		refused(t, h.DeleteFriend(t.Context(), "alice", "alice", "gone"), fault.UnknownAccount)
		must(t, h.AddFriend(t.Context(), "bob", "bob", "alice")) // the missing direction
		same(t, "bob's rows", []string{"alice"}, h.column(t, "SELECT friend FROM friends WHERE `user` = 'bob'"))
	})
}

func TestFriendsShowWhoIsOnline(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		h.befriend(t, "alice", "carol", "bob")
		h.comeOnline("carol")
		friends, err := h.Friends(t.Context(), "alice", "alice")
		must(t, err)
		if len(friends) != 2 || friends[0].Online || !friends[1].Online || friends[1].Username != "CAROL" {
			t.Errorf("got %+v", friends)
		}
	})
}

// Two accounts that befriend each other at the same moment don't deadlock.
func TestFriendsMadeAndUnmadeAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		var work sync.WaitGroup
		for i := range 8 {
			me, other := "alice", "bob"
			if i%2 == 1 {
				me, other = other, me
			}
			work.Go(func() {
				for range 10 {
					if err := h.AddFriend(t.Context(), me, me, other); err != nil {
						t.Error(err)
					}
					if err := h.DeleteFriend(t.Context(), me, me, other); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		if rows := h.column(t, "SELECT friend FROM friends"); len(rows) != 0 {
			t.Errorf("left: %v", rows)
		}
	})
}

func TestVisibleOnline(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "friend", "both", "mate", "stranger", "asleep")
		h.befriend(t, "alice", "friend", "both", "asleep")
		h.group(t, "one", "alice", "mate", "both")
		h.group(t, "two", "mate", "alice", "both")
		h.group(t, "three", "mate", "stranger")
		h.comeOnline("alice", "friend", "both", "mate", "stranger")
		for account, want := range map[string][]string{
			"alice": {"both", "friend", "mate"}, "stranger": {"mate"}, "asleep": {"alice"}, "nobody": nil,
		} {
			got, err := h.VisibleOnline(t.Context(), account)
			must(t, err)
			same(t, "visible to "+account, want, got)
		}
	})
}

// The limit is for online members of groups. Friends are always shown, and members offline don't count.
func TestVisibleOnlineIsLimited(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		accounts := []string{"alice"}
		for i := range 9 {
			accounts = append(accounts, fmt.Sprint("mate", i))
		}
		h.register(t, append(accounts, "friend")...)
		h.group(t, "one", accounts...)
		h.befriend(t, "alice", "friend")
		h.comeOnline("friend", "mate5", "mate6", "mate7", "mate8")
		for limit, want := range map[int]int{1: 2, 3: 4, 4: 5, 0: 5, 1 << 62: 5} {
			few := h.reopened(t, func(o *Options) { o.VisibleLimit = limit })
			got, err := few.VisibleOnline(t.Context(), "alice")
			must(t, err)
			if len(got) != want || got[0] != "friend" {
				t.Errorf("limit %d: %v", limit, got)
			}
		}
	})
}

func TestMaySee(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "ren\u00e9", "mate", "stranger")
		h.befriend(t, "alice", "ren\u00e9")
		h.group(t, "one", "alice", "mate")
		h.group(t, "two", "mate", "stranger")
		for other, want := range map[string]bool{
			"alice": true, "ren\u00e9": true, "rene\u0301": true, "mate": true, "stranger": false, "nobody": false, "": false,
		} {
			got, err := h.MaySee(t.Context(), "alice", other)
			must(t, err)
			if got != want {
				t.Errorf("alice may see %q: %v", other, got)
			}
		}
	})
}
