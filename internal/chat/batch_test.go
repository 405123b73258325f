package chat

import (
	"slices"
	"testing"
)

// Where the tables are spread over several servers, a batch holds one conversation's items alone, in their order.
func TestBatchesOfOneConversation(t *testing.T) {
	t.Parallel()
	var l lane[int, int]
	for i, conversation := range []string{"a", "b", "a", "c", "b", "a"} {
		l.queue = append(l.queue, &waiting[int, int]{item: i, conversation: conversation})
	}
	var batches [][]int
	for range 4 {
		var items []int
		for _, w := range l.take(true) {
			items = append(items, w.item)
		}
		batches = append(batches, items)
	}
	if want := [][]int{{0, 2, 5}, {1, 4}, {3}, nil}; !slices.EqualFunc(batches, want, slices.Equal[[]int]) {
		t.Errorf("%v, want %v", batches, want)
	}
}
