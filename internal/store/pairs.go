package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"tim/gen/db"
)

// Questions about many rows at once, each named by two columns. The generated code can't list pairs, so these texts are
// put together here; like the others they find every row by an index.

// mostPairs is how many pairs one statement names.
const mostPairs = 200

// pairsText is a statement about pairs: each is repeated for every pair, with glue between.
type pairsText struct{ head, each, glue string }

const (
	either = " OR "
	all    = " UNION ALL "
)

func sessionsText() pairsText {
	return pairsText{
		nameComment + "SessionsOf :many\nSELECT account, id, expires_at FROM `session` WHERE ", "(account = ? AND id = ?)", either,
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

// Lookups answers questions about many rows at once: of a DB, what was committed before; of a Tx, what it sees itself.
type Lookups struct{ conn db.DBTX }

// SessionKey names a session.
type SessionKey struct{ Account, ID string }

// AccountPair is two accounts, in this order.
type AccountPair struct{ Account, Other string }

// Seat is an account in a group.
type Seat struct {
	Group   int32
	Account string
}

// SessionsUntil tells when those of the sessions that are there expire, in ms since 1970. It asks once for every 200.
func (l Lookups) SessionsUntil(ctx context.Context, keys []SessionKey) (map[SessionKey]int64, error) {
	until := make(map[SessionKey]int64, len(keys))
	err := l.askPairs(ctx, sessionsText(), len(keys), func(args []any, i int) []any {
		return append(args, keys[i].Account, keys[i].ID)
	}, func(rows *sql.Rows) error {
		var k SessionKey
		var expires int64
		err := rows.Scan(&k.Account, &k.ID, &expires)
		until[k] = expires
		return err
	})
	return until, err
}

// FriendsAmong tells which of the pairs are friendships. It asks once for every 200.
func (l Lookups) FriendsAmong(ctx context.Context, pairs []AccountPair) (map[AccountPair]bool, error) {
	found := make(map[AccountPair]bool, len(pairs))
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

// MembersAmong tells which of the seats are taken. It asks once for every 200.
func (l Lookups) MembersAmong(ctx context.Context, seats []Seat) (map[Seat]bool, error) {
	found := make(map[Seat]bool, len(seats))
	err := l.askPairs(ctx, membersText(), len(seats), func(args []any, i int) []any {
		return append(args, seats[i].Group, seats[i].Account)
	}, func(rows *sql.Rows) error {
		var s Seat
		err := rows.Scan(&s.Group, &s.Account)
		found[s] = true
		return err
	})
	return found, err
}

// MatesAmong tells which of the pairs share a group. It asks once for every 200.
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

// askPairs asks about n pairs, page by page. add appends the arguments of pair i, take takes in a row. What is found is
// spelled as it is stored: MySQL's = overlooks spaces at the end of a text, a look-up by it doesn't.
func (l Lookups) askPairs(ctx context.Context, text pairsText, n int, add func(args []any, i int) []any, take func(*sql.Rows) error) error {
	for from := 0; from < n; from += mostPairs {
		beyond := min(n, from+mostPairs)
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
	defer rows.Close() //nolint:errcheck // a query that is read needs no more than its Err
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
