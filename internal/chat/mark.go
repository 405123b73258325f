package chat

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tim/gen/db"
	"tim/internal/store"
)

// mark is a move of an account's marks on its way into the database.
type mark struct {
	account      string
	conversation string
	marks        Marks
	delivered    int64 // of the contract's sockets

	moved bool
}

func (m *mark) key() participantKey { return participantKey{m.conversation, m.account} }

// participantKey orders rows of participants: transactions that lock several do so in one order.
type participantKey struct{ conversation, account string }

func (k participantKey) compare(other participantKey) int {
	return cmp.Or(cmp.Compare(k.conversation, other.conversation), cmp.Compare(k.account, other.account))
}

type waitingMark = waiting[*mark, bool]

// commitMarks stores a batch of marks in one transaction, each mark once however often it moved meanwhile. The answer is
// whether it moved.
func (s *Service) commitMarks(ctx context.Context, batch []*waitingMark) {
	slices.SortFunc(batch, func(a, b *waitingMark) int { return a.item.key().compare(b.item.key()) })
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, w := range batch {
			m := w.item
			m.moved = false
			if m.delivered > 0 {
				_, err := tx.MoveDelivered(ctx, db.MoveDeliveredParams{
					Seq: m.delivered, Account: m.account, Conversation: m.conversation, Below: m.delivered,
				})
				if err != nil {
					return fmt.Errorf("confirm delivered: %w", err)
				}
			}
			rows, err := tx.MoveMarks(ctx, db.MoveMarksParams{
				Received: m.marks.Received, Seen: m.marks.Read, Account: m.account, Conversation: m.conversation,
			})
			if err != nil {
				return fmt.Errorf("move marks: %w", err)
			}
			m.moved = rows > 0
		}
		return nil
	})
	for _, w := range batch {
		w.done(w.item.moved, err)
	}
}
