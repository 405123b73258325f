package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// Message is a stored message.
type Message struct {
	Seq    int64  `json:"seq"`
	Sender string `json:"sender"`
	Body   string `json:"body"`   // a Content, encoded
	SentAt int64  `json:"sentAt"` // ms since 1970
}

// MaxClientID is the most bytes that a client id may have.
const MaxClientID = 64

// Send stores a message and, once it is committed, tells the sockets. When it returns without an error the message
// will be read; with one, whether it was stored is not known unless the error is a fault of the request. The same
// client id by the same sender in the same conversation is the same message, for ever; "" for a sender that knows none.
// For members and friends.
func (s *Service) Send(ctx context.Context, caller string, t Target, c Content, clientID string) (Message, error) {
	d := &draft{
		sender: caller, target: t, conversation: t.Conversation(caller), clientID: clientID, body: c.normal().encode(), replyTo: c.ReplyTo,
	}
	return s.drafts.submit(ctx, d.conversation, d)
}

// draft is a message on its way into the database.
type draft struct {
	sender       string
	target       Target
	conversation string
	clientID     string
	body         string
	replyTo      int64

	message Message
	again   bool  // it was stored before
	refusal error // the others of its batch are stored nonetheless
}

type waitingDraft = waiting[*draft, Message]

// commit stores a batch in one transaction: it locks the conversations in one order, checks rights, finds retries,
// numbers, and inserts the messages together.
func (s *Service) commit(ctx context.Context, batch []*waitingDraft) {
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		last, err := s.lockAll(ctx, tx, batch)
		if err != nil {
			return err
		}
		n := numbering{last: last, own: make(map[ownID]*draft)}
		for _, w := range batch {
			if err := s.number(ctx, tx, w.item, &n); err != nil {
				return err
			}
		}
		return n.insert(ctx, tx)
	})
	if err != nil {
		err = fmt.Errorf("store messages: %w", err)
	}
	for _, w := range batch {
		w.done(w.item.message, errors.Join(err, w.item.refusal))
	}
	for _, w := range batch {
		if d := w.item; err == nil && d.refusal == nil && !d.again {
			s.tellSides(ctx, d.sender, d.target, Event{Kind: MessageStored, Conversation: d.conversation, Message: &d.message})
		}
	}
}

// lockAll locks the conversations of a batch in one order and returns the last seq of each. One that nobody has written
// to is made only when one of the drafts may: else whoever is refused would leave a row behind each time.
func (s *Service) lockAll(ctx context.Context, tx *store.Tx, batch []*waitingDraft) (map[string]int64, error) {
	drafts := make(map[string][]*draft, len(batch))
	for _, w := range batch {
		d := w.item
		d.message, d.again, d.refusal = Message{}, false, nil // the transaction may be run again
		drafts[d.conversation] = append(drafts[d.conversation], d)
	}
	last := make(map[string]int64, len(drafts))
	for _, c := range slices.Sorted(maps.Keys(drafts)) {
		seq, err := tx.LockConversation(ctx, c)
		if errors.Is(err, sql.ErrNoRows) {
			var allowed bool
			if allowed, err = s.anyMayWrite(ctx, tx, drafts[c]); err == nil && allowed {
				seq, err = lock(ctx, tx, c)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("lock conversation: %w", err)
		}
		last[c] = seq
	}
	return last, nil
}

// anyMayWrite refuses the drafts before the first that may be written, and reports whether there is one.
func (s *Service) anyMayWrite(ctx context.Context, tx *store.Tx, drafts []*draft) (bool, error) {
	for _, d := range drafts {
		err := s.mayWrite(ctx, tx.Queries, d.sender, d.target)
		if _, refused := errors.AsType[*fault.Fault](err); !refused {
			return err == nil, err
		}
		d.refusal = err
	}
	return false, nil
}

// numbering is what a batch's transaction has numbered so far.
type numbering struct {
	last map[string]int64
	rows []db.InsertMessageParams
	own  map[ownID]*draft
}

// ownID is a client id with whose it is.
type ownID struct{ conversation, sender, clientID string }

// number gives a draft its seq, or that of the message it repeats, or refuses it.
func (s *Service) number(ctx context.Context, tx *store.Tx, d *draft, n *numbering) error {
	if d.refusal != nil {
		return nil //nolint:nilerr // the draft is refused, the others of its batch are not
	}
	err := s.mayWrite(ctx, tx.Queries, d.sender, d.target)
	if _, refused := errors.AsType[*fault.Fault](err); refused {
		d.refusal = err
		return nil
	}
	if err != nil {
		return err
	}
	if found, err := n.repeats(ctx, tx, d); found || err != nil {
		return err
	}
	if d.replyTo > n.last[d.conversation] {
		d.refusal = fault.Invalid(fault.InvalidBody, "replyTo", "must be the seq of a message of the conversation")
		return nil
	}
	if err := begin(ctx, tx, d, n.last[d.conversation]); err != nil {
		return err
	}
	n.last[d.conversation]++
	d.message = Message{Seq: n.last[d.conversation], Sender: d.sender, Body: d.body, SentAt: time.Now().UnixMilli()}
	n.rows = append(n.rows, db.InsertMessageParams{
		Conversation: d.conversation, Seq: d.message.Seq, Sender: d.sender, ClientID: nullable(d.clientID), Body: d.body, SentAt: d.message.SentAt,
	})
	if d.clientID != "" {
		n.own[ownID{d.conversation, d.sender, d.clientID}] = d
	}
	return nil
}

// repeats finds the message that a draft repeats, in its own batch or in the database, by its client id. The same id
// with another content is refused.
func (n *numbering) repeats(ctx context.Context, tx *store.Tx, d *draft) (bool, error) {
	if d.clientID == "" {
		return false, nil
	}
	if first, ok := n.own[ownID{d.conversation, d.sender, d.clientID}]; ok {
		d.repeat(first.message)
		return true, nil
	}
	row, err := tx.MessageByClientID(ctx, d.conversation, d.sender, nullable(d.clientID))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the client id: %w", err)
	}
	d.repeat(Message{Seq: row.Seq, Sender: d.sender, Body: row.Body, SentAt: row.SentAt})
	return true, nil
}

func (d *draft) repeat(stored Message) {
	d.message, d.again = stored, true
	if stored.Body != d.body {
		d.refusal = fault.New(fault.ClientIDReused)
	}
}

// begin makes both sides of a one-to-one conversation with its first message.
func begin(ctx context.Context, tx *store.Tx, d *draft, last int64) error {
	if last > 0 || d.target.Group != 0 {
		return nil
	}
	for _, side := range bothWays(d.sender, d.target.User) {
		if err := participate(ctx, tx, side[0], d.conversation, ToUser(side[1])); err != nil {
			return fmt.Errorf("begin conversation: %w", err)
		}
	}
	return nil
}

// insert stores what was numbered, and moves the senders' own marks: whoever writes has read what came before.
func (n *numbering) insert(ctx context.Context, tx *store.Tx) error {
	if len(n.rows) == 0 {
		return nil
	}
	if err := tx.InsertMessages(ctx, n.rows); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	last := make(map[participantKey]int64)
	for _, row := range n.rows {
		last[participantKey{row.Conversation, row.Sender}] = row.Seq
	}
	numbered := ""
	for _, k := range slices.SortedFunc(maps.Keys(last), participantKey.compare) {
		if k.conversation != numbered {
			numbered = k.conversation
			if err := tx.SetLastSeq(ctx, n.last[numbered], numbered); err != nil {
				return fmt.Errorf("number messages: %w", err)
			}
		}
		_, err := tx.MoveMarks(ctx, db.MoveMarksParams{Received: last[k], Seen: last[k], Account: k.account, Conversation: k.conversation})
		if err != nil {
			return fmt.Errorf("move the sender's marks: %w", err)
		}
	}
	return nil
}
