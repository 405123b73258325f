package chat

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"tim/internal/fault"
	"tim/internal/store"
)

// Two nodes write to the same conversation, in turn and at once. Whatever state either expects, the seqs are 1, 2, 3 …, and a
// refusal is decided on the present state.
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
		for range 4 { // until the node expects the state that it has left
			send(here, "a", "b", 0)
		}
		for range 2 {
			send(there, "b", "a", next-1)
			send(here, "a", "b", next-1) // a reply to a message of the other node
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

func TestLastKnown(t *testing.T) {
	t.Parallel()
	var l lastKnown
	at := func(last, rights int64) map[string]store.LockedConversation {
		return map[string]store.LockedConversation{"c": {Last: last, Rights: rights}}
	}
	expects := func(want bool) {
		t.Helper()
		if got := l.expected([]string{"c"}); (len(got) > 0) != want {
			t.Errorf("expected: %v, want %v", got, want)
		}
	}
	expects(false)
	l.committed(at(0, 0), at(1, 0))
	expects(false) // one batch doesn't show whether others write
	l.committed(at(1, 0), at(2, 0))
	expects(true)
	same(t, "expected, and d isn't known", at(2, 0), l.expected([]string{"c", "d"}))
	l.committed(at(3, 0), at(4, 0)) // another node wrote 3
	expects(false)
	l.committed(at(4, 0), at(5, 0))
	expects(true)
	l.committed(at(5, 1), at(6, 1)) // a right has ended
	expects(false)
	l.committed(at(6, 1), at(7, 1))
	l.forget([]string{"c"})
	expects(false)
}
