package chat

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"tim/internal/fault"
)

func seqsOf(messages []Message) []int64 {
	seqs := make([]int64, len(messages))
	for i, m := range messages {
		seqs[i] = m.Seq
	}
	return seqs
}

func TestConversations(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		h.befriend(t, "alice", "bob", "carol")
		h.send(t, "alice", ToUser("bob"), "1")
		answer := h.send(t, "bob", ToUser("alice"), "2")
		id := h.group(t, "climbers", "carol", "alice")
		_, err := h.Mark(t.Context(), "alice", ToUser("bob"), Marks{Received: 2})
		must(t, err)
		list, err := h.Conversations(t.Context(), "alice", "alice", "", 10)
		must(t, err)
		direct := ToUser("bob").Conversation("alice")
		same(t, "alice's", []Conversation{
			{
				ID: direct, Target: ToUser("bob"), LastSeq: 2, ReceivedSeq: 2, ReadSeq: 1,
				PeerReceived: 2, PeerRead: 2, Last: &answer,
			},
			{ID: groupID(id), Target: ToGroup(id), LastSeq: 2, JoinedSeq: 2, ReceivedSeq: 2, ReadSeq: 2},
		}, list)
		same(t, "unread", []int64{1, 0}, []int64{list[0].Unread(), list[1].Unread()})
		list, err = h.Conversations(t.Context(), "bob", "bob", "", 10)
		must(t, err)
		same(t, "bob's", []Conversation{{
			ID: direct, Target: ToUser("alice"), LastSeq: 2, ReceivedSeq: 2, ReadSeq: 2, PeerReceived: 2, PeerRead: 1, Last: &answer,
		}}, list)
		_, err = h.Conversations(t.Context(), "alice", "bob", "", 10)
		refused(t, err, fault.NotYourAccount)
	})
}

// Whatever the size of a page, the pages have each conversation once.
func TestConversationsArePaged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		var want []string
		for i := range 7 {
			friend := fmt.Sprint("friend", i)
			h.register(t, friend)
			h.befriend(t, "alice", friend)
			h.send(t, "alice", ToUser(friend), "x")
			want = append(want, ToUser(friend).Conversation("alice"), groupID(h.group(t, friend, "alice")))
		}
		slices.Sort(want)
		for _, limit := range []int{1, 3, 13, 14, 15, 200} {
			var got []string
			for after := ""; ; {
				page, err := h.Conversations(t.Context(), "alice", "alice", after, limit)
				must(t, err)
				if len(page) == 0 {
					break
				}
				if len(page) > limit {
					t.Fatalf("%d on a page of %d", len(page), limit)
				}
				for _, c := range page {
					got = append(got, c.ID)
				}
				after = page[len(page)-1].ID
			}
			same(t, fmt.Sprint("by ", limit), want, got)
		}
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		to := ToUser("bob")
		none, err := h.History(t.Context(), "alice", to, Page{Limit: 10})
		if err != nil || none.First != 1 || none.Last != 0 || len(none.Messages) != 0 {
			t.Errorf("before the first: %+v, %v", none, err)
		}
		for i := range 10 {
			h.send(t, "alice", to, fmt.Sprint(i+1))
		}
		for _, tt := range []struct {
			page Page
			want []int64
		}{
			{Page{Limit: 3}, []int64{8, 9, 10}},
			{Page{From: 8, Limit: 3}, []int64{5, 6, 7}},
			{Page{From: 2, Limit: 3}, []int64{1}},
			{Page{From: 1, Limit: 3}, []int64{}},
			{Page{From: 99, Limit: 2}, []int64{9, 10}},
			{Page{Limit: 99}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
			{Page{Limit: 0}, []int64{}},
			{Page{Forward: true, Limit: 3}, []int64{1, 2, 3}},
			{Page{Forward: true, From: 3, Limit: 3}, []int64{4, 5, 6}},
			{Page{Forward: true, From: 9, Limit: 3}, []int64{10}},
			{Page{Forward: true, From: 10, Limit: 3}, []int64{}},
			{Page{Forward: true, From: 99, Limit: 3}, []int64{}},
		} {
			got, err := h.History(t.Context(), "bob", ToUser("alice"), tt.page)
			must(t, err)
			same(t, fmt.Sprintf("%+v", tt.page), tt.want, seqsOf(got.Messages))
			if got.First != 1 || got.Last != 10 {
				t.Errorf("from %d to %d", got.First, got.Last)
			}
		}
	})
}

// A member sees what comes after it joined, a former member nothing, and one that joins again what comes after that. Former
// friends keep what they had.
func TestWhoReadsWhat(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "stranger")
		id := h.group(t, "climbers", "alice")
		to := ToGroup(id)
		read := func(account string) ([]int64, error) {
			forwards, err := h.History(t.Context(), account, to, Page{Forward: true, Limit: 100})
			backwards, err2 := h.History(t.Context(), account, to, Page{Limit: 100})
			if (err == nil) != (err2 == nil) || err == nil && !slices.Equal(seqsOf(forwards.Messages), seqsOf(backwards.Messages)) {
				t.Errorf("%s: forwards %v, %v; backwards %v, %v", account, seqsOf(forwards.Messages), err, seqsOf(backwards.Messages), err2)
			}
			if may := h.MayRead(t.Context(), account, to); (may == nil) != (err == nil) {
				t.Errorf("%s: MayRead says %v", account, may)
			}
			if seqs := seqsOf(forwards.Messages); err == nil && forwards.First != append(seqs, forwards.Last+1)[0] {
				t.Errorf("%s: the first is said to be %d of %v", account, forwards.First, seqs)
			}
			return seqsOf(forwards.Messages), err
		}
		h.send(t, "alice", to, "2")
		must(t, h.JoinGroup(t.Context(), "bob", "bob", id)) // 3
		got, err := read("bob")
		must(t, err)
		same(t, "right after joining", []int64{}, got)
		h.send(t, "alice", to, "4")
		got, err = read("bob")
		must(t, err)
		same(t, "bob", []int64{4}, got)
		must(t, h.RemoveMember(t.Context(), "alice", "alice", id, "bob")) // 5
		for _, account := range []string{"bob", "stranger"} {
			_, err = read(account)
			refused(t, err, fault.NotAMember)
		}
		h.befriend(t, "alice", "bob")
		must(t, h.AddMember(t.Context(), "alice", "alice", id, "bob")) // 6
		h.send(t, "alice", to, "7")
		got, err = read("bob")
		must(t, err)
		same(t, "back again", []int64{7}, got)
		got, err = read("alice")
		must(t, err)
		same(t, "alice", []int64{2, 3, 4, 5, 6, 7}, got)

		h.send(t, "alice", ToUser("bob"), "kept")
		must(t, h.DeleteFriend(t.Context(), "bob", "bob", "alice"))
		kept, err := h.History(t.Context(), "bob", ToUser("alice"), Page{Limit: 10})
		must(t, err)
		same(t, "of a friend that was", []int64{1}, seqsOf(kept.Messages))
		for to, want := range map[Target]fault.Reason{
			ToUser("alice"): fault.NotFriends, ToUser("nobody"): fault.UnknownAccount, ToUser("stranger"): fault.NotFriends,
			ToGroup(id): fault.NotAMember, ToGroup(id + 1): fault.UnknownGroup,
		} {
			_, err := h.History(t.Context(), "stranger", to, Page{Limit: 10})
			refused(t, err, want)
			refused(t, h.MayRead(t.Context(), "stranger", to), want)
		}
		must(t, h.Dissolve(t.Context(), "alice", "alice", id))
		for _, account := range []string{"alice", "bob"} {
			_, err = read(account)
			refused(t, err, fault.UnknownGroup)
		}
	})
}

// stepping is a context that calls a function when it is asked for the n-th time. Statements ask it again and again, so each
// call is a moment at which another transaction may commit.
type stepping struct {
	context.Context

	mu    sync.Mutex
	looks int
	at    int
	do    func()
}

func (s *stepping) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looks++; s.looks == s.at {
		s.do()
	}
	return s.Context.Done()
}

// over returns how often the context was asked, and makes it call nothing more.
func (s *stepping) over() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = 0
	return s.looks
}

// raws runs statements in one transaction, past the store.
func (h *house) raws(t *testing.T, do func(exec func(statement string, args ...any))) {
	t.Helper()
	tx, err := h.raw.BeginTx(t.Context(), nil)
	must(t, err)
	do(func(statement string, args ...any) {
		_, err := tx.ExecContext(t.Context(), statement, args...)
		must(t, err)
	})
	must(t, tx.Commit())
}

const joinsRaw = "INSERT INTO participant (account, conversation, group_id, joined_seq, delivered_seq, received_seq, read_seq) VALUES ('bob', ?, ?, ?, 0, 0, 0)"

// manyGroups creates the groups 1 to n. Bob is the only member of each; he joined at seq 2, and seq 3 is a message.
func (h *house) manyGroups(t *testing.T, n int) {
	t.Helper()
	h.raws(t, func(exec func(string, ...any)) {
		for id := range n {
			c := groupID(int32(id + 1))
			exec("INSERT INTO `group` (GroupID, GroupName) VALUES (?, ?)", id+1, c)
			exec("INSERT INTO userofgroup (GroupID, account) VALUES (?, 'bob')", id+1)
			exec("INSERT INTO conversation (id, last_seq, created_at) VALUES (?, 3, 0)", c)
			exec("INSERT INTO message (conversation, seq, sender, body, sent_at) VALUES (?, 3, 'alice', ?, 1)", c, stored("3"))
			exec(joinsRaw, c, id+1, 2)
		}
	})
}

// behind does what others might do: it may end bob's membership of a group, it sends message 4, and it may let him join again.
func (h *house) behind(t *testing.T, id int32, leaves, joins bool) {
	t.Helper()
	h.raws(t, func(exec func(string, ...any)) {
		if leaves {
			exec("DELETE FROM userofgroup WHERE GroupID = ? AND account = 'bob'", id)
			exec("DELETE FROM participant WHERE conversation = ? AND account = 'bob'", groupID(id))
		}
		exec("INSERT INTO message (conversation, seq, sender, body, sent_at) VALUES (?, 4, 'alice', ?, 1)", groupID(id), stored("4"))
		exec("UPDATE conversation SET last_seq = 4 WHERE id = ?", groupID(id))
		if joins {
			exec("INSERT INTO userofgroup (GroupID, account) VALUES (?, 'bob')", id)
			exec(joinsRaw, groupID(id), id, 4)
		}
	})
}

// Whatever happens between two statements of the reading, nobody reads what came after the membership ended or before it began
// again, and the newest seq isn't below that of a message in the same answer.
func TestHistoryWhileOthersAct(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		const most = 100
		h.manyGroups(t, 2+2*3*most/2)
		var groups int32
		read := func(at int, p Page, leaves, joins bool) (looks int) {
			groups++
			id := groups
			ctx := &stepping{Context: t.Context(), at: at, do: func() { h.behind(t, id, leaves, joins) }}
			page, err := h.History(ctx, "bob", ToGroup(id), p)
			looks = ctx.over()
			seqs := seqsOf(page.Messages)
			switch {
			case err != nil:
				if refused(t, err, fault.NotAMember); !leaves || joins {
					t.Errorf("look %d: a member is refused", at)
				}
			case leaves && slices.Contains(seqs, 4):
				t.Errorf("look %d: it reads %v, and may not any more, or not yet", at, seqs)
			case !leaves && !slices.Contains(seqs, 3):
				t.Errorf("look %d: it reads %v", at, seqs)
			case len(seqs) > 0 && page.Last < seqs[len(seqs)-1]:
				t.Errorf("look %d: the newest is %d of %v", at, page.Last, seqs)
			}
			return looks
		}
		for _, p := range []Page{{Forward: true, From: 2, Limit: 10}, {From: 99, Limit: 10}} {
			looks := read(0, p, false, false)
			if looks < 4 || looks > most {
				t.Fatalf("%d looks", looks)
			}
			for at := 1; at <= looks; at += 2 { // each statement asks the context more than twice
				read(at, p, true, false)
				read(at, p, true, true)
				read(at, p, false, false)
			}
		}
	})
}
