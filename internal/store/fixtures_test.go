package store

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func filesOf(content string) fs.FS {
	return fstest.MapFS{"q/a.sql": {Data: []byte(content)}}
}

// lockedSeq locks a conversation and returns its last seq.
func lockedSeq(ctx context.Context, tx *Tx, conversation string) (int64, error) {
	if _, err := tx.LockConversation(ctx, conversation); err != nil {
		return 0, err
	}
	return tx.LastSeq(ctx, conversation)
}

// fill gives every table so many rows that no engine prefers to scan it.
func fill(t *testing.T, d *DB) {
	t.Helper()
	const rows = 2000
	for _, table := range []struct {
		into string
		row  func(i int) string
	}{
		{"`user` (account, username, password, look, look_cased)", func(i int) string {
			if i%2 == 0 { // of before looks were
				return fmt.Sprintf("'%d', '%d', 'x', NULL, NULL", i, i/3)
			}
			return fmt.Sprintf("'%d', '%d', 'x', '%d', '%d'", i, i/3, i, i)
		}},
		{"friends (`user`, friend)", func(i int) string { return fmt.Sprintf("'%d', '%d'", i/5, i%5) }},
		{"`group` (GroupName)", func(i int) string { return fmt.Sprintf("'%d'", i) }},
		{"userofgroup (GroupID, account)", func(i int) string { return fmt.Sprintf("%d, '%d'", i/5, i%5*400+i/5) }},
		{"group_ban (GroupID, account, actor, `at`, `until`)", func(i int) string { return fmt.Sprintf("%d, '%d', '1', 1, 0", i/5, i%5) }},
		{"`session` (account, id, device, created_at, used_at, expires_at)", func(i int) string {
			return fmt.Sprintf("'%d', '%d', 'x', 1, 1, %d", i/5, i%5, i)
		}},
		{"conversation (id, last_seq, created_at)", func(i int) string { return fmt.Sprintf("'%d', 5, 1", i) }},
		{"message (conversation, seq, sender, client_id, body, sent_at)", func(i int) string {
			return fmt.Sprintf("'%d', %d, '1', '%d', 'x', 1", i/10, i%10, i%10)
		}},
		{
			"participant (account, conversation, joined_seq, delivered_seq, received_seq, read_seq)",
			func(i int) string { return fmt.Sprintf("'%d', '%d', 0, 0, 0, 0", i/5, i%5) },
		},
		{"place (account, id, used_at)", func(i int) string { return fmt.Sprintf("'%d', '%d', 1", i/5, i%5) }},
		{"invite (code, uses, made_at, expires_at)", func(i int) string { return fmt.Sprintf("'%d', 1, 1, 1", i) }},
		{"deployment (id, identity, joins)", func(i int) string { return fmt.Sprintf("%d, 'x', 0", i) }},
		{"node (deployment, id, alone, redis, signing, beat, expires_at)", func(i int) string {
			return fmt.Sprintf("%d, '%d', 0, '', '', 1, 1", i/5, i%5)
		}},
		{"file (id, kind, name, owner, size, created_at, checked_at)", func(i int) string {
			return fmt.Sprintf("'%d', 'picture', 'x', '1', 1, 1, %d", i, i)
		}},
		{"file_use (file, conversation, seq, group_id)", func(i int) string { return fmt.Sprintf("'%d', '%d', %d, %d", i/5, i/10, i, i/10) }},
		{"file_sum (scope, name, files, bytes)", func(i int) string { return fmt.Sprintf("'%d', '%d', 1, 1", i%2, i/2) }},
	} {
		values := make([]string, rows)
		for i := range values {
			values[i] = "(" + table.row(i) + ")"
		}
		exec(t, d.write, "INSERT INTO "+table.into+" VALUES "+strings.Join(values, ", "))
	}
	if isMySQL(d) {
		exec(t, d.write, "ANALYZE TABLE `user`, friends, `group`, userofgroup, group_ban, session, conversation, message, participant, place, invite, deployment, node, file, file_use, file_sum")
	}
}
