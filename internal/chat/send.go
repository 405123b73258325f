package chat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// commit stores a batch in one transaction: it takes the conversations' locks in one order, checks rights, numbers, and
// inserts the messages together. What is rare it finds out from the database's refusal, and then asks first: that the
// conversations don't stand as this node has left them, that a client id is there already.
func (s *Service) commit(ctx context.Context, batch []*waitingDraft) {
	drafts := make(map[string][]*draft, len(batch))
	for _, w := range batch {
		drafts[w.item.conversation] = append(drafts[w.item.conversation], w.item)
	}
	ids := slices.Sorted(maps.Keys(drafts))
	err := s.store(ctx, &numbering{s: s, ids: ids, drafts: drafts, believed: s.heads.believed(ids)}, batch)
	if errors.Is(err, errNotAsBelieved) {
		err = s.store(ctx, &numbering{s: s, ids: ids, drafts: drafts}, batch)
	}
	if store.IsDuplicate(err) {
		err = s.store(ctx, &numbering{s: s, ids: ids, drafts: drafts, lookUp: true}, batch)
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

// errNotAsBelieved says that somebody else has written to a conversation, or that a right has ended.
var errNotAsBelieved = errors.New("a conversation doesn't stand as it was left")

func (s *Service) store(ctx context.Context, plan *numbering, batch []*waitingDraft) error {
	var n numbering
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		n = *plan // the transaction may be run again
		n.tx, n.own, n.marks = tx, make(map[ownID]*draft, len(batch)), make(map[participantKey]ownMark, len(batch))
		for _, w := range batch {
			w.item.message, w.item.again, w.item.refusal = Message{}, false, nil
		}
		if err := n.begin(ctx); err != nil {
			return err
		}
		for _, w := range batch {
			if err := n.number(ctx, w.item); err != nil {
				return err
			}
			if _, claiming := n.believed[w.item.conversation]; claiming && w.item.refusal != nil {
				return errNotAsBelieved // what it was refused for may be no longer so
			}
		}
		return n.insert(ctx)
	})
	if err != nil {
		s.heads.forget(plan.ids) // nobody knows what became of it
		return fmt.Errorf("store messages: %w", err)
	}
	s.heads.left(n.found, n.locked)
	return nil
}
