package chat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tim/internal/fault"
)

func TestMarkAnswersWhereItStands(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		to := ToUser("alice")
		for i := range 5 {
			h.send(t, "alice", ToUser("bob"), fmt.Sprint(i+1))
		}
		h.told()
		for _, step := range []struct {
			mark, want Marks
			told       bool
		}{
			{Marks{Received: 2}, Marks{Received: 2}, true},
			{Marks{Read: 1}, Marks{Read: 1, Received: 2}, true},
			{Marks{Read: 3}, Marks{Read: 3, Received: 3}, true},
			{Marks{Read: 2}, Marks{Read: 3, Received: 3}, false},
			{Marks{Received: 4}, Marks{Read: 3, Received: 4}, true}, // the read mark stays, and isn't announced
			{Marks{Received: 99}, Marks{Read: 3, Received: 5}, true},
			{Marks{Read: 99}, Marks{Read: 5, Received: 5}, true},
			{Marks{}, Marks{Read: 5, Received: 5}, false},
		} {
			got, err := h.Mark(t.Context(), "bob", to, step.mark)
			must(t, err)
			same(t, fmt.Sprintf("after %+v", step.mark), step.want, got)
			var want []Event
			if step.told {
				want = []Event{{
					Kind: MarksMoved, Conversation: to.Conversation("bob"), Account: "bob", Marks: &step.want, Accounts: []string{"bob", "alice"},
				}}
			}
			same(t, fmt.Sprintf("told after %+v", step.mark), want, h.told())
		}
	})
}

// What the contract's sockets confirm counts as received and read and is announced like a mark: once, and only if it moved.
func TestConfirmationsAreTold(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		id := h.group(t, "climbers", "alice", "bob")
		for to, want := range map[Target]Event{
			ToUser("alice"): {Accounts: []string{"bob", "alice"}},
			ToGroup(id):     {Group: id},
		} {
			from := ToUser("bob")
			if to.Group != 0 {
				from = to
			}
			h.send(t, "bob", to, "hi")
			h.send(t, "alice", from, "x")
			last := h.send(t, "alice", from, "y").Seq
			h.send(t, "bob", to, "ho") // a sender has received everything before its message
			h.told()
			want.Kind, want.Conversation, want.Account = MarksMoved, to.Conversation("bob"), "bob"
			confirm := func(seq int64) []Event {
				must(t, h.ConfirmDelivered(t.Context(), "bob", to, seq))
				return h.told()
			}
			same(t, "told of what its own message says", nil, confirm(last))
			for range 3 {
				last = h.send(t, "alice", from, "z").Seq
			}
			h.told()
			for _, step := range []struct {
				seq  int64
				told bool
			}{{last - 1, true}, {last - 1, false}, {last - 2, false}, {last, true}, {0, false}} {
				var told []Event
				if want.Marks = &(Marks{Read: step.seq, Received: step.seq}); step.told {
					told = []Event{want}
				}
				same(t, fmt.Sprintf("told after %d", step.seq), told, confirm(step.seq))
			}
			got, err := h.Mark(t.Context(), "bob", to, Marks{})
			must(t, err)
			same(t, "the marks", Marks{Read: last, Received: last}, got)
			list, err := h.Conversations(t.Context(), "bob", "bob", "", 10)
			must(t, err)
			for _, c := range list {
				if c.Target == to && c.Unread() != 0 {
					t.Errorf("%d unread of %v", c.Unread(), to)
				}
			}
		}
		must(t, h.LeaveGroup(t.Context(), "bob", "bob", id))
		h.told()
		must(t, h.ConfirmDelivered(t.Context(), "bob", ToGroup(id), 99)) // an account that has left
		same(t, "told of one who left", nil, h.told())
	})
}

func TestMarkRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "former")
		id := h.group(t, "climbers", "alice", "former")
		must(t, h.LeaveGroup(t.Context(), "former", "former", id))
		for _, tt := range []struct {
			caller string
			to     Target
			want   fault.Reason
		}{
			{"alice", ToUser("bob"), fault.NotFriends},
			{"alice", ToUser("nobody"), fault.UnknownAccount},
			{"bob", ToGroup(id), fault.NotAMember},
			{"former", ToGroup(id), fault.NotAMember},
			{"bob", ToGroup(id + 1), fault.UnknownGroup},
		} {
			_, err := h.Mark(t.Context(), tt.caller, tt.to, Marks{Read: 1})
			refused(t, err, tt.want)
		}
		same(t, "sides", []string{"alice"}, h.column(t, "SELECT account FROM participant"))
	})
}

// Marks that wait together are stored together, one write for each account, and the last one is announced.
func TestMarksThatWaitTogether(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		id := h.group(t, "climbers", "alice", "bob", "carol")
		for range 5 {
			h.send(t, "alice", ToGroup(id), "x")
		}
		var batch []*waitingMark
		for _, m := range []mark{
			{account: "bob", marks: Marks{Read: 4, Received: 4}},
			{account: "alice", marks: Marks{Read: 3, Received: 3}},
			{account: "bob", marks: Marks{Received: 6}},
			{account: "gone", marks: Marks{Received: 6}},
			{account: "bob", marks: Marks{Received: 3}, delivered: 3},
			{account: "carol", marks: Marks{Received: 5}, delivered: 5},
			{account: "carol", marks: Marks{Received: 4}, delivered: 4},
		} {
			m.conversation = groupID(id)
			batch = append(batch, &waitingMark{item: &m, answer: make(chan answer[moved], 1)})
		}
		order := slices.Clone(batch)
		h.commitMarks(t.Context(), batch)
		var told []bool
		for _, w := range order {
			a := <-w.answer
			must(t, a.err)
			told = append(told, a.result.told)
			if w.item.account == "bob" && a.result.now != (Marks{Read: 4, Received: 6}) {
				t.Errorf("bob stands at %+v", a.result.now)
			}
		}
		same(t, "told", []bool{false, false, false, false, true, false, true}, told)
		o, err := h.Open(t.Context(), "bob", ToGroup(id))
		must(t, err)
		same(t, "delivered", 3, o.Delivered)
	})
}

// standing is what the model knows of one member of one group.
type standing struct {
	member, banned         bool
	joined, received, read int64
}

// model is the expected state of a group.
type model struct {
	last    int64
	members map[string]*standing
}

// step does one random action in the group and in the model.
func (m *model) step(t *testing.T, h *house, random *rand.Rand, id int32, account string) {
	t.Helper()
	ctx, to, is := t.Context(), ToGroup(id), m.members[account]
	upTo := random.Int64N(m.last + 3)
	switch random.IntN(8) {
	case 0, 1:
		_, err := h.Send(ctx, account, to, TextContent("x"), "")
		if m.allowed(t, is, err) {
			m.last++
			is.received, is.read = m.last, m.last
		}
	case 2:
		_, err := h.Mark(ctx, account, to, Marks{Read: upTo})
		if m.allowed(t, is, err) {
			is.read = max(is.read, min(upTo, m.last))
			is.received = max(is.received, is.read)
		}
	case 3:
		_, err := h.Mark(ctx, account, to, Marks{Received: upTo})
		if m.allowed(t, is, err) {
			is.received = max(is.received, min(upTo, m.last))
		}
	case 4:
		err := h.JoinGroup(ctx, account, account, id)
		if is.banned {
			refused(t, err, fault.BannedFromGroup)
			return
		}
		must(t, err)
		if !is.member {
			m.last++
			*is = standing{member: true, joined: m.last, received: m.last, read: m.last}
		}
	case 5:
		m.ownerActs(t, h, id, account)
	default:
		if random.IntN(3) > 0 || account == "a" { // the owner stays, so that it doesn't change
			return
		}
		if err := h.LeaveGroup(ctx, account, account, id); is.member {
			must(t, err)
			m.last++
			is.member = false
		} else {
			refused(t, err, fault.NotInGroup)
		}
	}
}

// ownerActs lets the owner, a, remove a member or add it again. The owner has then read everything before.
func (m *model) ownerActs(t *testing.T, h *house, id int32, account string) {
	t.Helper()
	if account == "a" {
		return
	}
	is, owner := m.members[account], m.members["a"]
	m.last++
	if is.member {
		must(t, h.RemoveMember(t.Context(), "a", "a", id, account))
		is.member, is.banned = false, true
	} else {
		must(t, h.AddMember(t.Context(), "a", "a", id, account))
		*is = standing{member: true, joined: m.last, received: m.last, read: m.last}
	}
	owner.received, owner.read = m.last, m.last
}

// allowed checks that the given accounts are members and no others.
func (m *model) allowed(t *testing.T, is *standing, err error) bool {
	t.Helper()
	if is.member {
		must(t, err)
	} else {
		refused(t, err, fault.NotAMember)
	}
	return is.member
}

// check compares everybody's list and history with the model.
func (m *model) check(t *testing.T, h *house, id int32) {
	t.Helper()
	for account, is := range m.members {
		list, err := h.Conversations(t.Context(), account, account, "", 10)
		must(t, err)
		history, err := h.History(t.Context(), account, ToGroup(id), Page{Forward: true, Limit: 1000})
		if !is.member {
			refused(t, err, fault.NotAMember)
			if len(list) != 0 {
				t.Fatalf("%s is no member and sees %+v", account, list)
			}
			continue
		}
		must(t, err)
		if len(list) != 1 {
			t.Fatalf("%s sees %+v", account, list)
		}
		c := list[0]
		unread := 0
		for i, message := range history.Messages {
			if message.Seq != is.joined+int64(i)+1 {
				t.Fatalf("%s: message %d after %d", account, message.Seq, is.joined+int64(i))
			}
			if message.Seq > is.read {
				unread++
			}
		}
		got := standing{member: true, joined: c.JoinedSeq, received: c.ReceivedSeq, read: c.ReadSeq}
		if got != *is || c.LastSeq != m.last || history.Last != m.last || history.First != is.joined+1 || c.FirstSeq() != is.joined+1 || c.Unread() != int64(unread) || int64(len(history.Messages)) != m.last-is.joined {
			t.Fatalf("%s: %+v with %d unread of %d, want %+v, %d of %d", account, got, c.Unread(), c.LastSeq, *is, unread, m.last)
		}
		if (c.Last != nil) != (m.last > is.joined) || c.Last != nil && c.Last.Seq != m.last {
			t.Fatalf("%s: the newest message is %+v", account, c.Last)
		}
	}
}

// After any sequence of sends, marks, joins, leaves and acts of the owner, unread counts, marks and histories are those of the
// model.
func TestUnreadCountsAreTheModels(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		accounts := []string{"a", "b", "c", "d"}
		h.register(t, accounts...)
		h.befriend(t, "a", "b", "c", "d")
		for round := range 3 {
			id := h.group(t, fmt.Sprint("group", round), "a")
			m := &model{last: 1, members: map[string]*standing{"a": {member: true, joined: 1, received: 1, read: 1}, "b": {}, "c": {}, "d": {}}}
			for range 40 {
				m.step(t, h, random, id, accounts[random.IntN(len(accounts))])
				m.check(t, h, id)
			}
			must(t, h.Dissolve(t.Context(), "a", "a", id))
		}
	})
}
