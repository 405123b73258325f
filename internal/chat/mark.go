package chat

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"tim/gen/db"
	"tim/internal/store"
)

// mark is a move of an account's marks that is to be stored.
type mark struct {
	account      string
	conversation string
	marks        Marks
	delivered    int64 // the mark of the contract's sockets, 0 to leave it
}

// moved is the result of a mark: the marks afterwards, and whether this mark is the one to announce.
type moved struct {
	now  Marks
	told bool
}

func (m *mark) key() participantKey { return participantKey{m.conversation, m.account} }

// participantKey is the key of a participant's row. Transactions lock several rows in the order of compare.
type participantKey struct{ conversation, account string }

func (k participantKey) compare(other participantKey) int {
	return cmp.Or(cmp.Compare(k.conversation, other.conversation), cmp.Compare(k.account, other.account))
}

type waitingMark = waiting[*mark, moved]

// commitMarks stores a batch of marks in one transaction. It writes each participant's row once, however many marks of the
// batch concern it, and announces the last of them.
func (s *Service) commitMarks(ctx context.Context, batch []*waitingMark) {
	slices.SortStableFunc(batch, func(a, b *waitingMark) int { return a.item.key().compare(b.item.key()) })
	results := make([]moved, len(batch))
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		for i := 0; i < len(batch); {
			sum, next := *batch[i].item, i+1
			for ; next < len(batch) && batch[next].item.key() == sum.key(); next++ {
				sum.add(batch[next].item)
			}
			result, err := sum.move(ctx, tx)
			if err != nil {
				return err
			}
			for j := i; j < next; j++ {
				results[j] = moved{now: result.now, told: result.told && j == next-1}
			}
			i = next
		}
		return nil
	})
	for i, w := range batch {
		w.done(results[i], err)
	}
}

// add merges another mark of the same participant into this one.
func (m *mark) add(other *mark) {
	m.delivered = max(m.delivered, other.delivered)
	m.marks = Marks{Read: max(m.marks.Read, other.marks.Read), Received: max(m.marks.Received, other.marks.Received)}
}

func (m *mark) move(ctx context.Context, tx *store.Tx) (moved, error) {
	if m.delivered > 0 {
		_, err := tx.MoveDelivered(ctx, db.MoveDeliveredParams{
			Seq: m.delivered, Account: m.account, Conversation: m.conversation, Below: m.delivered,
		})
		if err != nil {
			return moved{}, fmt.Errorf("confirm delivered: %w", err)
		}
	}
	rows, err := tx.MoveMarks(ctx, db.MoveMarksParams{
		Received: m.marks.Received, Seen: m.marks.Read, Account: m.account, Conversation: m.conversation,
	})
	if err != nil {
		return moved{}, fmt.Errorf("move marks: %w", err)
	}
	row, err := tx.GetMarks(ctx, m.account, m.conversation)
	if errors.Is(err, sql.ErrNoRows) {
		return moved{}, nil // the account has left meanwhile
	}
	if err != nil {
		return moved{}, fmt.Errorf("read marks: %w", err)
	}
	mine, _ := sides(m.account, row.Peer.String, row.FirstSent, row.SecondSent)
	return moved{
		now:  Marks{Read: max(row.ReadSeq, mine), Received: max(row.ReceivedSeq, mine)},
		told: rows > 0 && max(m.marks.Read, m.marks.Received) > mine,
	}, nil
}

// sides sorts out, from the seqs of the newest messages of the account that sorts first and of the other one, which is an
// account's own and which its peer's. An account counts as having read its own messages, and everything before them, whatever
// its marks are.
func sides(account, peer string, first, second int64) (mine, theirs int64) {
	if account < peer {
		return first, second
	}
	return second, first
}
