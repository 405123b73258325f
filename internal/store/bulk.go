package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tim/gen/db"
)

// What the message path does for many rows at once. The generated code can't repeat rows, so these texts are put together
// here; like the others they find every row by an index. A statement for many rows costs a tenth of many statements.

const (
	// One statement stays far below the 32,766 placeholders of SQLite, and below 1 MiB, which every MySQL takes,
	// when every byte of the bodies must be escaped.
	mostRows  = 500
	mostBytes = 256 << 10
)

// bulk is what these statements say differently on the two engines.
type bulk struct {
	forUpdate, orFail, newSeq, claimedSeq, newMarks string
	keepConversation, keepSide                      string // for rows that may be there

	perUpdate int64 // how often such a statement counts a row that it changes
}

func mysqlBulk() bulk {
	return bulk{
		forUpdate: " FOR UPDATE",
		newSeq: " ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq)," +
			" first_sent = VALUES(first_sent), second_sent = VALUES(second_sent)",
		// From left to right, and each sees the ones before: last_seq comes last.
		claimedSeq: " ON DUPLICATE KEY UPDATE" +
			" first_sent = IF(last_seq = VALUES(created_at) AND rights = VALUES(rights), VALUES(first_sent), first_sent)," +
			" second_sent = IF(last_seq = VALUES(created_at) AND rights = VALUES(rights), VALUES(second_sent), second_sent)," +
			" last_seq = IF(last_seq = VALUES(created_at) AND rights = VALUES(rights), VALUES(last_seq), last_seq)",
		newMarks: " ON DUPLICATE KEY UPDATE received_seq = GREATEST(received_seq, VALUES(received_seq))," +
			" read_seq = GREATEST(read_seq, VALUES(read_seq))",
		keepConversation: " ON DUPLICATE KEY UPDATE id = id",
		keepSide:         " ON DUPLICATE KEY UPDATE account = account",
		perUpdate:        2, // and one that it finds as it shall be once
	}
}

func sqliteBulk() bulk { // whose one writer connection is the lock
	return bulk{
		// A statement that fails may leave some of its rows: else SQLite would copy every page before it touches it.
		orFail: " OR FAIL",
		newSeq: " ON CONFLICT (id) DO UPDATE SET last_seq = excluded.last_seq," +
			" first_sent = excluded.first_sent, second_sent = excluded.second_sent",
		claimedSeq: " ON CONFLICT (id) DO UPDATE SET last_seq = excluded.last_seq," +
			" first_sent = excluded.first_sent, second_sent = excluded.second_sent" +
			" WHERE last_seq = excluded.created_at AND rights = excluded.rights",
		newMarks: " ON CONFLICT (account, conversation) DO UPDATE SET received_seq = MAX(received_seq, excluded.received_seq)," +
			" read_seq = MAX(read_seq, excluded.read_seq)",
		keepConversation: " ON CONFLICT DO NOTHING",
		keepSide:         " ON CONFLICT DO NOTHING",
		perUpdate:        1,
	}
}

// The texts, for n rows.
func (b bulk) lockConversations(n int) string {
	return nameComment + "LockConversations :many\nSELECT id, last_seq, rights, first_sent, second_sent FROM conversation WHERE id IN (" +
		repeated("?", n) + ") ORDER BY id" + b.forUpdate
}

func (b bulk) insertMessages(n int) string {
	return nameComment + "InsertMessages :exec\nINSERT" + b.orFail + " INTO message (conversation, seq, sender, client_id, body, sent_at) VALUES " +
		repeated("(?, ?, ?, ?, ?, ?)", n)
}

func (b bulk) setLastSeqs(n int) string {
	return nameComment + "SetLastSeqs :exec\nINSERT INTO conversation (id, last_seq, created_at, first_sent, second_sent) VALUES " +
		repeated("(?, ?, 0, ?, ?)", n) + b.newSeq
}

func (b bulk) claimSeqs(n int) string {
	return nameComment + "ClaimSeqs :execrows\nINSERT INTO conversation (id, last_seq, created_at, rights, first_sent, second_sent) VALUES " +
		repeated("(?, ?, ?, ?, ?, ?)", n) + b.claimedSeq
}

func (b bulk) ensureConversations(n int) string {
	return nameComment + "EnsureConversations :exec\nINSERT INTO conversation (id, last_seq, created_at) VALUES " +
		repeated("(?, 0, ?)", n) + b.keepConversation
}

func (b bulk) addDirectSides(n int) string {
	return nameComment + "AddDirectSides :exec\n" +
		"INSERT INTO participant (account, conversation, peer, joined_seq, delivered_seq, received_seq, read_seq) VALUES " +
		repeated("(?, ?, ?, 0, 0, 0, 0)", n) + b.keepSide
}

func (b bulk) moveOwnMarks(n int) string {
	return nameComment + "MoveOwnMarks :exec\n" +
		"INSERT INTO participant (account, conversation, joined_seq, delivered_seq, received_seq, read_seq) VALUES " +
		repeated("(?, ?, 0, 0, ?, ?)", n) + b.newMarks
}

func repeated(row string, n int) string { return strings.Repeat(row+", ", n-1) + row }

// LockedConversation is how a conversation stands whose lock is held.
type LockedConversation struct {
	Last   int64 // its newest seq
	Rights int64 // grows when somebody loses the right to write to it
	// One to one, the newest messages of the account that sorts first, and of the other.
	FirstSent, SecondSent int64
}

// LockConversations takes the locks of those of the conversations that there are, in the order of their ids, until the
// transaction ends.
func (tx *Tx) LockConversations(ctx context.Context, ids []string) (map[string]LockedConversation, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	rows, err := tx.conn.QueryContext(ctx, tx.bulk.lockConversations(len(ids)), args...)
	if err != nil {
		return nil, fmt.Errorf("lock %d conversations: %w", len(ids), err)
	}
	defer rows.Close() //nolint:errcheck // a query that is read needs no more than its Err
	locked := make(map[string]LockedConversation, len(ids))
	for rows.Next() {
		var id string
		var c LockedConversation
		if err := rows.Scan(&id, &c.Last, &c.Rights, &c.FirstSent, &c.SecondSent); err != nil {
			return nil, fmt.Errorf("lock %d conversations: %w", len(ids), err)
		}
		locked[id] = c
	}
	tx.conn.note(rows.Err())
	return locked, rows.Err()
}

// EnsureConversations makes those of at most 500 conversations that aren't there.
func (tx *Tx) EnsureConversations(ctx context.Context, ids []string, createdAt int64) error {
	args := make([]any, 0, 2*len(ids)) //nolint:mnd // as many as a row has placeholders
	for _, id := range ids {
		args = append(args, id, createdAt)
	}
	_, err := tx.upsert(ctx, tx.bulk.ensureConversations, len(ids), args)
	return err
}

// DirectSide is one account's side of a one-to-one conversation.
type DirectSide struct{ Account, Conversation, Peer string }

// AddDirectSides makes those of the sides that aren't there.
func (tx *Tx) AddDirectSides(ctx context.Context, sides []DirectSide) error {
	for page := range slices.Chunk(sides, mostRows) {
		args := make([]any, 0, 3*len(page)) //nolint:mnd // as many as a row has placeholders
		for _, s := range page {
			args = append(args, s.Account, s.Conversation, s.Peer)
		}
		if _, err := tx.upsert(ctx, tx.bulk.addDirectSides, len(page), args); err != nil {
			return err
		}
	}
	return nil
}

// StoreMessages stores messages and moves the marks, which only ever grow, of at most 500 participants, who must exist. It is
// the last that a transaction does: where that saves a round trip, the database commits at once. A duplicate
// (IsDuplicate) makes it fail; the transaction must then be given up, as some of the rows may be in it.
func (tx *Tx) StoreMessages(ctx context.Context, rows []db.InsertMessageParams, marks []OwnMark) error {
	if err := tx.moveOwnMarks(ctx, marks); err != nil {
		return err
	}
	for len(rows) > 0 {
		n := batch(rows)
		args := make([]any, 0, n*6) //nolint:mnd // as many as a row has columns
		for _, r := range rows[:n] {
			args = append(args, r.Conversation, r.Seq, r.Sender, r.ClientID, r.Body, r.SentAt)
		}
		statement := ctx
		if n == len(rows) {
			statement = andCommit(ctx)
		}
		if _, err := tx.conn.ExecContext(statement, tx.bulk.insertMessages(n), args...); err != nil {
			return fmt.Errorf("insert %d messages: %w", n, err)
		}
		rows = rows[n:]
	}
	return nil
}

// batch tells how many of the rows, at least one, fit into one statement.
func batch(rows []db.InsertMessageParams) int {
	size := 0
	for i, r := range rows {
		size += len(r.Body) + len(r.Conversation) + len(r.Sender) + len(r.ClientID.String)
		if i > 0 && (size > mostBytes || i == mostRows) {
			return i
		}
	}
	return len(rows)
}

// NumberedConversation is a conversation to which messages are added: how it stood, and how it will.
type NumberedConversation struct {
	ID          string
	Before, Now LockedConversation
}

// SetLastSeqs notes the newest messages of at most 500 conversations, whose locks the transaction holds.
func (tx *Tx) SetLastSeqs(ctx context.Context, numbered []NumberedConversation) error {
	args := make([]any, 0, 4*len(numbered)) //nolint:mnd // as many as a row has placeholders
	for _, c := range numbered {
		args = append(args, c.ID, c.Now.Last, c.Now.FirstSent, c.Now.SecondSent)
	}
	_, err := tx.upsert(ctx, tx.bulk.setLastSeqs, len(numbered), args)
	return err
}

// ClaimSeqs takes the locks of at most 500 conversations and notes their newest messages, in one statement, if each stands
// as it is believed to. Else it returns false, and the transaction must be given up.
func (tx *Tx) ClaimSeqs(ctx context.Context, numbered []NumberedConversation) (bool, error) {
	args := make([]any, 0, 6*len(numbered)) //nolint:mnd // as many as a row has placeholders
	for _, c := range numbered {
		args = append(args, c.ID, c.Now.Last, c.Before.Last, c.Before.Rights, c.Now.FirstSent, c.Now.SecondSent)
	}
	rows, err := tx.upsert(ctx, tx.bulk.claimSeqs, len(numbered), args)
	return rows == tx.bulk.perUpdate*int64(len(numbered)), err
}

// OwnMark is an account that has read a conversation up to a seq: its own message.
type OwnMark struct {
	Account, Conversation string
	Seq                   int64
}

func (tx *Tx) moveOwnMarks(ctx context.Context, marks []OwnMark) error {
	args := make([]any, 0, 4*len(marks)) //nolint:mnd // as many as a row has placeholders
	for _, m := range marks {
		args = append(args, m.Account, m.Conversation, m.Seq, m.Seq)
	}
	_, err := tx.upsert(ctx, tx.bulk.moveOwnMarks, len(marks), args)
	return err
}

// upsert runs an INSERT whose rows may exist; where they must, it is an UPDATE that takes a value for each.
func (tx *Tx) upsert(ctx context.Context, text func(n int) string, n int, args []any) (int64, error) {
	switch {
	case n == 0:
		return 0, nil
	case n > mostRows:
		return 0, errors.New("too many rows for one statement")
	}
	result, err := tx.conn.ExecContext(ctx, text(n), args...)
	if err != nil {
		return 0, fmt.Errorf("write %d rows: %w", n, err)
	}
	return result.RowsAffected()
}
