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

// numbering is what a batch's transaction does, and what it has numbered so far.
type numbering struct {
	s        *Service
	ids      []string                            // of the conversations, sorted
	drafts   map[string][]*draft                 // by conversation
	believed map[string]store.LockedConversation // how some of them are believed to stand: those are claimed, the others locked
	lookUp   bool                                // look in the database for each client id

	tx      *store.Tx
	found   map[string]store.LockedConversation // as they stood
	locked  map[string]store.LockedConversation // as they will
	friends map[store.AccountPair]bool          // found to be
	own     map[ownID]*draft
	rows    []db.InsertMessageParams
	sides   []store.DirectSide         // of new one-to-one conversations
	marks   map[participantKey]ownMark // of members of groups
}

// ownID is a client id with whose it is.
type ownID struct{ conversation, sender, clientID string }

// ownMark is how far a member who sends has read, and whether it is known to take part.
type ownMark struct {
	seq   int64
	known bool
}

// begin locks the conversations of the batch in one order, but for those it is going to claim, and finds out which senders
// have the right to write.
func (n *numbering) begin(ctx context.Context) (err error) {
	n.found = maps.Clone(n.believed)
	if n.found == nil {
		n.found = make(map[string]store.LockedConversation, len(n.ids))
	}
	if err := n.lock(ctx, n.unknown()); err != nil {
		return err
	}
	if err := n.make(ctx, n.unknown()); err != nil {
		return err
	}
	n.locked = maps.Clone(n.found)
	return n.findFriends(ctx, n.ids)
}

// unknown are the conversations of which it isn't known yet how they stand.
func (n *numbering) unknown() (ids []string) {
	for _, id := range n.ids {
		if _, known := n.found[id]; !known {
			ids = append(ids, id)
		}
	}
	return ids
}

func (n *numbering) lock(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	locked, err := n.tx.LockConversations(ctx, ids)
	maps.Copy(n.found, locked)
	return err
}

// make makes and locks conversations that nobody has written to, but only those of which one of the drafts may be written:
// else whoever is refused would leave a row behind each time.
func (n *numbering) make(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := n.findFriends(ctx, ids); err != nil {
		return err
	}
	var wanted []string
	for _, id := range ids {
		allowed, err := n.anyMayWrite(ctx, n.drafts[id])
		if err != nil {
			return err
		}
		if allowed {
			wanted = append(wanted, id)
		}
	}
	if err := n.tx.EnsureConversations(ctx, wanted, time.Now().UnixMilli()); err != nil {
		return err
	}
	return n.lock(ctx, wanted)
}

// anyMayWrite refuses the drafts before the first that may be written, and reports whether there is one.
func (n *numbering) anyMayWrite(ctx context.Context, drafts []*draft) (bool, error) {
	for _, d := range drafts {
		err := n.ask(ctx, d)
		if _, refused := errors.AsType[*fault.Fault](err); !refused {
			return err == nil, err
		}
		d.refusal = err
	}
	return false, nil
}

// findFriends finds out, with one question, which of those who write one to one are friends, unless it is remembered.
func (n *numbering) findFriends(ctx context.Context, ids []string) (err error) {
	if n.s.AllowStrangers {
		return nil
	}
	var pairs []store.AccountPair
	for _, id := range ids {
		for _, d := range n.drafts[id] {
			if d.target.Group == 0 && !n.s.writers.has(participantKey{id, d.sender}, n.found[id].Rights) {
				pairs = append(pairs, store.AccountPair{Account: d.sender, Other: d.target.User})
			}
		}
	}
	n.friends, err = n.tx.FriendsAmong(ctx, pairs)
	return err
}

// ask asks whether a draft may be written, if that hasn't been found out with the others.
func (n *numbering) ask(ctx context.Context, d *draft) error {
	if n.friends[store.AccountPair{Account: d.sender, Other: d.target.User}] {
		return nil
	}
	return n.s.mayWrite(ctx, n.tx.Queries, d.sender, d.target)
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
	if c.Last == 0 && d.target.Group == 0 {
		for _, side := range bothWays(d.sender, d.target.User) {
			n.sides = append(n.sides, store.DirectSide{Account: side[0], Peer: side[1], Conversation: d.conversation})
		}
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

// mayWrite refuses whoever has no right. It reports whether a member is known to have marks: who was found to have the right
// has it, and them, for as long as the conversation's number stands.
func (n *numbering) mayWrite(ctx context.Context, d *draft) (known bool, err error) {
	k, c := participantKey{d.conversation, d.sender}, n.locked[d.conversation]
	if n.s.writers.has(k, c.Rights) {
		return true, nil
	}
	if err := n.ask(ctx, d); err != nil {
		return false, err
	}
	if n.found[d.conversation].Last == 0 {
		return false, nil // this transaction may have to undo what it has made of it
	}
	if d.target.Group != 0 {
		_, err = n.tx.JoinedSeq(ctx, d.sender, d.conversation)
	}
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

// insert stores what was numbered, and moves the own marks of members: whoever writes has read what came before.
func (n *numbering) insert(ctx context.Context) error {
	if len(n.rows) == 0 {
		return nil
	}
	if err := n.noteSeqs(ctx); err != nil {
		return err
	}
	if err := n.tx.AddDirectSides(ctx, n.sides); err != nil {
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
	if len(n.believed) == 0 {
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
