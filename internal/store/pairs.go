package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tim/gen/db"
)

// Questions about many rows at once, each row named by two columns. sqlc can't generate a list of pairs, so this file builds
// the texts. Like the generated statements, they find every row by an index.

// MostPairs is the largest number of pairs, or of values of a list, in one statement.
const MostPairs = 200

// pairsText is a statement about pairs: head, then each repeated for every pair, separated by glue.
type pairsText struct{ head, each, glue string }

const (
	either = " OR "
	all    = " UNION ALL "
)

func sessionsText() pairsText {
	return pairsText{
		nameComment + "SessionsOf :many\nSELECT account, id, created_at, used_at, expires_at, generation, renewed_at, confirmed_at FROM `session` WHERE ",
		"(account = ? AND id = ?)", either,
	}
}

func friendsText() pairsText {
	return pairsText{nameComment + "FriendsAmong :many\nSELECT `user`, friend FROM friends WHERE ", "(`user` = ? AND friend = ?)", either}
}

func membersText() pairsText {
	return pairsText{nameComment + "MembersAmong :many\nSELECT GroupID, account FROM userofgroup WHERE ", "(GroupID = ? AND account = ?)", either}
}

func matesText() pairsText {
	return pairsText{
		nameComment + "MatesAmong :many\n", "SELECT ?, COUNT(*) FROM userofgroup mine JOIN userofgroup other ON other.GroupID = mine.GroupID " +
			"WHERE mine.account = ? AND other.account = ?", all,
	}
}

func (t pairsText) of(pairs int) string {
	return t.head + strings.Repeat(t.each+t.glue, pairs-1) + t.each
}

// Lookups answers questions about many rows at once. Those of a DB see what was committed, those of a Tx also its own changes.
type Lookups struct {
	conn    db.DBTX
	inOrder bool // what is locked is locked one by one, in order, see lockingRead
}

// SessionKey is the key of a session.
type SessionKey struct{ Account, ID string }

// AccountPair is an ordered pair of accounts.
type AccountPair struct{ Account, Other string }

func (p AccountPair) compare(other AccountPair) int {
	return cmp.Or(cmp.Compare(p.Account, other.Account), cmp.Compare(p.Other, other.Other))
}

// Membership is a group and an account that may be its member.
type Membership struct {
	Group   int32
	Account string
}

// SessionRow is what the check of a session needs of its row. Times are in ms since 1970.
type SessionRow struct {
	CreatedAt, UsedAt, ExpiresAt int64
	Generation                   int64 // the newest of its tokens
	RenewedAt                    int64 // when that began
	ConfirmedAt                  int64 // when a token of that was first used, 0 if none was
}

// SessionRows returns the rows of sessions. A session that doesn't exist is missing from the result. It sends one statement for
// every 200 sessions.
func (l Lookups) SessionRows(ctx context.Context, keys []SessionKey) (map[SessionKey]SessionRow, error) {
	found := make(map[SessionKey]SessionRow, len(keys))
	err := l.askPairs(ctx, sessionsText(), len(keys), func(args []any, i int) []any {
		return append(args, keys[i].Account, keys[i].ID)
	}, func(rows *sql.Rows) error {
		var k SessionKey
		var r SessionRow
		err := rows.Scan(&k.Account, &k.ID, &r.CreatedAt, &r.UsedAt, &r.ExpiresAt, &r.Generation, &r.RenewedAt, &r.ConfirmedAt)
		found[k] = r
		return err
	})
	return found, err
}

// FriendsAmong returns which of the pairs are friends. It sends one statement for every 200.
func (l Lookups) FriendsAmong(ctx context.Context, pairs []AccountPair) (map[AccountPair]bool, error) {
	found := make(map[AccountPair]bool, len(pairs))
	if l.inOrder && len(pairs) > 1 {
		for _, pair := range slices.SortedFunc(slices.Values(pairs), AccountPair.compare) {
			one, err := l.FriendsAmong(ctx, []AccountPair{pair})
			if err != nil {
				return nil, err
			}
			maps.Copy(found, one)
		}
		return found, nil
	}
	err := l.askPairs(ctx, friendsText(), len(pairs), func(args []any, i int) []any {
		return append(args, pairs[i].Account, pairs[i].Other)
	}, func(rows *sql.Rows) error {
		var p AccountPair
		err := rows.Scan(&p.Account, &p.Other)
		found[p] = true
		return err
	})
	return found, err
}

// MembersAmong returns which of the memberships exist. It sends one statement for every 200.
func (l Lookups) MembersAmong(ctx context.Context, memberships []Membership) (map[Membership]bool, error) {
	found := make(map[Membership]bool, len(memberships))
	err := l.askPairs(ctx, membersText(), len(memberships), func(args []any, i int) []any {
		return append(args, memberships[i].Group, memberships[i].Account)
	}, func(rows *sql.Rows) error {
		var s Membership
		err := rows.Scan(&s.Group, &s.Account)
		found[s] = true
		return err
	})
	return found, err
}

// MatesAmong returns which of the pairs are members of the same group. It sends one statement for every 200.
func (l Lookups) MatesAmong(ctx context.Context, pairs []AccountPair) (map[AccountPair]bool, error) {
	found := make(map[AccountPair]bool, len(pairs))
	err := l.askPairs(ctx, matesText(), len(pairs), func(args []any, i int) []any {
		return append(args, int64(i), pairs[i].Account, pairs[i].Other)
	}, func(rows *sql.Rows) error {
		var i, groups int64
		err := rows.Scan(&i, &groups)
		if err == nil && groups > 0 {
			found[pairs[i]] = true
		}
		return err
	})
	return found, err
}

// askPairs asks about n pairs, page by page. add appends the arguments of pair i, and take reads a row. Results are keyed by
// the stored spelling: MySQL's = ignores spaces at the end of a text, a look-up in the result doesn't.
func (l Lookups) askPairs(ctx context.Context, text pairsText, n int, add func(args []any, i int) []any, take func(*sql.Rows) error) error {
	for from := 0; from < n; from += MostPairs {
		beyond := min(n, from+MostPairs)
		var args []any
		for i := from; i < beyond; i++ {
			args = add(args, i)
		}
		if err := l.askPage(ctx, text.of(beyond-from), args, take); err != nil {
			return fmt.Errorf("ask about %d pairs: %w", beyond-from, err)
		}
	}
	return nil
}

func (l Lookups) askPage(ctx context.Context, text string, args []any, take func(*sql.Rows) error) error {
	rows, err := l.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
