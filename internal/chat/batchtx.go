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

// batchTx is one transaction that stores a batch of drafts: what it has to do, and its state so far. One goroutine uses it.
type batchTx struct {
	s      *Service
	ids    []string            // of the conversations, sorted
	drafts map[string][]*draft // by conversation
	// expected holds the states that this node remembers of some of the conversations. These aren't locked first. Their seqs
	// are claimed, which fails if another node has changed the state.
	expected map[string]store.LockedConversation
	lookUp   bool // look in the database for each client id

	tx      *store.Tx
	before  map[string]store.LockedConversation // the states that the transaction found
	after   map[string]store.LockedConversation // the states that it leaves
	friends map[store.AccountPair]bool          // who was found to be friends
	own     map[ownID]*draft                    // the drafts of this batch by their client ids
	rows    []db.InsertMessageParams
	sides   []store.DirectSide         // of new one-to-one conversations
	marks   map[participantKey]ownMark // of members of groups
	uses    []store.FileUse            // of what may be files
}

// ownID is a client id together with its scope.
type ownID struct{ conversation, sender, clientID string }

// ownMark is the seq of a member's newest message, which is its new mark, and whether its participant's row is known to exist.
type ownMark struct {
	seq   int64
	known bool
}

// begin locks the conversations of the batch in the order of their ids, except those whose state is expected. It then finds out
// which senders are friends of those they write to.
func (b *batchTx) begin(ctx context.Context) (err error) {
	b.before = maps.Clone(b.expected)
	if b.before == nil {
		b.before = make(map[string]store.LockedConversation, len(b.ids))
	}
	if err := b.lock(ctx, b.unknown()); err != nil {
		return err
	}
	if err := b.create(ctx, b.unknown()); err != nil {
		return err
	}
	b.after = maps.Clone(b.before)
	return b.findFriends(ctx, b.ids)
}

// unknown lists the conversations whose state isn't known yet.
func (b *batchTx) unknown() (ids []string) {
	for _, id := range b.ids {
		if _, known := b.before[id]; !known {
			ids = append(ids, id)
		}
	}
	return ids
}

func (b *batchTx) lock(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	locked, err := b.tx.LockConversations(ctx, ids)
	maps.Copy(b.before, locked)
	return err
}

// create creates and locks conversations that have no row yet. It skips a conversation none of whose drafts may be written:
// otherwise every refused sender could add a row.
func (b *batchTx) create(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := b.findFriends(ctx, ids); err != nil {
		return err
	}
	var wanted []string
	for _, id := range ids {
		allowed, err := b.anyMayWrite(ctx, b.drafts[id])
		if err != nil {
			return err
		}
		if allowed {
			wanted = append(wanted, id)
		}
	}
	if err := b.tx.EnsureConversations(ctx, wanted, time.Now().UnixMilli()); err != nil {
		return err
	}
	return b.lock(ctx, wanted)
}

// anyMayWrite reports whether one of the drafts may be written. It refuses those before the first that may.
func (b *batchTx) anyMayWrite(ctx context.Context, drafts []*draft) (bool, error) {
	for _, d := range drafts {
		err := b.checkRight(ctx, d)
		if _, refused := errors.AsType[*fault.Fault](err); !refused {
			return err == nil, err
		}
		d.refusal = err
	}
	return false, nil
}

// findFriends asks, with one statement for 200 pairs, which senders of one-to-one messages are friends of their readers. It
// doesn't ask about those whose right is in the cache.
func (b *batchTx) findFriends(ctx context.Context, ids []string) (err error) {
	if b.s.AllowStrangers {
		return nil
	}
	var pairs []store.AccountPair
	for _, id := range ids {
		for _, d := range b.drafts[id] {
			if d.target.Group == 0 && !b.s.rights.has(participantKey{id, d.sender}, b.before[id].Rights) {
				pairs = append(pairs, store.AccountPair{Account: d.sender, Other: d.target.User})
			}
		}
	}
	b.friends, err = b.tx.FriendsAmong(ctx, pairs)
	return err
}

// checkRight refuses a draft whose sender may not write. It asks the database unless findFriends has found the friendship.
func (b *batchTx) checkRight(ctx context.Context, d *draft) error {
	if b.friends[store.AccountPair{Account: d.sender, Other: d.target.User}] {
		return nil
	}
	return b.s.mayWrite(ctx, b.tx.Queries, d.sender, d.target)
}

// number gives a draft the next seq of its conversation, or finds the message that it repeats, or refuses it (d.refusal). An
// error is one of the transaction.
func (b *batchTx) number(ctx context.Context, d *draft) error {
	if d.refusal != nil {
		return nil //nolint:nilerr // the draft is refused, the others of its batch are not
	}
	known, err := b.mayWrite(ctx, d)
	if _, refused := errors.AsType[*fault.Fault](err); refused {
		return b.refuse(ctx, d, err)
	}
	if err != nil {
		return err
	}
	if found, err := b.repeats(ctx, d, b.lookUp); found || err != nil {
		return err
	}
	c := b.after[d.conversation]
	if d.replyTo > c.Last {
		d.refusal = fault.Invalid(fault.InvalidBody, "replyTo", "must be the seq of a message of the conversation")
		return nil
	}
	if c.Last == 0 && d.target.Group == 0 {
		for _, side := range bothWays(d.sender, d.target.User) {
			b.sides = append(b.sides, store.DirectSide{Account: side[0], Peer: side[1], Conversation: d.conversation})
		}
	}
	c.Last++
	if d.target.Group == 0 {
		*sentBy(&c, d.sender, d.target.User) = c.Last
	} else {
		b.marks[participantKey{d.conversation, d.sender}] = ownMark{seq: c.Last, known: known}
	}
	b.after[d.conversation] = c
	b.add(d, c.Last)
	return nil
}

// refuse refuses a draft whose sender has no right to write, unless it repeats a message that was stored while the sender had
// the right: a client that has missed the answer must still get it.
func (b *batchTx) refuse(ctx context.Context, d *draft, refusal error) error {
	if found, err := b.repeats(ctx, d, true); found || err != nil {
		return err
	}
	d.refusal = refusal
	return nil
}

// sentBy points to the seq of the account's newest message in a one-to-one conversation.
func sentBy(c *store.LockedConversation, account, peer string) *int64 {
	if account < peer {
		return &c.FirstSent
	}
	return &c.SecondSent
}

// mayWrite refuses a sender without the right to write. It reports whether the sender's participant row is known to exist. A
// right and a row, once found, hold as long as the conversation's rights counter has the same value.
func (b *batchTx) mayWrite(ctx context.Context, d *draft) (known bool, err error) {
	k, c := participantKey{d.conversation, d.sender}, b.after[d.conversation]
	if b.s.rights.has(k, c.Rights) {
		return true, nil
	}
	if err := b.checkRight(ctx, d); err != nil {
		return false, err
	}
	if b.before[d.conversation].Last == 0 {
		return false, nil // this transaction may create the rows, and be rolled back
	}
	if d.target.Group != 0 {
		_, err = b.tx.JoinedSeq(ctx, d.sender, d.conversation)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		b.s.rights.add(k, c.Rights)
	}
	return err == nil, err
}

// add makes a draft a message with a seq.
func (b *batchTx) add(d *draft, seq int64) {
	d.message = Message{Seq: seq, Sender: d.sender, ClientID: d.clientID, Body: d.body, SentAt: time.Now().UnixMilli()}
	b.rows = append(b.rows, db.InsertMessageParams{
		Conversation: d.conversation, Seq: seq, Sender: d.sender, ClientID: nullable(d.clientID), Body: d.body, SentAt: d.message.SentAt,
	})
	if d.clientID != "" {
		b.own[ownID{d.conversation, d.sender, d.clientID}] = d
	}
	b.addUses(d, seq)
}

// repeats looks for a message with a draft's client id, in its own batch and, if lookUp is true, in the database. If there is
// one, the draft becomes that message, or is refused if its content differs.
func (b *batchTx) repeats(ctx context.Context, d *draft, lookUp bool) (bool, error) {
	if d.clientID == "" {
		return false, nil
	}
	if first, ok := b.own[ownID{d.conversation, d.sender, d.clientID}]; ok {
		d.repeat(first.message)
		return true, nil
	}
	if !lookUp {
		return false, nil
	}
	row, err := b.tx.MessageByClientID(ctx, d.conversation, d.sender, nullable(d.clientID))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the client id: %w", err)
	}
	d.repeat(Message{Seq: row.Seq, Sender: d.sender, ClientID: d.clientID, Body: row.Body, SentAt: row.SentAt})
	return true, nil
}

func (d *draft) repeat(stored Message) {
	d.message, d.again = stored, true
	// A version before this one stored names of files as they came.
	if stored.Body != d.body && stored.Content().normal().encode() != d.body {
		d.refusal = fault.New(fault.ClientIDReused)
	}
}

// finish writes the conversations' new states and the sides of new conversations, and returns what is to be stored last: the
// messages, and the own marks of members, because whoever writes has read what came before.
func (b *batchTx) finish(ctx context.Context) (store.MessageBatch, error) {
	if len(b.rows) == 0 {
		return store.MessageBatch{}, nil
	}
	if err := b.writeSeqs(ctx); err != nil {
		return store.MessageBatch{}, err
	}
	if err := b.tx.AddDirectSides(ctx, b.sides); err != nil {
		return store.MessageBatch{}, err
	}
	if err := b.noteFiles(ctx); err != nil {
		return store.MessageBatch{}, err
	}
	marks, err := b.ownMarks(ctx)
	return store.MessageBatch{Rows: b.rows, Marks: marks}, err
}

// writeSeqs writes the new states of those conversations that have new messages. If the states were expected, it claims
// them, which also takes the locks, or returns errNotAsExpected.
func (b *batchTx) writeSeqs(ctx context.Context) error {
	var numbered []store.NumberedConversation
	for _, id := range b.ids {
		if b.after[id] != b.before[id] {
			numbered = append(numbered, store.NumberedConversation{ID: id, Before: b.before[id], Now: b.after[id]})
		}
	}
	if len(b.expected) == 0 {
		return b.tx.SetLastSeqs(ctx, numbered)
	}
	claimed, err := b.tx.ClaimSeqs(ctx, numbered)
	if err == nil && !claimed {
		err = errNotAsExpected
	}
	return err
}

// ownMarks returns the marks of those members whose participant rows are known to exist. It moves the others at once, by
// statements that change nothing where there is no row.
func (b *batchTx) ownMarks(ctx context.Context) (marks []store.OwnMark, err error) {
	for _, k := range slices.SortedFunc(maps.Keys(b.marks), participantKey.compare) {
		m := b.marks[k]
		if m.known || b.s.DB.Spread() { // where it moves by a statement that changes nothing if there is no row
			marks = append(marks, store.OwnMark{Account: k.account, Conversation: k.conversation, Seq: m.seq})
			continue
		}
		_, err := b.tx.MoveMarks(ctx, db.MoveMarksParams{Received: m.seq, Seen: m.seq, Account: k.account, Conversation: k.conversation})
		if err != nil {
			return nil, fmt.Errorf("move the sender's marks: %w", err)
		}
	}
	return marks, nil
}
