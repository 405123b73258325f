package check

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// contents is what the database holds.
type contents struct {
	conversations map[string]*stored // by conversation
	read          map[side]int64
}

// stored is one conversation.
type stored struct {
	last     int64 // the last seq as the table of conversations has it
	messages []storedMessage
	seqs     map[uint64]int64 // by fingerprint, of texts, each of which is sent once
}

// storedMessage is a message. Its seq must be its index plus one.
type storedMessage struct {
	seq      int64
	sender   string
	clientID string
	text     string
	event    string // of a notice: what happened
	account  string // of a notice: to whom
	hash     uint64
}

// readDatabase reads all messages and marks. Nodes may run meanwhile.
func (s *site) readDatabase(ctx context.Context) (*contents, error) {
	switch {
	case s.stack == nil:
		return readFrom(ctx, "sqlite", "file:"+filepath.Join(s.nodes[0].DataDir(), "tim.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	case s.stack.Galera == nil:
		return readFrom(ctx, "mysql", s.stack.Database[0].Address+s.reading())
	default:
		return readFrom(ctx, "mysql", s.stack.Database[0].Address+inSync)
	}
}

// differingMembers counts the members of a Galera cluster that hold something else than the first. No node runs.
func (s *site) differingMembers(ctx context.Context, first *contents) (differing int, err error) {
	if s.stack == nil || s.stack.Galera == nil {
		return 0, nil
	}
	for _, m := range s.stack.Database[1:] {
		other, err := readFrom(ctx, "mysql", m.Address+inSync)
		if err != nil {
			return 0, err
		}
		if !reflect.DeepEqual(first, other) {
			differing++
		}
	}
	return differing, nil
}

func readFrom(ctx context.Context, driver, source string) (*contents, error) {
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	t := &contents{conversations: make(map[string]*stored), read: make(map[side]int64)}
	names, err := t.readSides(ctx, db)
	if err == nil {
		err = t.readConversations(ctx, db, names)
	}
	if err == nil {
		err = t.readMessages(ctx, db, names)
	}
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	return t, nil
}

// readSides reads the marks, and returns the checker's names of the conversations by their ids.
func (t *contents) readSides(ctx context.Context, db *sql.DB) (names map[string]string, err error) {
	names = make(map[string]string)
	err = each(ctx, db, `SELECT account, conversation, COALESCE(peer, ''), COALESCE(group_id, 0), read_seq,
		CASE WHEN peer IS NULL THEN 0 WHEN account < peer THEN first_sent ELSE second_sent END
		FROM participant JOIN conversation ON conversation.id = participant.conversation`, func(row *sql.Rows) error {
		var account, id, peer string
		var group int32
		var read, sent int64 // a sender has read what is before its own message
		if err := row.Scan(&account, &id, &peer, &group, &read, &sent); err != nil {
			return err
		}
		names[id] = directKey(account, peer)
		if group != 0 {
			names[id] = groupKey(group)
		}
		t.read[side{account, names[id]}] = max(read, sent)
		return nil
	})
	return names, err
}

func (t *contents) readConversations(ctx context.Context, db *sql.DB, names map[string]string) error {
	return each(ctx, db, "SELECT id, last_seq FROM conversation", func(row *sql.Rows) error {
		var id string
		s := &stored{seqs: make(map[uint64]int64)}
		if err := row.Scan(&id, &s.last); err != nil {
			return err
		}
		if names[id] == "" {
			return fmt.Errorf("conversation %s is nobody's", id)
		}
		t.conversations[names[id]] = s
		return nil
	})
}

func (t *contents) readMessages(ctx context.Context, db *sql.DB, names map[string]string) error {
	const query = "SELECT conversation, seq, sender, COALESCE(client_id, ''), body FROM message ORDER BY conversation, seq"
	return each(ctx, db, query, func(row *sql.Rows) error {
		var id, body string
		var m storedMessage
		if err := row.Scan(&id, &m.seq, &m.sender, &m.clientID, &body); err != nil {
			return err
		}
		var content struct {
			Body struct {
				Text    string `json:"text"`
				Event   string `json:"event"`
				Account string `json:"account"`
			} `json:"body"`
		}
		if err := json.Unmarshal([]byte(body), &content); err != nil {
			return fmt.Errorf("message %d of %s: %w", m.seq, id, err)
		}
		m.text, m.event, m.account = content.Body.Text, content.Body.Event, content.Body.Account
		m.hash = fingerprint(m.sender, m.text)
		s := t.conversations[names[id]]
		if s == nil {
			return fmt.Errorf("message %d is of conversation %s, which isn't there", m.seq, id)
		}
		s.messages = append(s.messages, m)
		if m.event == "" {
			s.seqs[m.hash] = m.seq
		}
		return nil
	})
}

func each(ctx context.Context, db *sql.DB, query string, do func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err has it
	for rows.Next() && err == nil {
		err = do(rows)
	}
	return errors.Join(err, rows.Err())
}

// membership is the range of seqs that an account may read: those above after, up to upTo, which is 0 for no end.
type membership struct{ after, upTo int64 }

// memberships returns an account's memberships in a group, in order.
func (s *stored) memberships(account string) (all []membership) {
	inside := false
	for _, m := range s.messages {
		switch {
		case m.account != account:
		case m.event == "joined":
			all, inside = append(all, membership{after: m.seq}), true
		case m.event == "left" && inside:
			all[len(all)-1].upTo, inside = m.seq, false
		}
	}
	return all
}
