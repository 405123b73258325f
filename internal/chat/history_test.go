package chat

import (
	"fmt"
	"slices"
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

// Page by page, however large a page is, each conversation comes once.
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
		none, last, err := h.History(t.Context(), "alice", to, Page{Limit: 10})
		if err != nil || last != 0 || len(none) != 0 {
			t.Errorf("before the first: %v, %d, %v", none, last, err)
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
			got, last, err := h.History(t.Context(), "bob", ToUser("alice"), tt.page)
			must(t, err)
			same(t, fmt.Sprintf("%+v", tt.page), tt.want, seqsOf(got))
			if last != 10 {
				t.Errorf("last is %d", last)
			}
		}
	})
}

// Whoever joins sees what comes after, whoever has left nothing, whoever comes back what comes after that; once friends
// are friends no more, both keep what they had.
func TestWhoReadsWhat(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "stranger")
		id := h.group(t, "climbers", "alice")
		to := ToGroup(id)
		read := func(account string) ([]int64, error) {
			forwards, _, err := h.History(t.Context(), account, to, Page{Forward: true, Limit: 100})
			backwards, _, err2 := h.History(t.Context(), account, to, Page{Limit: 100})
			if (err == nil) != (err2 == nil) || err == nil && !slices.Equal(seqsOf(forwards), seqsOf(backwards)) {
				t.Errorf("%s: forwards %v, %v; backwards %v, %v", account, seqsOf(forwards), err, seqsOf(backwards), err2)
			}
			if may := h.MayRead(t.Context(), account, to); (may == nil) != (err == nil) {
				t.Errorf("%s: MayRead says %v", account, may)
			}
			return seqsOf(forwards), err
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
		must(t, h.JoinGroup(t.Context(), "bob", "bob", id)) // 6
		h.send(t, "alice", to, "7")
		got, err = read("bob")
		must(t, err)
		same(t, "back again", []int64{7}, got)
		got, err = read("alice")
		must(t, err)
		same(t, "alice", []int64{2, 3, 4, 5, 6, 7}, got)

		h.befriend(t, "alice", "bob")
		h.send(t, "alice", ToUser("bob"), "kept")
		must(t, h.DeleteFriend(t.Context(), "bob", "bob", "alice"))
		kept, _, err := h.History(t.Context(), "bob", ToUser("alice"), Page{Limit: 10})
		must(t, err)
		same(t, "of a friend that was", []int64{1}, seqsOf(kept))
		for to, want := range map[Target]fault.Reason{
			ToUser("alice"): fault.NotFriends, ToUser("nobody"): fault.UnknownAccount, ToUser("stranger"): fault.NotFriends,
			ToGroup(id): fault.NotAMember, ToGroup(id + 1): fault.UnknownGroup,
		} {
			_, _, err := h.History(t.Context(), "stranger", to, Page{Limit: 10})
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
