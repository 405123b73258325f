package chat

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/internal/fault"
)

// The answers about many are the answers about each.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		accounts := []string{"alice", "bob", "carol", "dave", "eve"}
		h.register(t, accounts...)
		h.befriend(t, "alice", "bob", "carol")
		h.befriend(t, "dave", "bob")
		groups := []int32{h.group(t, "one", "alice", "bob"), h.group(t, "two", "carol", "dave", "bob"), 999}
		var sides []Side
		var sights []Sight
		for range 20 { // more than one statement takes
			for _, account := range append(accounts, "nobody") {
				for _, group := range groups {
					sides = append(sides, Side{account, ToGroup(group)})
				}
				for _, other := range append(accounts, "nobody", "bob ") {
					sides = append(sides, Side{account, ToUser(other)})
					sights = append(sights, Sight{account, other})
				}
			}
		}
		for _, open := range []*house{h, h.reopened(t, func(o *Options) { o.AllowStrangers = true })} {
			errs, err := open.MayWriteAll(t.Context(), sides)
			must(t, err)
			for i, side := range sides {
				want := open.MayWrite(t.Context(), side.Account, side.Target)
				if got := errs[i]; (got == nil) != (want == nil) || want != nil && fault.From(got).Reason != fault.From(want).Reason {
					t.Errorf("%v: %v, alone %v", side, got, want)
				}
			}
		}
		visible, err := h.MaySeeAll(t.Context(), sights)
		must(t, err)
		for i, sight := range sights {
			want, err := h.MaySee(t.Context(), sight.Viewer, sight.Account)
			must(t, err)
			if visible[i] != want {
				t.Errorf("%v: %t, alone %t", sight, visible[i], want)
			}
		}
		none, err := h.MayWriteAll(t.Context(), nil)
		if nobody, err2 := h.MaySeeAll(t.Context(), nil); len(none)+len(nobody) > 0 || err != nil || err2 != nil {
			t.Errorf("of nothing: %v, %v, %v, %v", none, err, nobody, err2)
		}
	})
}

// Pages of any size together are the conversations of each account.
func TestStandings(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		accounts := []string{"alice", "bob", "carol", "dave"}
		h.register(t, accounts...)
		h.befriend(t, "alice", "bob", "carol")
		h.send(t, "alice", ToUser("bob"), "hello")
		h.send(t, "bob", ToUser("alice"), "hello")
		h.send(t, "carol", ToUser("alice"), "hello")
		for i := range 5 {
			group := h.group(t, fmt.Sprint(i), accounts[i%2:3]...)
			h.send(t, "carol", ToGroup(group), "hello")
		}
		var want []Standing
		for _, account := range accounts {
			conversations, err := h.Conversations(t.Context(), account, account, "", 100)
			must(t, err)
			for _, c := range conversations {
				want = append(want, Standing{account, c.ID, c.Target, c.JoinedSeq, c.LastSeq})
			}
		}
		if len(want) < 15 {
			t.Fatalf("only %d", len(want))
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			var got []Standing
			for after := (Standing{}); ; {
				page, err := h.Standings(t.Context(), accounts, after, limit)
				must(t, err)
				if got = append(got, page...); len(page) < limit {
					break
				}
				after = page[limit-1]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("pages of %d: %s", limit, diff)
			}
		}
		last, err := h.LastSeqs(t.Context(), []string{want[0].Conversation, want[1].Conversation, "unknown"})
		must(t, err)
		if diff := cmp.Diff(map[string]int64{want[0].Conversation: want[0].LastSeq, want[1].Conversation: want[1].LastSeq}, last); diff != "" {
			t.Error(diff)
		}
		none, err := h.LastSeqs(t.Context(), nil)
		if nowhere, err2 := h.Standings(t.Context(), nil, Standing{}, 10); len(none)+len(nowhere) > 0 || err != nil || err2 != nil {
			t.Errorf("of nothing: %v, %v, %v, %v", none, err, nowhere, err2)
		}
	})
}
