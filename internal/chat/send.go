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
	Seq      int64 // 1, 2, 3 … in its conversation, in the order of commits
	Sender   string
	ClientID string // the sender's own id of it, "" for none; nobody else is shown it
	Body     string // the Content in JSON
	SentAt   int64  // ms since 1970
}

// For returns the message as an account is shown it.
func (m Message) For(reader string) Message {
	if reader != m.Sender {
		m.ClientID = ""
	}
	return m
}

// MaxClientID is the longest client id, in bytes.
const MaxClientID = 64

// Send stores a message and, after the commit, notifies the sockets. Members and friends may call it. When it returns without
// an error, the message is stored durably. When it returns a fault, nothing is stored; after any other error nobody knows.
//
// clientID names the message among those of its sender in this conversation, for ever: a repeated send returns the message
// that is stored already, or ClientIDReused if its content differs. That holds also if the sender has lost the right to write
// since. "" stands for a client without such ids.
func (s *Service) Send(ctx context.Context, caller string, t Target, c Content, clientID string) (Message, error) {
	d := &draft{
		sender: caller, target: t, conversation: t.Conversation(caller), clientID: clientID, body: c.normal().encode(), replyTo: c.ReplyTo,
	}
	d.files = fileIDs(d.body)
	return s.drafts.submit(ctx, d.conversation, d)
}

// draft is a message that is to be stored.
type draft struct {
	sender       string
	target       Target
	conversation string
	clientID     string
	body         string
	replyTo      int64
	files        []string // what may be ids of files in the body

	// The result, set by batchTx.
	message Message
	again   bool  // the message was stored by an earlier send
	refusal error // a fault that concerns this draft alone
}

type waitingDraft = waiting[*draft, Message]

// commit stores a batch in one transaction: it locks the conversations in the order of their ids, checks rights, gives out
// seqs, and inserts the messages together. It makes up to three attempts, cheapest first:
//  1. assume that no other node has written since our last batch, and that every client id is new;
//  2. on errNotAsExpected, lock the conversations and read their states;
//  3. on a duplicate client id, look each one up.
func (s *Service) commit(ctx context.Context, batch []*waitingDraft) {
	drafts := make(map[string][]*draft, len(batch))
	for _, w := range batch {
		drafts[w.item.conversation] = append(drafts[w.item.conversation], w.item)
	}
	ids := slices.Sorted(maps.Keys(drafts))
	err := s.store(ctx, &batchTx{s: s, ids: ids, drafts: drafts, expected: s.lastKnown.expected(ids)}, batch)
	if errors.Is(err, errNotAsExpected) {
		err = s.store(ctx, &batchTx{s: s, ids: ids, drafts: drafts}, batch)
	}
	if store.IsDuplicate(err) {
		err = s.store(ctx, &batchTx{s: s, ids: ids, drafts: drafts, lookUp: true}, batch)
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

// errNotAsExpected says that another node has written to a conversation, or that a right has ended.
var errNotAsExpected = errors.New("a conversation has changed since this node's last batch")

func (s *Service) store(ctx context.Context, plan *batchTx, batch []*waitingDraft) error {
	var b batchTx
	err := s.DB.StoreMessages(ctx, func(tx *store.Tx) (store.MessageBatch, error) {
		b = *plan // a copy, since the transaction may run again
		b.tx, b.own, b.marks = tx, make(map[ownID]*draft, len(batch)), make(map[participantKey]ownMark, len(batch))
		for _, w := range batch {
			w.item.message, w.item.again, w.item.refusal = Message{}, false, nil
		}
		if err := b.begin(ctx); err != nil {
			return store.MessageBatch{}, err
		}
		for _, w := range batch {
			if err := b.number(ctx, w.item); err != nil {
				return store.MessageBatch{}, err
			}
			if _, unlocked := b.expected[w.item.conversation]; unlocked && w.item.refusal != nil {
				return store.MessageBatch{}, errNotAsExpected // without the lock, the reason may no longer hold
			}
		}
		return b.finish(ctx)
	})
	if err != nil {
		s.lastKnown.forget(plan.ids)
		return fmt.Errorf("store messages: %w", err)
	}
	s.lastKnown.committed(b.before, b.after)
	return nil
}
