package feed

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// listener is a subscriber that hears of nothing.
type listener struct{ Subscriber }

// A set holds each connection once, however many there are and in whatever order they come and go.
func TestSet(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, fewSubscribers, fewSubscribers + 1, 100} {
		var s set
		want := map[Subscriber]bool{}
		all := make([]Subscriber, most)
		for i := range all {
			all[i] = &listener{}
		}
		check := func() {
			t.Helper()
			held := map[Subscriber]bool{}
			n := 0
			s.each(func(c Subscriber) {
				n++
				held[c] = true
			})
			if s.size() != len(want) || n != len(want) || !maps.Equal(held, want) {
				t.Fatalf("of %d: it holds %d of a size of %d, want %d", most, n, s.size(), len(want))
			}
		}
		for _, c := range all {
			s.add(c)
			s.add(c)
			want[c] = true
			check()
		}
		random := rand.New(rand.NewPCG(1, uint64(most)))
		for range 20 * most {
			c := all[random.IntN(most)]
			if want[c] {
				s.remove(c)
				delete(want, c)
			} else {
				s.remove(c)
				s.add(c)
				want[c] = true
			}
			check()
		}
		for _, c := range all {
			s.remove(c)
			delete(want, c)
			check()
		}
		if s != (set{}) {
			t.Errorf("of %d: an empty one keeps memory", most)
		}
	}
}
