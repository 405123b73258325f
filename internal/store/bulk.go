package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tim/gen/db"
)

// The statements of the message path that write many rows at once. sqlc can't generate an INSERT with a variable number of
// rows, so this file builds their texts. A statement for many rows costs a tenth of one statement for each row. Like the
// generated statements, they find every row by an index.

const (
	// SQLite allows 32,766 placeholders in a statement; 500 rows need 3,000 at most. Every MySQL server takes a statement of
	// 1 MiB; 256 KiB of bodies stay below it even if every byte must be escaped.
	maxRows  = 500
	maxBytes = 256 << 10
)

// bulk holds the parts of these statements that differ between the two engines.
//
// An upsert can compare a stored value only with a value of the row that it would have inserted. ClaimSeqs must compare the
// stored last_seq with the expected one and set it to the new one, and the row has one last_seq. It therefore passes the
// expected one in created_at. That value is never stored: the conversations exist, and no update touches created_at.
type bulk struct {
	forUpdate, orFail, newSeq, claimedSeq, newMarks string
	keepConversation, keepSide                      string // what ends an INSERT that leaves existing rows as they are

	rowsPerUpdate int64 // the number by which an upsert counts a row that it updates
}

func mysqlBulk() bulk {
	return bulk{
		forUpdate: " FOR UPDATE",
		newSeq: " ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq)," +
			" first_sent = VALUES(first_sent), second_sent = VALUES(second_sent)",
		// MySQL assigns from left to right, and each expression sees the assignments before it. last_seq, which all compare,
		// comes last.
		claimedSeq: " ON DUPLICATE KEY UPDATE" +
			" first_sent = IF(last_seq = VALUES(created_at) AND rights = VALUES(rights), VALUES(first_sent), first_sent)," +
			" second_sent = IF(last_seq = VALUES(created_at) AND rights = VALUES(rights), VALUES(second_sent), second_sent)," +
			" last_seq = IF(last_seq = VALUES(created_at) AND rights = VALUES(rights), VALUES(last_seq), last_seq)",
		newMarks: " ON DUPLICATE KEY UPDATE received_seq = GREATEST(received_seq, VALUES(received_seq))," +
			" read_seq = GREATEST(read_seq, VALUES(read_seq))",
		// By a column that no table is sharded by: Vitess refuses to write those.
		keepConversation: " ON DUPLICATE KEY UPDATE created_at = created_at",
		keepSide:         " ON DUPLICATE KEY UPDATE joined_seq = joined_seq",
		rowsPerUpdate:    2, // MySQL counts a row that already has the new values once
	}
}

// sqliteBulk has no FOR UPDATE: SQLite has one writer connection, which is the lock.
func sqliteBulk() bulk {
	return bulk{
		// OR FAIL lets a failed statement leave some of its rows; the transaction then rolls them back. Otherwise SQLite would
		// copy every page before it changes it.
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
		rowsPerUpdate:    1,
	}
}

// The following methods return the texts for n rows.

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

func (b bulk) addFileUses(n int) string {
	return nameComment + "AddFileUses :exec\nINSERT INTO file_use (file, conversation, seq, group_id) VALUES " + repeated("(?, ?, ?, ?)", n)
}

func repeated(row string, n int) string { return strings.Repeat(row+", ", n-1) + row }

// LockedConversation is the state of a conversation whose row the transaction has locked.
type LockedConversation struct {
	Last   int64 // the seq of the newest message; 0 before the first
	Rights int64 // grows when somebody loses the right to write to the conversation
	// In a one-to-one conversation: the seq of the newest message of the account that sorts first, and of the other account.
	FirstSent, SecondSent int64
}

// LockConversations locks the rows of conversations, in the order of their ids, until the transaction ends, and returns
// their states. A conversation without a row is missing from the result.
func (tx *Tx) LockConversations(ctx context.Context, ids []string) (map[string]LockedConversation, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	rows, err := tx.conn.QueryContext(ctx, tx.bulk.lockConversations(len(ids)), args...)
	if err != nil {
		return nil, fmt.Errorf("lock %d conversations: %w", len(ids), err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
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

// EnsureConversations creates the rows of those conversations, 500 at most, that have none. createdAt is in ms since 1970.
func (tx *Tx) EnsureConversations(ctx context.Context, ids []string, createdAt int64) error {
	args := make([]any, 0, 2*len(ids)) //nolint:mnd // the number of placeholders in a row
	for _, id := range ids {
		args = append(args, id, createdAt)
	}
	_, err := tx.upsert(ctx, tx.bulk.ensureConversations, len(ids), args)
	return err
}

// DirectSide is one account's side of a one-to-one conversation.
type DirectSide struct{ Account, Conversation, Peer string }

// AddDirectSides creates the participants' rows of those sides that have none.
func (tx *Tx) AddDirectSides(ctx context.Context, sides []DirectSide) error {
	for page := range slices.Chunk(sides, maxRows) {
		args := make([]any, 0, 3*len(page)) //nolint:mnd // the number of placeholders in a row
		for _, s := range page {
			args = append(args, s.Account, s.Conversation, s.Peer)
		}
		if _, err := tx.upsert(ctx, tx.bulk.addDirectSides, len(page), args); err != nil {
			return err
		}
	}
	return nil
}

// FileUse is a message that names a file.
type FileUse struct {
	File, Conversation string
	Seq                int64
	Group              int32 // 0 for a one-to-one conversation
}

// NoteFileUses writes down which messages of this transaction name files, and so keeps the files. candidates may be ids of files
// or not. It costs one statement where none is, three otherwise, for every 500 candidates.
func (tx *Tx) NoteFileUses(ctx context.Context, candidates []FileUse, now int64) error {
	for page := range slices.Chunk(candidates, maxRows) {
		ids := make([]string, len(page))
		for i, use := range page {
			ids[i] = use.File
		}
		slices.Sort(ids)
		known, err := tx.KnownFiles(ctx, slices.Compact(ids))
		if err != nil || len(known) == 0 {
			if err != nil {
				return fmt.Errorf("look for files: %w", err)
			}
			continue
		}
		slices.Sort(known)
		for some := range slices.Chunk(known, tx.perStatement(len(known))) {
			if err := tx.TouchFiles(ctx, sql.NullInt64{Int64: now, Valid: true}, some); err != nil {
				return err
			}
		}
		args := make([]any, 0, 4*len(page)) //nolint:mnd // the number of placeholders in a row
		n := 0
		for _, use := range page {
			if _, found := slices.BinarySearch(known, use.File); found {
				n++
				args = append(args, use.File, use.Conversation, use.Seq, sql.NullInt32{Int32: use.Group, Valid: use.Group != 0})
			}
		}
		if _, err := tx.upsert(ctx, tx.bulk.addFileUses, n, args); err != nil {
			return err
		}
	}
	return nil
}

// storeAndCommit moves marks, which only ever grow, and inserts messages. It marks the last INSERT as the one to commit with;
// no statement may follow it. The caller must commit nonetheless: a batch may be empty, or the database may not allow it.
func (tx *Tx) storeAndCommit(ctx context.Context, b MessageBatch) error {
	if !tx.spread { // there DB.moveMarks does it
		if err := tx.moveOwnMarks(ctx, b.Marks); err != nil {
			return err
		}
	}
	for rows := b.Rows; len(rows) > 0; {
		n := fitting(rows)
		args := make([]any, 0, n*6) //nolint:mnd // the number of placeholders in a row
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

// fitting returns how many of the rows, at least one, fit into one statement.
func fitting(rows []db.InsertMessageParams) int {
	size := 0
	for i, r := range rows {
		size += len(r.Body) + len(r.Conversation) + len(r.Sender) + len(r.ClientID.String)
		if i > 0 && (size > maxBytes || i == maxRows) {
			return i
		}
	}
	return len(rows)
}

// NumberedConversation is a conversation to which a transaction adds messages: its state before and after.
type NumberedConversation struct {
	ID          string
	Before, Now LockedConversation
}

// SetLastSeqs writes the new states of at most 500 conversations. The transaction must hold their locks.
func (tx *Tx) SetLastSeqs(ctx context.Context, numbered []NumberedConversation) error {
	args := make([]any, 0, 4*len(numbered)) //nolint:mnd // the number of placeholders in a row
	for _, c := range numbered {
		args = append(args, c.ID, c.Now.Last, c.Now.FirstSent, c.Now.SecondSent)
	}
	_, err := tx.upsert(ctx, tx.bulk.setLastSeqs, len(numbered), args)
	return err
}

// ClaimSeqs locks at most 500 conversations and writes their new states, in one statement, provided that each has the state
// Before. Otherwise it returns false, and the caller must roll the transaction back: some of the rows may be changed. The
// conversations must exist.
func (tx *Tx) ClaimSeqs(ctx context.Context, numbered []NumberedConversation) (bool, error) {
	args := make([]any, 0, 6*len(numbered)) //nolint:mnd // the number of placeholders in a row
	for _, c := range numbered {
		expected := c.Before.Last // in the column created_at, see bulk
		args = append(args, c.ID, c.Now.Last, expected, c.Before.Rights, c.Now.FirstSent, c.Now.SecondSent)
	}
	rows, err := tx.upsert(ctx, tx.bulk.claimSeqs, len(numbered), args)
	return rows == tx.bulk.rowsPerUpdate*int64(len(numbered)), err
}

// OwnMark says that an account has sent the message Seq, and so has received and read everything up to it.
type OwnMark struct {
	Account, Conversation string
	Seq                   int64
}

func (tx *Tx) moveOwnMarks(ctx context.Context, marks []OwnMark) error {
	args := make([]any, 0, 4*len(marks)) //nolint:mnd // the number of placeholders in a row
	for _, m := range marks {
		args = append(args, m.Account, m.Conversation, m.Seq, m.Seq)
	}
	_, err := tx.upsert(ctx, tx.bulk.moveOwnMarks, len(marks), args)
	return err
}

// perStatement is how many rows a statement locks that must lock them in order: as many as it may, or one where several servers would
// lock them at the same time. Two transactions that hold what the other waits for on different servers are ended by a time limit alone.
func (tx *Tx) perStatement(most int) int {
	if tx.spread {
		return 1
	}
	return most
}

// upsert runs an INSERT whose rows may exist, and returns the number of rows as the database counts them. Where the rows are
// known to exist it serves as an UPDATE with different values for each row.
func (tx *Tx) upsert(ctx context.Context, text func(n int) string, n int, args []any) (int64, error) {
	switch {
	case n == 0:
		return 0, nil
	case n > maxRows:
		return 0, errors.New("too many rows for one statement")
	}
	result, err := tx.conn.ExecContext(ctx, text(n), args...)
	if err != nil {
		return 0, fmt.Errorf("write %d rows: %w", n, err)
	}
	return result.RowsAffected()
}
