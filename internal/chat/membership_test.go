package chat

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tim/internal/fault"
)

// Who was removed is banned until the owner adds it again, whoever owns the group by then. Who left by itself isn't.
func TestRemovedMeansBanned(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		h.befriend(t, "alice", "bob")
		h.befriend(t, "carol", "bob")
		ctx := t.Context()
		id := h.group(t, "climbers", "alice", "bob", "carol")
		join := func() error { return h.JoinGroup(ctx, "bob", "bob", id) }
		must(t, h.LeaveGroup(ctx, "bob", "bob", id))
		must(t, join())
		must(t, h.RemoveMember(ctx, "alice", "alice", id, "bob"))
		h.told()
		for range 2 {
			refused(t, join(), fault.BannedFromGroup)
		}
		same(t, "told of refusals", nil, h.told())
		refused(t, h.LeaveGroup(ctx, "bob", "bob", id), fault.NotInGroup) // leaving doesn't lift it
		refused(t, join(), fault.BannedFromGroup)
		refused(t, h.RemoveMember(ctx, "alice", "alice", id, "bob"), fault.NotInGroup) // it is banned already
		refused(t, h.RemoveMember(ctx, "alice", "alice", id, "nobody"), fault.NotInGroup)
		must(t, h.HandOver(ctx, "alice", "alice", id, "carol"))
		refused(t, join(), fault.BannedFromGroup)
		refused(t, h.AddMember(ctx, "alice", "alice", id, "bob"), fault.NotTheOwner) // the owner that was
		refused(t, join(), fault.BannedFromGroup)
		must(t, h.AddMember(ctx, "carol", "carol", id, "bob"))
		must(t, h.LeaveGroup(ctx, "bob", "bob", id))
		must(t, join()) // the ban was lifted
		must(t, h.LeaveGroup(ctx, "bob", "bob", id))
		must(t, h.RemoveMember(ctx, "carol", "carol", id, "bob")) // who left first
		refused(t, join(), fault.BannedFromGroup)
		must(t, h.AddMember(ctx, "carol", "carol", id, "bob"))
		must(t, h.RemoveMember(ctx, "carol", "carol", id, "alice"))
		refused(t, h.JoinGroup(ctx, "alice", "alice", id), fault.BannedFromGroup) // whoever made the group
		same(t, "bans", []string{"alice"}, h.column(t, "SELECT account FROM group_ban"))
		same(t, "who banned", []string{"carol"}, h.column(t, "SELECT actor FROM group_ban"))

		h.exec(t, "UPDATE group_ban SET `until` = ?", time.Now().Add(time.Hour).UnixMilli())
		refused(t, h.JoinGroup(ctx, "alice", "alice", id), fault.BannedFromGroup)
		h.exec(t, "UPDATE group_ban SET `until` = ?", time.Now().Add(-time.Second).UnixMilli())
		must(t, h.JoinGroup(ctx, "alice", "alice", id)) // it was over
		must(t, h.RemoveMember(ctx, "carol", "carol", id, "alice"))
		refused(t, h.JoinGroup(ctx, "alice", "alice", id), fault.BannedFromGroup) // and now it is for ever again
		must(t, h.Dissolve(ctx, "carol", "carol", id))
		same(t, "bans of a dissolved group", nil, h.column(t, "SELECT account FROM group_ban"))
		refused(t, join(), fault.UnknownGroup)
		must(t, h.JoinGroup(ctx, "alice", "alice", h.group(t, "climbers", "carol"))) // another group of the same name
	})
}

// The owner adds members under each policy; the policy says who may join by itself. Groups of before are open.
func TestJoinPolicies(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		h.befriend(t, "alice", "bob")
		ctx := t.Context()
		for policy, reason := range map[JoinPolicy]fault.Reason{
			"": "", JoinOpen: "", JoinInvite: fault.InviteRequired, JoinClosed: fault.GroupClosed, "by moonlight": fault.GroupClosed,
		} {
			made := h.reopened(t, func(o *Options) { o.NewGroups = policy })
			id := made.group(t, "of policy "+string(policy), "alice")
			for range 2 {
				err := h.JoinGroup(ctx, "carol", "carol", id)
				if reason == "" {
					must(t, err)
				} else {
					refused(t, err, reason)
				}
			}
			must(t, h.AddMember(ctx, "alice", "alice", id, "bob"))
			must(t, h.JoinGroup(ctx, "bob", "bob", id)) // it is a member
			must(t, h.RemoveMember(ctx, "alice", "alice", id, "bob"))
			refused(t, h.JoinGroup(ctx, "bob", "bob", id), fault.BannedFromGroup)
			must(t, h.AddMember(ctx, "alice", "alice", id, "bob"))
		}
	})
}

// As many join as there is room for, however many try at once, and every way out of the group makes room again.
func TestFullGroup(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		const most, tries = 10, 40
		full := h.reopened(t, func(o *Options) { o.MostMembers = most })
		ctx := t.Context()
		h.register(t, "alice", "bob")
		accounts := make([]string, tries)
		for i := range accounts {
			accounts[i] = fmt.Sprint("climber", i)
			h.register(t, accounts[i])
		}
		h.befriend(t, "alice", "bob")
		id := full.group(t, "climbers", "alice")
		var joined, refusals atomic.Int64
		var work sync.WaitGroup
		for _, account := range accounts {
			work.Go(func() {
				switch err := full.JoinGroup(ctx, account, account, id); {
				case err == nil:
					joined.Add(1)
				case fault.Is(err, fault.GroupFull):
					refusals.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		work.Wait()
		if joined.Load() != most-1 || refusals.Load() != tries-most+1 {
			t.Errorf("%d joined and %d were refused", joined.Load(), refusals.Load())
		}
		size := func(want string) {
			t.Helper()
			same(t, "size", []string{want}, h.column(t, "SELECT members FROM `group`"))
			same(t, "members", []string{want}, h.column(t, "SELECT COUNT(*) FROM userofgroup"))
		}
		size("10")
		refused(t, full.AddMember(ctx, "alice", "alice", id, "bob"), fault.GroupFull)
		someone := full.members(t, id)[1]
		must(t, full.JoinGroup(ctx, someone, someone, id)) // it is a member
		must(t, full.LeaveGroup(ctx, someone, someone, id))
		size("9")
		must(t, full.AddMember(ctx, "alice", "alice", id, "bob"))
		must(t, full.RemoveMember(ctx, "alice", "alice", id, "bob"))
		must(t, full.JoinGroup(ctx, someone, someone, id))
		size("10")
		refused(t, full.AddMember(ctx, "alice", "alice", id, "bob"), fault.GroupFull)
		same(t, "the ban that a refused adding leaves", []string{"bob"}, h.column(t, "SELECT account FROM group_ban"))
	})
}

// A group of an old database has more members than may be, and nobody has counted them. It keeps them.
func TestGroupThatWasFullBefore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol", "dave")
		id := h.group(t, "climbers", "alice", "bob", "carol")
		h.exec(t, "UPDATE `group` SET members = NULL")
		full := h.reopened(t, func(o *Options) { o.MostMembers = 2 })
		ctx := t.Context()
		refused(t, full.JoinGroup(ctx, "dave", "dave", id), fault.GroupFull)
		must(t, full.JoinGroup(ctx, "carol", "carol", id))
		must(t, full.LeaveGroup(ctx, "carol", "carol", id))
		same(t, "counted", []string{"2"}, h.column(t, "SELECT members FROM `group`"))
		refused(t, full.JoinGroup(ctx, "dave", "dave", id), fault.GroupFull)
		must(t, full.LeaveGroup(ctx, "bob", "bob", id))
		must(t, full.JoinGroup(ctx, "dave", "dave", id))
		h.exec(t, "UPDATE `group` SET members = NULL")
		must(t, h.JoinGroup(ctx, "carol", "carol", id)) // without a limit they are counted too
		same(t, "counted again", []string{"3"}, h.column(t, "SELECT members FROM `group`"))
	})
}

// Groups that an account owns are bounded, however it came to own them. What nobody chose isn't refused: an heir inherits.
func TestGroupsOwned(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		few := h.reopened(t, func(o *Options) { o.MostOwned = 2 })
		ctx := t.Context()
		var work sync.WaitGroup
		var made atomic.Int64
		for i := range 12 {
			work.Go(func() {
				switch _, err := few.CreateGroup(ctx, "alice", "alice", fmt.Sprint("group ", i)); {
				case err == nil:
					made.Add(1)
				case !fault.Is(err, fault.TooManyGroups):
					t.Error(err)
				}
			})
		}
		work.Wait()
		if made.Load() != 2 {
			t.Errorf("%d were made at once", made.Load())
		}
		third := few.group(t, "of bob", "bob", "alice", "carol")
		refused(t, few.HandOver(ctx, "bob", "bob", third, "alice"), fault.TooManyGroups)
		must(t, few.HandOver(ctx, "bob", "bob", third, "bob"))
		must(t, few.LeaveGroup(ctx, "bob", "bob", third))
		same(t, "the heir", "alice", h.owner(t, third))
		_, err := few.CreateGroup(ctx, "alice", "alice", "one more")
		refused(t, err, fault.TooManyGroups)
		must(t, few.HandOver(ctx, "alice", "alice", third, "carol"))
		must(t, few.SetOwner(ctx, third, "alice")) // an operator may
	})
}

// Groups that an account creates in a day are bounded, dissolved ones too. The next day begins anew.
func TestGroupsPerDay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		few := h.reopened(t, func(o *Options) { o.MostCreated = 3 })
		ctx := t.Context()
		for i := range 3 {
			id := few.group(t, "climbers", "alice")
			_, err := few.CreateGroup(ctx, "alice", "alice", "climbers")
			if i < 2 {
				refused(t, err, fault.GroupNameTaken) // which counts for nothing
			}
			must(t, few.Dissolve(ctx, "alice", "alice", id))
		}
		_, err := few.CreateGroup(ctx, "alice", "alice", "climbers")
		refused(t, err, fault.TooManyGroupsToday)
		if wait := fault.From(err).RetryAfter; wait <= 0 || wait > 24*time.Hour {
			t.Errorf("try again after %s", wait)
		}
		few.group(t, "walkers", "bob")
		h.exec(t, "UPDATE `user` SET groups_day = groups_day - 1")
		few.group(t, "climbers", "alice")
		same(t, "made today", []string{"1"}, h.column(t, "SELECT groups_made FROM `user` WHERE account = 'alice'"))
	})
}

// Friends are bounded on both sides, at once too. Who has more keeps them.
func TestMostFriends(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		const most = 5
		few := h.reopened(t, func(o *Options) { o.MostFriends = most })
		ctx := t.Context()
		h.register(t, "alice", "bob", "carol")
		var work sync.WaitGroup
		var made atomic.Int64
		for i := range 12 {
			other := fmt.Sprint("other", i)
			h.register(t, other)
			work.Go(func() {
				from, to := other, "alice"
				if i%2 == 0 {
					from, to = to, from
				}
				switch err := few.AddFriend(ctx, from, from, to); {
				case err == nil:
					made.Add(1)
				case !fault.Is(err, fault.TooManyFriends):
					t.Error(err)
				}
			})
		}
		work.Wait()
		rows := h.column(t, "SELECT friend FROM friends WHERE `user` = 'alice' ORDER BY friend")
		if made.Load() != most || len(rows) != most {
			t.Errorf("%d were made, and there are %v", made.Load(), rows)
		}
		refused(t, few.AddFriend(ctx, "bob", "bob", "alice"), fault.TooManyFriends)
		refused(t, few.AddFriend(ctx, "alice", "alice", "bob"), fault.TooManyFriends)
		same(t, "half a friendship", nil, h.column(t, "SELECT friend FROM friends WHERE `user` = 'bob'"))
		must(t, few.AddFriend(ctx, "alice", "alice", rows[0])) // they are friends
		must(t, few.DeleteFriend(ctx, rows[0], rows[0], "alice"))
		must(t, few.AddFriend(ctx, "bob", "bob", "alice"))
		h.befriend(t, "alice", "carol") // without the limit
		must(t, few.AddFriend(ctx, "carol", "carol", "alice"))
	})
}

// Whoever is removed while it sends and joins again and again has no message behind its removal, and stays out.
func TestRemovedWhileSendingAndJoining(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		ctx, id := t.Context(), h.group(t, "climbers", "alice", "bob")
		var work sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range 4 {
			work.Go(func() {
				for i := 0; ; i++ {
					_, err := h.Send(ctx, "bob", ToGroup(id), TextContent("x"), "")
					if i == 0 {
						begun <- struct{}{}
					}
					if fault.Is(err, fault.NotAMember) {
						refused(t, h.JoinGroup(ctx, "bob", "bob", id), fault.BannedFromGroup)
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 4 {
			<-begun
		}
		must(t, h.RemoveMember(ctx, "alice", "alice", id, "bob"))
		work.Wait()
		same(t, "members", []string{"alice"}, h.members(t, id))
		same(t, "behind the removal", []string{"0"}, h.column(t,
			"SELECT COUNT(*) FROM message WHERE sender = 'bob' AND seq > (SELECT MAX(seq) FROM message WHERE body LIKE '%\"left\"%')"))
	})
}
