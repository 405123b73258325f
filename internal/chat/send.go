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

// commit stores a batch in one transaction: it takes the conversations' locks in one order, checks rights, numbers, and
// inserts the messages together. What is rare it finds out from the database's refusal, and then asks first: that the
// conversations don't stand as this node has left them, that a client id is there already.
func (s *Service) commit(ctx context.Context, batch []*waitingDraft) {
	drafts := make(map[string][]*draft, len(batch))
	for _, w := range batch {
		drafts[w.item.conversation] = append(drafts[w.item.conversation], w.item)
	}
	ids := slices.Sorted(maps.Keys(drafts))
	err := errNotAsBelieved
	if believed := s.heads.believed(ids); believed != nil {
		err = s.store(ctx, &numbering{s: s, ids: ids, drafts: drafts, claiming: true, locked: believed}, batch)
	}
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
			if n.claiming && w.item.refusal != nil {
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

// numbering is what a batch's transaction does, and what it has numbered so far.
type numbering struct {
	s        *Service
	ids      []string            // of the conversations, sorted
	drafts   map[string][]*draft // by conversation
	claiming bool                // locked is how the conversations are believed to stand
	lookUp   bool                // look in the database for each client id

	tx     *store.Tx
	found  map[string]store.LockedConversation // as they stood
	locked map[string]store.LockedConversation // as they will
	own    map[ownID]*draft
	rows   []db.InsertMessageParams
	marks  map[participantKey]ownMark // of members of groups
}

// ownID is a client id with whose it is.
type ownID struct{ conversation, sender, clientID string }

// ownMark is how far a member who sends has read, and whether it is known to take part.
type ownMark struct {
	seq   int64
	known bool
}

// begin locks the conversations of the batch in one order, unless it is going to claim them.
func (n *numbering) begin(ctx context.Context) (err error) {
	if n.claiming {
		n.found, n.locked = n.locked, maps.Clone(n.locked)
		return nil
	}
	if n.found, err = n.tx.LockConversations(ctx, n.ids); err != nil {
		return err
	}
	n.locked = maps.Clone(n.found)
	for _, id := range n.ids {
		if _, there := n.found[id]; there {
			continue
		}
		if err := n.make(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// make makes and locks a conversation that nobody has written to, but only when one of the drafts may be written: else
// whoever is refused would leave a row behind each time.
func (n *numbering) make(ctx context.Context, id string) error {
	allowed, err := n.anyMayWrite(ctx, n.drafts[id])
	if err != nil || !allowed {
		return err
	}
	last, err := lock(ctx, n.tx, id)
	if err != nil {
		return fmt.Errorf("lock conversation: %w", err)
	}
	n.locked[id] = store.LockedConversation{Last: last}
	return nil
}

// anyMayWrite refuses the drafts before the first that may be written, and reports whether there is one.
func (n *numbering) anyMayWrite(ctx context.Context, drafts []*draft) (bool, error) {
	for _, d := range drafts {
		err := n.s.mayWrite(ctx, n.tx.Queries, d.sender, d.target)
		if _, refused := errors.AsType[*fault.Fault](err); !refused {
			return err == nil, err
		}
		d.refusal = err
	}
	return false, nil
}

// number gives a draft its seq, or that of the message it repeats, or refuses it.
func (n *numbering) number(ctx context.Context, d *draft) error {
	if d.refusal != nil {
		return nil //nolint:nilerr // the draft is refused, the others of its batch are not
	}
	known, err := n.mayWrite(ctx, d)
	if _, refused := errors.AsType[*fault.Fault](err); refused {
		d.refusal = err
		return nil
	}
	if err != nil {
		return err
	}
	if found, err := n.repeats(ctx, d); found || err != nil {
		return err
	}
	c := n.locked[d.conversation]
	if d.replyTo > c.Last {
		d.refusal = fault.Invalid(fault.InvalidBody, "replyTo", "must be the seq of a message of the conversation")
		return nil
	}
	if err := n.introduce(ctx, d, c.Last); err != nil {
		return err
	}
	c.Last++
	if d.target.Group == 0 {
		*sentBy(&c, d.sender, d.target.User) = c.Last
	} else {
		n.marks[participantKey{d.conversation, d.sender}] = ownMark{seq: c.Last, known: known}
	}
	n.locked[d.conversation] = c
	n.add(d, c.Last)
	return nil
}

// sentBy is where a one-to-one conversation says which the account's newest message is.
func sentBy(c *store.LockedConversation, account, peer string) *int64 {
	if account < peer {
		return &c.FirstSent
	}
	return &c.SecondSent
}

// mayWrite refuses whoever has no right. It reports whether the sender is known to take part in the conversation: who
// was found to have the right has it for as long as the conversation's number stands.
func (n *numbering) mayWrite(ctx context.Context, d *draft) (known bool, err error) {
	k, c := participantKey{d.conversation, d.sender}, n.locked[d.conversation]
	if n.s.writers.has(k, c.Rights) {
		return true, nil
	}
	if err := n.s.mayWrite(ctx, n.tx.Queries, d.sender, d.target); err != nil {
		return false, err
	}
	if n.found[d.conversation].Last == 0 {
		return false, nil // who takes part in it, this transaction may have to undo
	}
	_, err = n.tx.JoinedSeq(ctx, d.sender, d.conversation)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		n.s.writers.add(k, c.Rights)
	}
	return err == nil, err
}

// add numbers a draft.
func (n *numbering) add(d *draft, seq int64) {
	d.message = Message{Seq: seq, Sender: d.sender, Body: d.body, SentAt: time.Now().UnixMilli()}
	n.rows = append(n.rows, db.InsertMessageParams{
		Conversation: d.conversation, Seq: seq, Sender: d.sender, ClientID: nullable(d.clientID), Body: d.body, SentAt: d.message.SentAt,
	})
	if d.clientID != "" {
		n.own[ownID{d.conversation, d.sender, d.clientID}] = d
	}
}

// repeats finds the message that a draft repeats, in its own batch or in the database, by its client id. The same id
// with another content is refused.
func (n *numbering) repeats(ctx context.Context, d *draft) (bool, error) {
	if d.clientID == "" {
		return false, nil
	}
	if first, ok := n.own[ownID{d.conversation, d.sender, d.clientID}]; ok {
		d.repeat(first.message)
		return true, nil
	}
	if !n.lookUp {
		return false, nil
	}
	row, err := n.tx.MessageByClientID(ctx, d.conversation, d.sender, nullable(d.clientID))
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

// introduce makes both sides of a one-to-one conversation with its first message.
func (n *numbering) introduce(ctx context.Context, d *draft, last int64) error {
	if last > 0 || d.target.Group != 0 {
		return nil
	}
	for _, side := range bothWays(d.sender, d.target.User) {
		if err := participate(ctx, n.tx, side[0], d.conversation, ToUser(side[1])); err != nil {
			return fmt.Errorf("begin conversation: %w", err)
		}
	}
	return nil
}

// insert stores what was numbered, and moves the own marks of members: whoever writes has read what came before.
func (n *numbering) insert(ctx context.Context) error {
	if len(n.rows) == 0 {
		return nil
	}
	if err := n.noteSeqs(ctx); err != nil {
		return err
	}
	marks, err := n.ownMarks(ctx)
	if err != nil {
		return err
	}
	return n.tx.StoreMessages(ctx, n.rows, marks)
}

// noteSeqs notes the conversations' newest messages, and so takes their locks if it claims them.
func (n *numbering) noteSeqs(ctx context.Context) error {
	var numbered []store.NumberedConversation
	for _, id := range n.ids {
		if n.locked[id] != n.found[id] {
			numbered = append(numbered, store.NumberedConversation{ID: id, Before: n.found[id], Now: n.locked[id]})
		}
	}
	if !n.claiming {
		return n.tx.SetLastSeqs(ctx, numbered)
	}
	claimed, err := n.tx.ClaimSeqs(ctx, numbered)
	if err == nil && !claimed {
		err = errNotAsBelieved
	}
	return err
}

// ownMarks are the marks of members known to take part. The others' it moves, if they do.
func (n *numbering) ownMarks(ctx context.Context) (marks []store.OwnMark, err error) {
	for _, k := range slices.SortedFunc(maps.Keys(n.marks), participantKey.compare) {
		m := n.marks[k]
		if m.known {
			marks = append(marks, store.OwnMark{Account: k.account, Conversation: k.conversation, Seq: m.seq})
			continue
		}
		_, err := n.tx.MoveMarks(ctx, db.MoveMarksParams{Received: m.seq, Seen: m.seq, Account: k.account, Conversation: k.conversation})
		if err != nil {
			return nil, fmt.Errorf("move the sender's marks: %w", err)
		}
	}
	return marks, nil
}
