package chat

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"tim/internal/fault"
)

// notices returns the notices in a group's history: event, actor, account.
func (h *house) notices(t *testing.T, group int32) []string {
	t.Helper()
	messages, err := h.Missed(t.Context(), groupID(group), 0, 1000)
	must(t, err)
	var notices []string
	for _, m := range messages {
		if _, shown := m.Text(); shown {
			continue
		}
		var n noticeBody
		must(t, json.Unmarshal(m.Content().Body, &n))
		if n.Actor != m.Sender || n.Kind != kindNotice {
			t.Errorf("a notice by %s: %+v", m.Sender, n)
		}
		notices = append(notices, n.Event+" "+n.Actor+" "+n.Account)
	}
	return notices
}

func TestOwnersActs(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "ren\u00e9")
		h.befriend(t, "alice", "bob", "ren\u00e9")
		ctx, id := t.Context(), h.group(t, "climbers", "alice")
		h.told()
		for range 2 { // the second time changes nothing
			must(t, h.AddMember(ctx, "alice", "alice", id, "bob"))
			must(t, h.AddMember(ctx, "alice", "alice", id, "rene\u0301"))
			must(t, h.AddMember(ctx, "alice", "alice", id, "alice"))
			must(t, h.HandOver(ctx, "alice", "alice", id, "alice"))
		}
		same(t, "members", []string{"alice", "bob", "ren\u00e9"}, h.members(t, id))
		must(t, h.RemoveMember(ctx, "alice", "alice", id, "rene\u0301"))
		must(t, h.HandOver(ctx, "alice", "alice", id, "bob"))
		same(t, "owner", "bob", h.owner(t, id))
		refused(t, h.RemoveMember(ctx, "alice", "alice", id, "bob"), fault.NotTheOwner)
		must(t, h.RemoveMember(ctx, "bob", "bob", id, "alice"))
		same(t, "members", []string{"bob"}, h.members(t, id))
		same(t, "sides", []string{"bob"}, h.column(t, "SELECT account FROM participant"))
		same(t, "notices", []string{
			"joined alice alice", "joined alice bob", "joined alice ren\u00e9", "left alice ren\u00e9", "owner alice bob", "left bob alice",
		}, h.notices(t, id))
		var told []Event
		for _, e := range h.told() {
			if e.Kind != MessageStored {
				told = append(told, e)
			} else if e.Group != id || e.Message == nil || len(e.Accounts) > 0 {
				t.Errorf("told of a notice: %+v", e)
			}
		}
		conversation := groupID(id)
		same(t, "told", []Event{
			{Kind: MemberJoined, Conversation: conversation, Group: id, Account: "bob", Actor: "alice", Seq: 2},
			{Kind: MemberJoined, Conversation: conversation, Group: id, Account: "ren\u00e9", Actor: "alice", Seq: 3},
			{Kind: MemberLeft, Conversation: conversation, Group: id, Account: "ren\u00e9", Actor: "alice", Seq: 4},
			{Kind: OwnerChanged, Conversation: conversation, Group: id, Account: "bob", Actor: "alice", Seq: 5},
			{Kind: MemberLeft, Conversation: conversation, Group: id, Account: "alice", Actor: "bob", Seq: 6},
		}, told)
	})
}

func TestOwnersActsRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "friend", "stranger", "former")
		h.befriend(t, "alice", "friend")
		ctx, id := t.Context(), h.group(t, "climbers", "alice", "bob", "former")
		must(t, h.LeaveGroup(ctx, "former", "former", id))
		before := h.notices(t, id)
		h.told()
		for _, act := range []func(caller, account string, group int32) error{
			func(caller, account string, group int32) error {
				return h.AddMember(ctx, caller, account, group, "friend")
			},
			func(caller, account string, group int32) error {
				return h.RemoveMember(ctx, caller, account, group, "bob")
			},
			func(caller, account string, group int32) error { return h.HandOver(ctx, caller, account, group, "bob") },
			func(caller, account string, group int32) error { return h.Dissolve(ctx, caller, account, group) },
		} {
			refused(t, act("bob", "alice", id), fault.NotYourAccount)
			refused(t, act("alice", "alice", id+1), fault.UnknownGroup)
			refused(t, act("alice", "alice", -1), fault.UnknownGroup)
			for _, other := range []string{"bob", "stranger", "former"} {
				refused(t, act(other, other, id), fault.NotTheOwner)
			}
		}
		refused(t, h.AddMember(ctx, "alice", "alice", id, "stranger"), fault.NotFriends)
		refused(t, h.AddMember(ctx, "alice", "alice", id, "nobody"), fault.UnknownAccount)
		refused(t, h.AddMember(ctx, "alice", "alice", id, "friend "), fault.UnknownAccount)
		refused(t, h.RemoveMember(ctx, "alice", "alice", id, "alice"), fault.InvalidParameter)
		for _, nobody := range []string{"nobody", "bob "} {
			refused(t, h.RemoveMember(ctx, "alice", "alice", id, nobody), fault.NotInGroup)
		}
		for _, nobody := range []string{"stranger", "former", "nobody", "bob "} {
			refused(t, h.HandOver(ctx, "alice", "alice", id, nobody), fault.NotInGroup)
		}
		same(t, "members", []string{"alice", "bob"}, h.members(t, id))
		same(t, "owner", "alice", h.owner(t, id))
		same(t, "notices", before, h.notices(t, id))
		same(t, "told", nil, h.told())
		same(t, "conversations", []string{groupID(id)}, h.column(t, "SELECT id FROM conversation"))
		open := h.reopened(t, func(o *Options) { o.AllowStrangers = true })
		must(t, open.AddMember(ctx, "alice", "alice", id, "stranger"))
	})
}

func TestDissolve(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		ctx, id := t.Context(), h.group(t, "climbers", "alice", "bob")
		h.send(t, "bob", ToGroup(id), "x")
		h.told()
		must(t, h.Dissolve(ctx, "alice", "alice", id))
		same(t, "told", []Event{
			{Kind: MessageStored, Conversation: groupID(id), Group: id},
			{Kind: GroupDissolved, Conversation: groupID(id), Group: id, Actor: "alice", Seq: 4},
		}, withoutMessages(h.told()))
		for _, query := range []string{"SELECT account FROM userofgroup", "SELECT account FROM participant", "SELECT GroupName FROM `group`"} {
			same(t, query, nil, h.column(t, query))
		}
		for _, account := range []string{"alice", "bob"} {
			groups, err := h.Groups(ctx, account, account, 0, 10)
			must(t, err)
			same(t, "groups", []Group{}, groups)
			refused(t, h.JoinGroup(ctx, account, account, id), fault.UnknownGroup)
			_, err = h.Send(ctx, account, ToGroup(id), TextContent("x"), "")
			refused(t, err, fault.UnknownGroup)
			_, err = h.Open(ctx, account, ToGroup(id))
			refused(t, err, fault.UnknownGroup)
		}
		refused(t, h.Dissolve(ctx, "alice", "alice", id), fault.UnknownGroup)
		next := h.group(t, "climbers", "bob") // the name is free again, the id isn't
		if next <= id {
			t.Errorf("the next group has the number %d after %d", next, id)
		}
		same(t, "its history", []string{"joined bob bob"}, h.notices(t, next))
	})
}

// A group may have more members than a statement takes arguments.
func TestDissolveALargeGroup(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		id := h.group(t, "climbers", "alice")
		const members = maxDeleted + 1
		tx, err := h.raw.BeginTx(t.Context(), nil)
		must(t, err)
		for i := range members {
			account := fmt.Sprint("member", i)
			_, err := tx.ExecContext(t.Context(), "INSERT INTO userofgroup (GroupID, account) VALUES (?, ?)", id, account)
			must(t, err)
			_, err = tx.ExecContext(t.Context(), `INSERT INTO participant
				(account, conversation, group_id, joined_seq, delivered_seq, received_seq, read_seq) VALUES (?, ?, ?, 0, 0, 0, 0)`, account, groupID(id), id)
			must(t, err)
		}
		must(t, tx.Commit())
		must(t, h.Dissolve(t.Context(), "alice", "alice", id))
		same(t, "left", []string{"0"}, h.column(t, "SELECT (SELECT COUNT(*) FROM participant) + (SELECT COUNT(*) FROM userofgroup)"))
	})
}

// The new owner is announced, and the history has it.
func TestInheritanceIsNoted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		id := h.group(t, "climbers", "alice", "bob")
		must(t, h.LeaveGroup(t.Context(), "alice", "alice", id))
		must(t, h.LeaveGroup(t.Context(), "bob", "bob", id))
		same(t, "notices", []string{
			"joined alice alice", "joined bob bob", "left alice alice", "owner alice bob", "left bob bob",
		}, h.notices(t, id))
		h.texts(t, groupID(id), 0) // checks that there are no gaps
	})
}

// A member is removed while it sends: what was answered is stored, and nothing comes after the notice of its removal.
func TestRemoveRacingSend(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		for round := range 5 {
			id := h.group(t, fmt.Sprint("group", round), "alice", "bob")
			var answered []string
			var work sync.WaitGroup
			work.Go(func() {
				for i := 0; ; i++ {
					m, err := h.Send(t.Context(), "bob", ToGroup(id), TextContent(fmt.Sprint(i)), "")
					if err != nil {
						refused(t, err, fault.NotAMember)
						return
					}
					answered = append(answered, textOf(m))
				}
			})
			must(t, h.RemoveMember(t.Context(), "alice", "alice", id, "bob"))
			work.Wait()
			messages, err := h.Missed(t.Context(), groupID(id), 2, 1000)
			must(t, err)
			end := messages[len(messages)-1]
			if _, shown := end.Text(); shown || end.Sender != "alice" {
				t.Errorf("after its end: %+v", end)
			}
			same(t, "stored", append([]string{}, answered...), h.texts(t, groupID(id), 2))
		}
	})
}

func TestGroupsAndMembersArePaged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		accounts := []string{"alice", "bob", "carol", "dave", "ren\u00e9"}
		h.register(t, append(accounts, "stranger", "former")...)
		var want []Group
		for i := range 5 {
			name := fmt.Sprint("group", i)
			want = append(want, Group{ID: h.group(t, name, accounts...), Name: name, Owner: "alice"})
		}
		h.exec(t, "INSERT INTO userofgroup (GroupID, account) VALUES (?, 'gone')", want[0].ID) // a row of an old database
		for _, limit := range []int{1, 2, 5, 6} {
			var groups []Group
			for after := int32(0); ; {
				page, err := h.Groups(t.Context(), "bob", "bob", after, limit)
				must(t, err)
				if len(page) == 0 {
					break
				}
				groups = append(groups, page...)
				after = page[len(page)-1].ID
			}
			same(t, fmt.Sprint("groups by ", limit), want, groups)
			var members []string
			for after := ""; ; {
				page, err := h.Members(t.Context(), "bob", "bob", want[0].ID, after, limit)
				must(t, err)
				if len(page) == 0 {
					break
				}
				members = append(members, accountsOf(page)...)
				after = page[len(page)-1].Account
			}
			same(t, fmt.Sprint("members by ", limit), accounts, members)
		}
		must(t, h.JoinGroup(t.Context(), "former", "former", want[0].ID))
		must(t, h.LeaveGroup(t.Context(), "former", "former", want[0].ID))
		for _, account := range []string{"stranger", "former"} {
			_, err := h.Members(t.Context(), account, account, want[0].ID, "", 10)
			refused(t, err, fault.NotAMember)
		}
		_, err := h.Members(t.Context(), "bob", "alice", want[0].ID, "", 10)
		refused(t, err, fault.NotYourAccount)
		_, err = h.Members(t.Context(), "bob", "bob", want[4].ID+1, "", 10)
		refused(t, err, fault.UnknownGroup)
		_, err = h.Groups(t.Context(), "bob", "alice", 0, 10)
		refused(t, err, fault.NotYourAccount)
	})
}

// A notice is unread by all members except the one who caused it, which like any sender has read what came before, and the one
// who joins with it.
func TestWhoHasReadTheNotices(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		accounts := []string{"alice", "bob", "carol", "dave"}
		h.register(t, accounts...)
		h.befriend(t, "alice", "bob", "carol", "dave")
		ctx, id := t.Context(), h.group(t, "climbers", "alice", "bob", "carol")
		unread := func(what string, want map[string]int64) {
			t.Helper()
			got := make(map[string]int64)
			for _, account := range accounts {
				list, err := h.Conversations(ctx, account, account, "", 10)
				must(t, err)
				for _, c := range list {
					if got[account] = c.Unread(); c.ReceivedSeq < c.ReadSeq {
						t.Errorf("%s: %s has read what it hasn't received: %+v", what, account, c)
					}
				}
			}
			same(t, what, want, got)
		}
		unread("made and joined", map[string]int64{"alice": 2, "bob": 1, "carol": 0})
		must(t, h.AddMember(ctx, "alice", "alice", id, "dave"))
		unread("added", map[string]int64{"alice": 0, "bob": 2, "carol": 1, "dave": 0})
		must(t, h.HandOver(ctx, "alice", "alice", id, "bob"))
		unread("handed over", map[string]int64{"alice": 0, "bob": 3, "carol": 2, "dave": 1})
		must(t, h.RemoveMember(ctx, "bob", "bob", id, "carol"))
		unread("removed", map[string]int64{"alice": 1, "bob": 0, "dave": 2})
		must(t, h.LeaveGroup(ctx, "bob", "bob", id)) // alice or dave becomes the owner
		unread("left and inherited", map[string]int64{"alice": 3, "dave": 4})
		must(t, h.JoinGroup(ctx, "bob", "bob", id))
		unread("came back", map[string]int64{"alice": 4, "bob": 0, "dave": 5})
		must(t, h.SetOwner(ctx, id, "bob"))
		unread("named by an operator", map[string]int64{"alice": 5, "bob": 1, "dave": 6})
	})
}
