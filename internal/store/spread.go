package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"tim/gen/db"
)

// What is done otherwise where the tables are spread over several servers. A vtgate of Vitess carries out a join of tables on several
// shards as one question for each row of the first. The lists below then take one question for each table, which goes to the shards
// of the rows that it names. They keep rows for which the other table has none, since who asks takes a short page for the last one.

// errPartly stands in the place of the error of a COMMIT that may have committed on some of the servers. A repetition of the transaction
// could do things twice, so it isn't a conflict.
var errPartly = errors.New("the transaction may be committed in part")

// lockingRead names the statements that read, under the lock of a conversation or an account, rows that are on other servers than the
// lock's. The server of the lock commits first, and so gives the lock away before the others have committed what was done under it. Such
// a read therefore locks its rows: it waits until they have.
func lockingRead(statement string) bool {
	switch statement {
	case "GetGroup", "IsMember", "IsFriend", "FriendsAmong", "CountOwned":
		return true
	}
	return false
}

// spreadCommits has a vtgate commit a transaction on all of its shards or on none: it prepares all of them before the first commits, and
// a tablet finishes what was interrupted. A transaction on one shard is committed as elsewhere.
const spreadCommits = "SET transaction_mode = 'twopc'"

// marksAtOnce is how many marks of a batch move at the same time.
const marksAtOnce = 8

// moveMarks moves own marks after the messages are committed, each by a statement of its own: the participants are on other servers
// than the conversation. In the transaction of the messages they would make it one of several servers, which takes three times as
// long. The messages are stored, so an error is none of the sender's: its mark stays behind until its next message or mark.
func (d *DB) moveMarks(ctx context.Context, marks []OwnMark) {
	var moving errgroup.Group
	moving.SetLimit(marksAtOnce)
	for _, m := range marks {
		moving.Go(func() error {
			_, err := d.writes.MoveMarks(ctx, db.MoveMarksParams{Received: m.Seq, Seen: m.Seq, Account: m.Account, Conversation: m.Conversation})
			return err
		})
	}
	_ = moving.Wait()
}

// Conversations lists a page of an account's conversations, each with its newest message.
func (d *DB) Conversations(ctx context.Context, account, after string, limit int32) ([]db.ConversationsRow, error) {
	if !d.Spread() {
		return d.reads.Conversations(ctx, account, after, limit)
	}
	sides, err := d.reads.Sides(ctx, account, after, limit)
	if err != nil {
		return nil, err
	}
	list := conversationList{ask: d.Lookups, account: account, rows: make([]db.ConversationsRow, len(sides)), at: make(map[string]int, len(sides))}
	for i, s := range sides {
		list.at[s.Conversation] = i
		list.rows[i] = db.ConversationsRow{
			Conversation: s.Conversation, Peer: s.Peer, GroupID: s.GroupID, JoinedSeq: s.JoinedSeq, ReceivedSeq: s.ReceivedSeq, ReadSeq: s.ReadSeq,
		}
		if s.Peer.Valid {
			list.direct = append(list.direct, i)
		}
	}
	// Marks are read before the numbers of the newest messages, so that none is beyond them.
	for _, step := range []func(context.Context) error{list.peers, list.friends, list.numbers, list.messages} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return list.rows, nil
}

// conversationList is a page of Conversations that is being put together.
type conversationList struct {
	ask     Lookups
	account string
	rows    []db.ConversationsRow
	at      map[string]int // the indexes of rows by conversation
	direct  []int          // the rows of one-to-one conversations
}

func peersText() pairsText {
	return pairsText{
		nameComment + "PeersOf :many\nSELECT conversation, received_seq, read_seq FROM participant WHERE ", "(account = ? AND conversation = ?)", either,
	}
}

func numbersText() pairsText {
	return pairsText{nameComment + "NumbersOf :many\nSELECT id, last_seq, first_sent, second_sent FROM conversation WHERE ", "id = ?", either}
}

func newestText() pairsText {
	return pairsText{
		nameComment + "NewestOf :many\nSELECT conversation, sender, client_id, body, sent_at FROM message WHERE ", "(conversation = ? AND seq = ?)", either,
	}
}

// peers reads the marks of the others.
func (l *conversationList) peers(ctx context.Context) error {
	return l.ask.askPairs(ctx, peersText(), len(l.direct), func(args []any, i int) []any {
		row := l.rows[l.direct[i]]
		return append(args, row.Peer.String, row.Conversation)
	}, func(rows *sql.Rows) error {
		var id string
		var received, read sql.NullInt64
		err := rows.Scan(&id, &received, &read)
		if i, ok := l.at[id]; ok {
			l.rows[i].PeerReceived, l.rows[i].PeerRead = received, read
		}
		return err
	})
}

// friends finds out which of the others are friends.
func (l *conversationList) friends(ctx context.Context) error {
	pairs := make([]AccountPair, len(l.direct))
	for i, at := range l.direct {
		pairs[i] = AccountPair{Account: l.account, Other: l.rows[at].Peer.String}
	}
	among, err := l.ask.FriendsAmong(ctx, pairs)
	for i, pair := range pairs {
		if among[pair] {
			l.rows[l.direct[i]].Friend = l.rows[l.direct[i]].Peer
		}
	}
	return err
}

// numbers reads the conversations' rows.
func (l *conversationList) numbers(ctx context.Context) error {
	return l.ask.askPairs(ctx, numbersText(), len(l.rows), func(args []any, i int) []any {
		return append(args, l.rows[i].Conversation)
	}, func(rows *sql.Rows) error {
		var id string
		var last, first, second int64
		err := rows.Scan(&id, &last, &first, &second)
		if i, ok := l.at[id]; ok {
			l.rows[i].LastSeq, l.rows[i].FirstSent, l.rows[i].SecondSent = last, first, second
		}
		return err
	})
}

// messages reads the newest messages.
func (l *conversationList) messages(ctx context.Context) error {
	return l.ask.askPairs(ctx, newestText(), len(l.rows), func(args []any, i int) []any {
		return append(args, l.rows[i].Conversation, l.rows[i].LastSeq)
	}, func(rows *sql.Rows) error {
		var id string
		var m db.ConversationsRow
		err := rows.Scan(&id, &m.Sender, &m.ClientID, &m.Body, &m.SentAt)
		if i, ok := l.at[id]; ok {
			row := &l.rows[i]
			row.Sender, row.ClientID, row.Body, row.SentAt = m.Sender, m.ClientID, m.Body, m.SentAt
		}
		return err
	})
}

// Standings lists a page of the positions of accounts in their conversations.
func (d *DB) Standings(ctx context.Context, arg db.StandingsParams) ([]db.StandingsRow, error) {
	if !d.Spread() {
		return d.reads.Standings(ctx, arg)
	}
	sides, err := d.reads.SidesOf(ctx, db.SidesOfParams(arg))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(sides))
	for i, s := range sides {
		ids[i] = s.Conversation
	}
	slices.Sort(ids)
	last := make(map[string]int64, len(ids))
	for page := range slices.Chunk(slices.Compact(ids), maxRows) {
		rows, err := d.reads.LastSeqs(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			last[row.ID] = row.LastSeq
		}
	}
	rows := make([]db.StandingsRow, len(sides))
	for i, s := range sides {
		rows[i] = db.StandingsRow{
			Account: s.Account, Conversation: s.Conversation, Peer: s.Peer, GroupID: s.GroupID, JoinedSeq: s.JoinedSeq, LastSeq: last[s.Conversation],
		}
	}
	return rows, nil
}

// Friends lists an account's friends, sorted by account.
func (d *DB) Friends(ctx context.Context, account string) ([]db.FriendsRow, error) {
	if !d.Spread() {
		return d.reads.Friends(ctx, account)
	}
	friends, err := d.reads.FriendAccounts(ctx, account)
	if err != nil {
		return nil, err
	}
	var rows []db.FriendsRow
	users, err := d.users(ctx, friends)
	for _, u := range users {
		rows = append(rows, db.FriendsRow(u))
	}
	return rows, err
}

// MemberUsers lists a page of a group's members, sorted by account.
func (d *DB) MemberUsers(ctx context.Context, group int32, after string, limit int32) ([]db.MemberUsersRow, error) {
	if !d.Spread() {
		return d.reads.MemberUsers(ctx, group, after, limit)
	}
	var rows []db.MemberUsersRow
	for left := limit; left > 0; left = limit - int32(len(rows)) { //nolint:gosec // at most limit
		members, err := d.reads.MembersAfter(ctx, group, after, left)
		if err != nil {
			return nil, err
		}
		users, err := d.users(ctx, members)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			rows = append(rows, db.MemberUsersRow(u))
		}
		if len(members) < int(left) {
			break
		}
		after = members[len(members)-1]
	}
	return rows, nil
}

// users returns the rows of accounts, sorted by account. The accounts are sorted.
func (d *DB) users(ctx context.Context, accounts []string) (users []db.GetUsersRow, err error) {
	for page := range slices.Chunk(accounts, MostPairs) {
		rows, err := d.reads.GetUsers(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("look users up: %w", err)
		}
		users = append(users, rows...)
	}
	return users, nil
}
