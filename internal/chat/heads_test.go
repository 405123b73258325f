package chat

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"tim/internal/fault"
	"tim/internal/store"
)

// Two nodes write to the same conversations, in turn and at once: whatever either believes of how they stand, the numbers
// are 1, 2, 3 …, and what is refused is refused for what is so now.
func TestTwoNodesWrite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, here *house) {
		there := here.reopened(t, func(*Options) {})
		ctx := t.Context()
		here.register(t, "a", "b")
		here.befriend(t, "a", "b")
		next := int64(1)
		send := func(h *house, from, to string, reply int64) {
			t.Helper()
			c := TextContent(fmt.Sprint(next))
			c.ReplyTo = reply
			m, err := h.Send(ctx, from, ToUser(to), c, "")
			must(t, err)
			same(t, "seq", next, m.Seq)
			next++
		}
		for range 4 { // until each believes that it is alone
			send(here, "a", "b", 0)
		}
		for range 2 {
			send(there, "b", "a", next-1)
			send(here, "a", "b", next-1) // to a message that this node doesn't know of
			send(here, "a", "b", next-1)
			send(here, "a", "b", next-1)
		}
		_, err := here.Send(ctx, "a", ToUser("b"), Content{Body: TextContent("x").Body, ReplyTo: next}, "")
		refused(t, err, fault.InvalidBody)

		var all sync.WaitGroup
		for i, h := range []*house{here, there, here, there} {
			all.Go(func() {
				for n := range 50 {
					if _, err := h.Send(ctx, "a", ToUser("b"), TextContent(strconv.Itoa(n)), fmt.Sprint(i, "-", n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		conversation := directID("a", "b")
		same(t, "last", next-1+200, here.last(t, conversation))
		same(t, "stored", int(next)-1+200, len(here.texts(t, conversation, 0)))
	})
}

func TestHeads(t *testing.T) {
	t.Parallel()
	var h heads
	at := func(last, rights int64) map[string]store.LockedConversation {
		return map[string]store.LockedConversation{"c": {Last: last, Rights: rights}}
	}
	believes := func(want bool) {
		t.Helper()
		if got := h.believed([]string{"c"}); (len(got) > 0) != want {
			t.Errorf("believed: %v, want %v", got, want)
		}
	}
	believes(false)
	h.left(at(0, 0), at(1, 0))
	believes(false) // who else writes, isn't known yet
	h.left(at(1, 0), at(2, 0))
	believes(true)
	same(t, "believed, and of d nothing is known", at(2, 0), h.believed([]string{"c", "d"}))
	h.left(at(3, 0), at(4, 0)) // somebody else wrote 3
	believes(false)
	h.left(at(4, 0), at(5, 0))
	believes(true)
	h.left(at(5, 1), at(6, 1)) // a right has ended
	believes(false)
	h.left(at(6, 1), at(7, 1))
	h.forget([]string{"c"})
	believes(false)
}
