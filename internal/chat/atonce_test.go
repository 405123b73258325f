package chat

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// walk sends and marks at random. It fails when a mark moves back, and returns the furthest marks that it was answered.
func (h *house) walk(t *testing.T, random *rand.Rand, account string, to Target, steps int) (stands Marks) {
	for range steps {
		if random.IntN(3) == 0 {
			m, err := h.Send(t.Context(), account, to, TextContent("x"), "")
			if err != nil {
				t.Error(err)
				return stands
			}
			stands = Marks{Read: max(stands.Read, m.Seq), Received: max(stands.Received, m.Seq)}
			continue
		}
		upTo := random.Int64N(60)
		m := Marks{Read: upTo}
		if random.IntN(2) == 0 {
			m = Marks{Received: upTo}
		}
		now, err := h.Mark(t.Context(), account, to, m)
		if err != nil {
			t.Error(err)
			return stands
		}
		if now.Read < stands.Read || now.Received < stands.Received || now.Received < now.Read {
			t.Errorf("%s stood at %+v and is marked as %+v", account, stands, now)
		}
		stands = now
	}
	return stands
}

// Several devices of several members send and mark at once, while other members come and go. The seqs have no gaps, no mark
// moves back, and each account's list shows its last mark.
func TestMarksOfManyAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		accounts := []string{"a", "b", "c"}
		h.register(t, append(accounts, "guest")...)
		id := h.group(t, "climbers", accounts...)
		var work sync.WaitGroup
		var mu sync.Mutex
		stands := make(map[string]Marks)
		for i, account := range accounts {
			for device := range 2 {
				work.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(2*i+device)))
					now := h.walk(t, random, account, ToGroup(id), 25)
					mu.Lock()
					defer mu.Unlock()
					before := stands[account]
					stands[account] = Marks{Read: max(before.Read, now.Read), Received: max(before.Received, now.Received)}
				})
			}
		}
		work.Go(func() {
			for range 5 {
				if err := h.JoinGroup(t.Context(), "guest", "guest", id); err != nil {
					t.Error(err)
				}
				h.walk(t, rand.New(rand.NewPCG(seed, 99)), "guest", ToGroup(id), 3)
				if err := h.LeaveGroup(t.Context(), "guest", "guest", id); err != nil {
					t.Error(err)
				}
			}
		})
		work.Wait()
		h.texts(t, groupID(id), 0) // checks that there are no gaps
		last := h.last(t, groupID(id))
		for _, account := range accounts {
			list, err := h.Conversations(t.Context(), account, account, "", 10)
			must(t, err)
			c := list[0]
			same(t, account+" stands at", stands[account], Marks{Read: c.ReadSeq, Received: c.ReceivedSeq})
			same(t, account+"'s unread", fmt.Sprint(last-stands[account].Read), fmt.Sprint(c.Unread()))
		}
		list, err := h.Conversations(t.Context(), "guest", "guest", "", 10)
		must(t, err)
		same(t, "of the guest", []Conversation{}, list)
	})
}
