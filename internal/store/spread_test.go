package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/db"
)

// spreadEngine is an engine that says that the tables are spread over several servers.
type spreadEngine struct{ engine }

func (spreadEngine) spread() bool { return true }

func asSpread(d *DB) *DB {
	other := *d
	other.engine = spreadEngine{d.engine}
	return &other
}

// peopled has accounts with conversations of every kind: with a friend, with a former one, without a message, of groups, and one that
// was joined late.
func peopled(t *testing.T, d *DB) {
	t.Helper()
	for _, text := range []string{
		"INSERT INTO `user` (account, username, password, age, sex) VALUES ('a', 'A', 'x', 7, 'f'), ('b', 'B', 'x', NULL, NULL), ('c', 'C', 'x', NULL, 'm'), ('d', 'D', 'x', 1, NULL)",
		"INSERT INTO friends (`user`, friend) VALUES ('a', 'b'), ('b', 'a'), ('a', 'd'), ('d', 'a'), ('a', 'gone')",
		"INSERT INTO `group` (GroupName, creator) VALUES ('one', 'a'), ('two', 'b')",
		"INSERT INTO userofgroup (GroupID, account) VALUES (1, 'a'), (1, 'b'), (1, 'c'), (1, 'b-gone'), (1, 'd'), (2, 'a')",
		"INSERT INTO conversation (id, last_seq, created_at, first_sent, second_sent) VALUES ('dab', 4, 1, 3, 4), ('dac', 2, 1, 2, 0), ('dad', 0, 1, 0, 0), ('g1', 5, 1, 0, 0), ('g2', 1, 1, 0, 0)",
	} {
		exec(t, d.write, text)
	}
	for conversation, last := range map[string]int{"dab": 4, "dac": 2, "g1": 5, "g2": 1} {
		for seq := 1; seq <= last; seq++ {
			exec(t, d.write, fmt.Sprintf("INSERT INTO message (conversation, seq, sender, client_id, body, sent_at) VALUES ('%s', %d, 'a', '%d', '%s %d', %d)",
				conversation, seq, seq, conversation, seq, seq))
		}
	}
	exec(t, d.write, "INSERT INTO participant (account, conversation, peer, group_id, joined_seq, delivered_seq, received_seq, read_seq) VALUES"+
		" ('a', 'dab', 'b', NULL, 0, 1, 2, 3), ('b', 'dab', 'a', NULL, 0, 0, 4, 4), ('a', 'dac', 'c', NULL, 0, 0, 0, 0), ('c', 'dac', 'a', NULL, 0, 0, 1, 1),"+
		" ('a', 'dad', 'd', NULL, 0, 0, 0, 0), ('a', 'g1', NULL, 1, 0, 0, 5, 4), ('b', 'g1', NULL, 1, 2, 2, 2, 2), ('c', 'g1', NULL, 1, 5, 5, 5, 5), ('a', 'g2', NULL, 2, 0, 0, 0, 0)")
}

// What is asked in parts where the tables are spread is what one statement answers elsewhere.
func TestListsInParts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, whole *DB) {
		peopled(t, whole)
		lists := map[string]func(d *DB) (any, error){}
		for _, account := range []string{"a", "b", "c", "nobody"} {
			for _, after := range []string{"", "dab", "g1", "z"} {
				for _, limit := range []int32{1, 2, 100} {
					lists[fmt.Sprint("conversations ", account, after, limit)] = func(d *DB) (any, error) {
						return d.Conversations(t.Context(), account, after, limit)
					}
					lists[fmt.Sprint("standings ", account, after, limit)] = func(d *DB) (any, error) {
						return d.Standings(t.Context(), db.StandingsParams{Accounts: []string{"a", "b", "c"}, AfterAccount: account, After: after, Limit: limit})
					}
					lists[fmt.Sprint("members ", account, limit)] = func(d *DB) (any, error) { return d.MemberUsers(t.Context(), 1, account, limit) }
				}
			}
			lists["friends of "+account] = func(d *DB) (any, error) { return d.Friends(t.Context(), account) }
		}
		filled := 0
		for name, list := range lists {
			want, err := list(whole)
			must(t, err)
			got, err := list(asSpread(whole))
			must(t, err)
			if fmt.Sprint(want) == "[]" && fmt.Sprint(got) == "[]" {
				continue
			}
			filled++
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s:\n%s", name, diff)
			}
		}
		if filled < 20 {
			t.Errorf("only %d of the lists have a row", filled)
		}
	})
}

// A COMMIT that may have committed on some of the servers is no conflict: the transaction doesn't run again.
func TestPartlyCommittedIsNotRepeated(t *testing.T) {
	t.Parallel()
	runs := 0
	err := retry(t.Context(), func() error {
		runs++
		return fmt.Errorf("commit transaction: %w: Deadlock found", errPartly)
	})
	if runs != 1 || !IsUnavailable(err) {
		t.Errorf("%d runs, %v", runs, err)
	}
}
