package chat

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"tim/internal/fault"
)

func TestCreatorIsOwnerAndFirstMember(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		first := h.group(t, "climbers", "alice")
		second := h.group(t, "密码😀", "alice")
		if first == second || first < 1 {
			t.Errorf("groups %d and %d", first, second)
		}
		same(t, "owner", "alice", h.owner(t, first))
		same(t, "members", []string{"alice"}, h.members(t, first))
		for _, name := range []string{"climbers", "密码😀"} {
			_, err := h.CreateGroup(t.Context(), "bob", "bob", name)
			refused(t, err, fault.GroupNameTaken)
		}
		_, err := h.CreateGroup(t.Context(), "alice", "bob", "another")
		refused(t, err, fault.NotYourAccount)
		h.group(t, "Climbers", "bob") // names are compared by their bytes
		same(t, "groups", []string{"Climbers", "climbers", "密码😀"}, sorted(h.column(t, "SELECT GroupName FROM `group`")))
	})
}

func TestOneGroupMadeByManyAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		var work sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			account := fmt.Sprint("account", i)
			h.register(t, account)
			work.Go(func() { _, errs[i] = h.CreateGroup(t.Context(), account, account, "climbers") })
		}
		work.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else {
				refused(t, err, fault.GroupNameTaken)
			}
		}
		if members := h.column(t, "SELECT account FROM userofgroup"); made != 1 || len(members) != 1 {
			t.Errorf("%d made it, its members are %v", made, members)
		}
	})
}

func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		ctx, id := t.Context(), h.group(t, "climbers", "alice")
		refused(t, h.LeaveGroup(ctx, "bob", "bob", id), fault.NotInGroup)
		for range 2 { // the second time changes nothing
			must(t, h.JoinGroup(ctx, "bob", "bob", id))
		}
		same(t, "members", []string{"alice", "bob"}, h.members(t, id))
		conversation := groupID(id)
		same(t, "told of joining", []Event{
			{Kind: MessageStored, Conversation: conversation, Group: id},
			{Kind: MemberJoined, Conversation: conversation, Group: id, Account: "alice", Actor: "alice", Seq: 1},
			{Kind: MessageStored, Conversation: conversation, Group: id},
			{Kind: MemberJoined, Conversation: conversation, Group: id, Account: "bob", Actor: "bob", Seq: 2},
		}, withoutMessages(h.told()))
		must(t, h.LeaveGroup(ctx, "bob", "bob", id))
		same(t, "members", []string{"alice"}, h.members(t, id))
		same(t, "sides", []string{"alice"}, h.column(t, "SELECT account FROM participant"))
		same(t, "told", []Event{
			{Kind: MessageStored, Conversation: conversation, Group: id},
			{Kind: MemberLeft, Conversation: conversation, Group: id, Account: "bob", Actor: "bob", Seq: 3},
		}, withoutMessages(h.told()))
		refused(t, h.LeaveGroup(ctx, "bob", "bob", id), fault.NotInGroup)
		refused(t, h.LeaveGroup(ctx, "bob", "alice", id), fault.NotYourAccount)
		refused(t, h.JoinGroup(ctx, "bob", "alice", id), fault.NotYourAccount)
		refused(t, h.JoinGroup(ctx, "bob", "bob", id+1), fault.UnknownGroup)
		refused(t, h.LeaveGroup(ctx, "bob", "bob", id+1), fault.UnknownGroup)
		same(t, "told of refusals", nil, h.told())
		same(t, "owner", "alice", h.owner(t, id))
	})
}

// withoutMessages returns the announced events without the messages' contents.
func withoutMessages(events []Event) []Event {
	for i := range events {
		events[i].Message = nil
	}
	return events
}

func TestOldestMemberInherits(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "zoe", "bob", "carol")
		id := h.group(t, "climbers", "alice", "zoe", "bob", "carol")
		for account, joined := range map[string]int{"alice": 40, "zoe": 20, "bob": 30, "carol": 30} {
			h.exec(t, "UPDATE userofgroup SET joined_at = ? WHERE account = ?", joined, account)
		}
		leave := func(account string) { must(t, h.LeaveGroup(t.Context(), account, account, id)) }
		leave("alice")
		same(t, "the heir", "zoe", h.owner(t, id))
		must(t, h.JoinGroup(t.Context(), "alice", "alice", id)) // now the member with the shortest membership
		leave("zoe")
		same(t, "of two as old the first by account", "bob", h.owner(t, id))
		leave("carol")
		same(t, "somebody else left", "bob", h.owner(t, id))
		leave("bob")
		same(t, "the last", "alice", h.owner(t, id))
		leave("alice")
		same(t, "nobody is left", "", h.owner(t, id))
		must(t, h.JoinGroup(t.Context(), "bob", "bob", id))
		same(t, "a group without owner stays so", "", h.owner(t, id))
		must(t, h.SetOwner(t.Context(), id, "bob"))
		same(t, "until an operator names one", "bob", h.owner(t, id))
	})
}

// Groups' names differ as people see them: blanks around them and the way an accent is encoded don't count.
func TestGroupNamesAreNormalised(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		h.group(t, " caf\u00e9 ", "alice")
		for _, name := range []string{"caf\u00e9", "cafe\u0301", "caf\u00e9   "} {
			_, err := h.CreateGroup(t.Context(), "alice", "alice", name)
			refused(t, err, fault.GroupNameTaken)
		}
		_, err := h.CreateGroup(t.Context(), "alice", "alice", "   ")
		refused(t, err, fault.InvalidParameter)
		same(t, "names", []string{"caf\u00e9"}, h.column(t, "SELECT GroupName FROM `group`"))
	})
}

// A group's owner is one of its members, whoever leaves and joins while an operator names one.
func TestOwnerIsAMemberWhateverHappensAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "a", "b", "c")
		id := h.group(t, "climbers", "a", "b", "c")
		for range 30 {
			must(t, h.SetOwner(t.Context(), id, "a"))
			var work sync.WaitGroup
			work.Go(func() {
				if err := h.LeaveGroup(t.Context(), "b", "b", id); err != nil {
					t.Error(err)
				}
			})
			if err := h.SetOwner(t.Context(), id, "b"); err != nil && !errors.Is(err, ErrGroupOwner) {
				t.Error(err)
			}
			work.Wait()
			if owner := h.owner(t, id); !slices.Contains(h.members(t, id), owner) {
				t.Fatalf("the owner %q is none of %v", owner, h.members(t, id))
			}
			must(t, h.JoinGroup(t.Context(), "b", "b", id))
		}
	})
}

// Members who join and leave at once don't deadlock, and leave no rows behind.
func TestJoinAndLeaveAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		accounts := []string{"a", "b", "c", "d"}
		h.register(t, accounts...)
		id := h.group(t, "climbers", accounts...)
		var work sync.WaitGroup
		for _, account := range accounts {
			work.Go(func() {
				for range 6 {
					if err := errors.Join(h.LeaveGroup(t.Context(), account, account, id), h.JoinGroup(t.Context(), account, account, id)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		same(t, "members", accounts, h.members(t, id))
		same(t, "sides", accounts, h.column(t, "SELECT account FROM participant ORDER BY account"))
	})
}

func TestMarksStartWhereOneJoined(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		id := h.group(t, "climbers", "alice")
		to := ToGroup(id)
		h.send(t, "alice", to, "1")
		h.send(t, "alice", to, "2")
		missedBy := func(account string) []string {
			o, err := h.Open(t.Context(), account, to)
			must(t, err)
			return h.texts(t, o.Conversation, o.Delivered)
		}
		must(t, h.JoinGroup(t.Context(), "bob", "bob", id))
		h.send(t, "alice", to, "3")
		must(t, h.JoinGroup(t.Context(), "bob", "bob", id)) // joining again doesn't move the marks
		same(t, "missed by the one who was there", []string{"1", "2", "3"}, missedBy("alice"))
		same(t, "missed by the one who joined", []string{"3"}, missedBy("bob"))
		must(t, h.LeaveGroup(t.Context(), "bob", "bob", id))
		h.send(t, "alice", to, "4")
		_, err := h.Open(t.Context(), "bob", to)
		refused(t, err, fault.NotAMember)
		must(t, h.JoinGroup(t.Context(), "bob", "bob", id))
		h.send(t, "alice", to, "5")
		same(t, "missed after coming back", []string{"5"}, missedBy("bob"))
	})
}

func TestMarksOnlyGrow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		for i := range 5 {
			h.send(t, "alice", ToUser("bob"), fmt.Sprint(i+1))
		}
		conversation := ToUser("bob").Conversation("alice")
		for _, step := range []struct{ confirm, want int64 }{{3, 3}, {2, 3}, {0, 3}, {5, 5}, {4, 5}} {
			must(t, h.ConfirmDelivered(t.Context(), "bob", ToUser("alice"), step.confirm))
			o, err := h.Open(t.Context(), "bob", ToUser("alice"))
			must(t, err)
			if o.Delivered != step.want || o.Conversation != conversation {
				t.Errorf("after %d: %+v", step.confirm, o)
			}
		}
		o, err := h.Open(t.Context(), "alice", ToUser("bob"))
		must(t, err)
		if o.Delivered != 0 {
			t.Errorf("the other side's mark is %d", o.Delivered)
		}
		must(t, h.ConfirmDelivered(t.Context(), "nobody", ToUser("alice"), 3)) // an account that has left does nothing
	})
}

// A group of the original server has rows only in userofgroup: perhaps no owner, no times, no conversation.
func TestGroupOfTheOriginal(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		h.exec(t, "INSERT INTO `group` (GroupID, GroupName, creator) VALUES (7, 'old', NULL)")
		h.exec(t, "INSERT INTO userofgroup (GroupID, account) VALUES (7, 'alice'), (7, 'bob'), (7, 'gone')")
		to := ToGroup(7)
		h.send(t, "alice", to, "1")
		must(t, h.JoinGroup(t.Context(), "carol", "carol", 7))
		must(t, h.JoinGroup(t.Context(), "bob", "bob", 7)) // a member already
		h.send(t, "bob", to, "2")
		for account, want := range map[string]int64{"bob": 0, "carol": 2, "alice": 0} {
			o, err := h.Open(t.Context(), account, to)
			must(t, err)
			if o.Delivered != want {
				t.Errorf("%s begins after %d, want %d", account, o.Delivered, want)
			}
		}
		same(t, "messages", []string{"1", "2"}, h.texts(t, "g7", 0))
		must(t, h.LeaveGroup(t.Context(), "alice", "alice", 7))
		same(t, "owner", "", h.owner(t, 7))
		next := h.group(t, "new", "alice")
		if next <= 7 {
			t.Errorf("the next group has the number %d", next)
		}
	})
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "friend")
		h.befriend(t, "alice", "friend")
		id := h.group(t, "climbers", "bob")
		for _, tt := range []struct {
			to   Target
			want fault.Reason
		}{
			{ToUser("nobody"), fault.UnknownAccount},
			{ToUser("friend "), fault.UnknownAccount},
			{ToUser("bob"), fault.NotFriends},
			{ToUser("alice"), fault.NotFriends}, // an account itself
			{ToGroup(id), fault.NotAMember},
			{ToGroup(id + 1), fault.UnknownGroup},
			{ToGroup(-1), fault.UnknownGroup},
		} {
			_, err := h.Open(t.Context(), "alice", tt.to)
			if !fault.Is(err, tt.want) {
				t.Errorf("%+v: %v, want %s", tt.to, err, tt.want)
			}
		}
		same(t, "sides that a refusal made", []string{"bob"}, h.column(t, "SELECT account FROM participant"))
		must(t, h.MayWrite(t.Context(), "alice", ToUser("friend")))
		refused(t, h.MayWrite(t.Context(), "alice", ToUser("bob")), fault.NotFriends)
		refused(t, h.MayWrite(t.Context(), "alice", ToGroup(id)), fault.NotAMember)
	})
}

// An account that opens a group while it leaves gets no participant row: its marks would be there when it joins again.
func TestOpenRacingLeave(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		h.exec(t, "INSERT INTO `group` (GroupID, GroupName) VALUES (7, 'old')")
		for range 30 {
			h.exec(t, "INSERT INTO userofgroup (GroupID, account) VALUES (7, 'alice')")
			var work sync.WaitGroup
			work.Go(func() {
				if _, err := h.Open(t.Context(), "alice", ToGroup(7)); err != nil {
					refused(t, err, fault.NotAMember)
				}
			})
			must(t, h.LeaveGroup(t.Context(), "alice", "alice", 7))
			work.Wait()
			same(t, "sides left", nil, h.column(t, "SELECT account FROM participant"))
		}
	})
}

func TestStrangersMayWriteWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		open := h.reopened(t, func(o *Options) { o.AllowStrangers = true })
		open.register(t, "alice", "bob")
		_, err := open.Open(t.Context(), "alice", ToUser("bob"))
		must(t, err)
		open.send(t, "alice", ToUser("bob"), "hello")
		_, err = open.Send(t.Context(), "alice", ToUser("nobody"), TextContent("x"), "")
		refused(t, err, fault.UnknownAccount)
		_, err = open.Send(t.Context(), "alice", ToUser("alice"), TextContent("x"), "")
		refused(t, err, fault.NotFriends)
		_, err = h.Send(t.Context(), "alice", ToUser("bob"), TextContent("x"), "")
		refused(t, err, fault.NotFriends)
	})
}

func TestConversationIDs(t *testing.T) {
	t.Parallel()
	if a, b := ToUser("bob").Conversation("alice"), ToUser("alice").Conversation("bob"); a != b {
		t.Errorf("both sides name it %s and %s", a, b)
	}
	if a, b := ToUser("rene\u0301").Conversation("x"), ToUser("ren\u00e9").Conversation("x"); a != b {
		t.Errorf("two spellings name it %s and %s", a, b)
	}
	seen := map[string]string{}
	for name, id := range map[string]string{
		"group 1": ToGroup(1).Conversation("a"), "group 12": ToGroup(12).Conversation("a"),
		"a, bc": ToUser("bc").Conversation("a"), "ab, c": ToUser("c").Conversation("ab"), "a, b": ToUser("b").Conversation("a"),
		"A, b": ToUser("b").Conversation("A"),
	} {
		if other, twice := seen[id]; twice || len(id) > 32 {
			t.Errorf("%s is %s, as is %s", name, id, other)
		}
		seen[id] = name
	}
	if got := ToGroup(5).Conversation("anybody"); got != "g5" {
		t.Errorf("group 5 is %s", got)
	}
}
