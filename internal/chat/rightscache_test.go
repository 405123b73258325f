package chat

import (
	"strconv"
	"sync"
	"testing"

	"tim/internal/fault"
)

// A right that another node takes away isn't used from the cache: neither a friendship nor a membership, however it ended.
func TestRightsThatEndElsewhere(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, here *house) {
		there := here.reopened(t, func(*Options) {})
		ctx := t.Context()
		here.register(t, "a", "b", "c", "d")
		here.befriend(t, "a", "b")
		group := here.group(t, "g", "a", "b", "c", "d")
		write := func(from string, to Target, reason fault.Reason) {
			t.Helper()
			for range 2 { // the second time from the cache
				_, err := here.Send(ctx, from, to, TextContent("x"), "")
				if reason == "" {
					must(t, err)
				} else {
					refused(t, err, reason)
				}
			}
		}
		for range 2 {
			write("a", ToUser("b"), "")
			write("b", ToUser("a"), "")
			must(t, there.DeleteFriend(ctx, "b", "b", "a"))
			write("a", ToUser("b"), fault.NotFriends)
			write("b", ToUser("a"), fault.NotFriends)
			must(t, there.AddFriend(ctx, "a", "a", "b"))

			write("b", ToGroup(group), "")
			must(t, there.RemoveMember(ctx, "a", "a", group, "b"))
			write("b", ToGroup(group), fault.NotAMember)
			must(t, there.AddMember(ctx, "a", "a", group, "b"))

			write("c", ToGroup(group), "")
			must(t, there.LeaveGroup(ctx, "c", "c", group))
			write("c", ToGroup(group), fault.NotAMember)
			must(t, there.JoinGroup(ctx, "c", "c", group))
		}
		write("d", ToGroup(group), "")
		must(t, there.Dissolve(ctx, "a", "a", group))
		write("d", ToGroup(group), fault.UnknownGroup)
		same(t, "nobody's sides", []string{"0"}, here.column(t, "SELECT COUNT(*) FROM participant WHERE peer IS NULL AND group_id IS NULL"))
	})
}

// A friendship that ends during the friends' first messages doesn't stay in the cache.
func TestRightsThatEndAtTheBeginning(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, here *house) {
		there := here.reopened(t, func(*Options) {})
		ctx := t.Context()
		here.register(t, "a")
		for i := range 20 {
			friend := "f" + strconv.Itoa(i)
			here.register(t, friend)
			here.befriend(t, "a", friend)
			var both sync.WaitGroup
			both.Go(func() {
				for range 3 {
					_, _ = here.Send(ctx, "a", ToUser(friend), TextContent("x"), "") // either outcome is right
				}
			})
			both.Go(func() {
				if err := there.DeleteFriend(ctx, friend, friend, "a"); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			_, err := here.Send(ctx, "a", ToUser(friend), TextContent("late"), "")
			refused(t, err, fault.NotFriends)
		}
	})
}

func TestRightsCacheIsBounded(t *testing.T) {
	t.Parallel()
	var r rightsCache
	for i := range maxRights + 1 {
		r.add(participantKey{"c", strconv.Itoa(i)}, 1)
	}
	if len(r.known) > maxRights || !r.has(participantKey{"c", strconv.Itoa(maxRights)}, 1) {
		t.Errorf("%d are remembered, or the last one is not", len(r.known))
	}
	if r.has(participantKey{"c", strconv.Itoa(maxRights)}, 2) {
		t.Error("an entry counts for another value of the counter")
	}
}
