package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"tim/gen/db"
	"tim/internal/testserver"
)

func TestDuplicates(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		client := message("g1", 1)
		client.ClientID = sql.NullString{String: "x", Valid: true}
		again := client
		again.Seq = 2
		ctx, w := t.Context(), d.Write()
		first := func(err error) { t.Helper(); must(t, err) }
		for name, write := range map[string]func() error{
			"account":   func() error { _, err := w.CreateUser(ctx, user("a")); return err },
			"group":     func() error { _, err := w.CreateGroup(ctx, "g", sql.NullString{}, "open"); return err },
			"session":   func() error { return w.CreateSession(ctx, db.CreateSessionParams{Account: "a", ID: "1"}) },
			"message":   func() error { return w.InsertMessage(ctx, message("g2", 1)) },
			"client id": func() error { defer func() { client = again }(); return w.InsertMessage(ctx, client) },
		} {
			first(write())
			if err := write(); !IsDuplicate(fmt.Errorf("wrapped: %w", err)) || IsUnavailable(err) {
				t.Errorf("%s twice: %v", name, err)
			}
		}
		client.Seq = 1
		// Messages without a client id never repeat each other, nor do those of two senders.
		must(t, w.InsertMessage(ctx, message("g2", 2)))
		other := client
		other.Seq, other.Sender = 9, "b"
		must(t, w.InsertMessage(ctx, other))
		// Statements that may be repeated change nothing the second time.
		for range 2 {
			must(t, w.AddFriend(ctx, "a", "b"))
			must(t, w.AddMember(ctx, 1, "a", 5))
			must(t, w.EnsureConversation(ctx, "g1", 5))
			must(t, w.AddParticipant(ctx, db.AddParticipantParams{Account: "a", Conversation: "g1", JoinedSeq: 3}))
			must(t, w.SetLastSeq(ctx, 9, "g1"))
		}
		if last, err := d.Read().LastSeq(ctx, "g1"); err != nil || last != 9 {
			t.Errorf("a conversation that is there was begun anew: %d, %v", last, err)
		}
		if err := w.InsertMessage(ctx, db.InsertMessageParams{}); IsDuplicate(err) {
			t.Errorf("no duplicate: %v", err)
		}
	})
}

// TestRowsCount: both engines report the same number of rows.
func TestRowsCount(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		ctx, w := t.Context(), d.Write()
		_, err := w.CreateUser(ctx, user("a"))
		must(t, err)
		must(t, w.AddFriend(ctx, "a", "b"))
		must(t, w.AddMember(ctx, 1, "a", 5))
		must(t, w.AddParticipant(ctx, db.AddParticipantParams{Account: "a", Conversation: "g1", JoinedSeq: 3}))
		password := sql.NullString{String: "x", Valid: true}
		for _, test := range []struct {
			name string
			want int64
			run  func() (int64, error)
		}{
			{"set", 1, func() (int64, error) { return w.SetPassword(ctx, password, "a") }},
			{"set to the same", 1, func() (int64, error) { return w.SetPassword(ctx, password, "a") }},
			{"set of nobody", 0, func() (int64, error) { return w.SetPassword(ctx, password, "b") }},
			{"mark grows", 1, func() (int64, error) { return moveDelivered(ctx, w, 4) }},
			{"mark stays", 0, func() (int64, error) { return moveDelivered(ctx, w, 4) }},
			{"mark would shrink", 0, func() (int64, error) { return moveDelivered(ctx, w, 3) }},
			{"unfriend", 1, func() (int64, error) { return w.DeleteFriend(ctx, "a", "b") }},
			{"unfriend again", 0, func() (int64, error) { return w.DeleteFriend(ctx, "a", "b") }},
			{"leave", 1, func() (int64, error) { return w.RemoveMember(ctx, 1, "a") }},
			{"leave again", 0, func() (int64, error) { return w.RemoveMember(ctx, 1, "a") }},
		} {
			if got, err := test.run(); err != nil || got != test.want {
				t.Errorf("%s: %d rows, want %d, %v", test.name, got, test.want, err)
			}
		}
	})
}

func moveDelivered(ctx context.Context, q *db.Queries, seq int64) (int64, error) {
	return q.MoveDelivered(ctx, db.MoveDeliveredParams{Seq: seq, Account: "a", Conversation: "g1", Below: seq})
}

// TestNamesAreComparedByTheirBytes, also where MySQL's = would ignore spaces at the end.
func TestNamesAreComparedByTheirBytes(t *testing.T) {
	t.Parallel()
	accounts := []string{"A", "a", "a\u0301", "b", "\u00e1", "ａ", "😀"} // sorted by their bytes
	onBoth(t, func(t *testing.T, d *DB) {
		ctx, r, w := t.Context(), d.Read(), d.Write()
		ids := map[string]int32{}
		var last int64
		for _, account := range accounts {
			id, err := w.CreateUser(ctx, user(account))
			if err != nil || id <= last { // members of a cluster leave ids out
				t.Fatalf("create %q: id %d after %d, %v", account, id, last, err)
			}
			last, ids[account] = id, int32(id)
			must(t, w.AddFriend(ctx, "a", account))
			must(t, w.AddMember(ctx, 1, account, 1))
			_, err = w.CreateGroup(ctx, account, sql.NullString{}, "open")
			must(t, err)
		}
		for _, account := range accounts {
			got, err := r.GetUser(ctx, account)
			if err != nil || got.ID != ids[account] || got.Account != account {
				t.Errorf("get %q: %+v, %v", account, got, err)
			}
			named, err := r.AccountsByUsername(ctx, account)
			if err != nil || !slices.Equal(named, []string{account}) {
				t.Errorf("named %q: %q, %v", account, named, err)
			}
		}
		for _, nobody := range []string{"a ", "B", " a", "á ", "a\x00", "", "' OR ''='", `\`, "%", "_"} {
			if got, err := r.GetUser(ctx, nobody); !errors.Is(err, sql.ErrNoRows) {
				t.Errorf("get %q: %+v, %v", nobody, got, err)
			}
			named, err := r.AccountsByUsername(ctx, nobody)
			friend, err2 := r.IsFriend(ctx, "a", nobody)
			member, err3 := r.IsMember(ctx, 1, nobody)
			ended, err4 := w.DeleteFriend(ctx, "a", nobody)
			left, err5 := w.RemoveMember(ctx, 1, nobody)
			if err := errors.Join(err, err2, err3, err4, err5); err != nil || len(named)+int(friend+member+ended+left) != 0 {
				t.Errorf("%q: named %q, friend %d, member %d, ended %d, left %d, %v", nobody, named, friend, member, ended, left, err)
			}
		}
		friends, err := r.FriendAccounts(ctx, "a")
		must(t, err)
		if diff := cmp.Diff(accounts, friends); diff != "" {
			t.Errorf("order of friends:\n%s", diff)
		}
		users, err := r.GetUsers(ctx, []string{"a", "á", "B", "😀"})
		must(t, err)
		if len(users) != 3 || users[0].Account != "a" || users[1].Account != "á" || users[2].Account != "😀" {
			t.Errorf("several: %+v", users)
		}
	})
}

func TestWhatIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		nil, sql.ErrNoRows, io.EOF, io.ErrUnexpectedEOF, context.Canceled, errors.New("x"), &mysql.MySQLError{Number: 1064},
		&mysql.MySQLError{Number: 1105, Message: "VT12001: unsupported: x"}, &mysql.MySQLError{Number: 1105, Message: "a new target: x"},
	} {
		if IsUnavailable(err) || IsDuplicate(err) {
			t.Errorf("%v: unavailable %t, duplicate %t", err, IsUnavailable(err), IsDuplicate(err))
		}
	}
	for _, err := range []error{
		context.DeadlineExceeded, sql.ErrConnDone, mysql.ErrInvalidConn, &mysql.MySQLError{Number: 1040},
		&mysql.MySQLError{Number: 1047}, &mysql.MySQLError{Number: deadlock}, &mysql.MySQLError{Number: 2002}, errPartly,
		&mysql.MySQLError{Number: 3100}, &mysql.MySQLError{Number: 3797}, &mysql.MySQLError{Number: 4031}, &mysql.MySQLError{Number: 9002},
		&mysql.MySQLError{Number: 1105, Message: "target: tim.80-.primary: no healthy tablet available for 'keyspace:\"tim\" shard:\"80-\" tablet_type:PRIMARY'"},
		&mysql.MySQLError{Number: 1105, Message: "VT15001: transaction error, issue ROLLBACK and retry the transaction: x"},
	} {
		if !IsUnavailable(fmt.Errorf("wrapped: %w", err)) {
			t.Errorf("%v is not unavailable", err)
		}
	}
}

// A transaction that a server has rolled back for another's sake may be tried again; one whose end nobody knows may not.
func TestWhatIsAConflict(t *testing.T) {
	t.Parallel()
	for number, want := range map[uint16]bool{
		1205: true, 1213: true, 3101: true, 8002: true, 8005: true, 8022: true, 8028: true, 9007: true,
		1047: false, 1062: false, 1064: false, 1180: false, 1317: false, 2013: false, 3100: false, 3797: false, 9002: false,
	} {
		err := fmt.Errorf("wrapped: %w", &mysql.MySQLError{Number: number})
		if isConflict(err) != want || want && !IsUnavailable(err) {
			t.Errorf("%d: conflict %t, unavailable %t", number, isConflict(err), IsUnavailable(err))
		}
	}
	for message, want := range map[string]bool{ // of COMMIT
		"Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT": true, "Fehler 149 beim COMMIT": true,
		"Got error 1149 - 'x' during COMMIT": false, "Got error 28 - 'No space left on device' during COMMIT": false,
	} {
		err := &mysql.MySQLError{Number: failedCommit, Message: message}
		if isConflict(err) != want || !IsUnavailable(err) {
			t.Errorf("%s: conflict %t, unavailable %t", message, isConflict(err), IsUnavailable(err))
		}
	}
}

// A database that may not grow fails as on a full disk, and goes on when there is space again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	d := migrated(t, sqliteAt(t, filepath.Join(t.TempDir(), "tim.db")))
	exec(t, d.write, "PRAGMA max_page_count = 1") // the pages that it has stay
	var err error
	for i := 0; err == nil && i < 10_000; i++ {
		err = d.Tx(t.Context(), func(tx *Tx) error {
			m := message("g1", int64(i))
			m.Body = strings.Repeat("x", 1000)
			return tx.InsertMessage(t.Context(), m)
		})
	}
	if !IsFull(err) || !IsUnavailable(err) || IsDuplicate(err) {
		t.Errorf("%v: full %t", err, IsFull(err))
	}
	if _, err := d.Read().LastSeqs(t.Context(), []string{"g1"}); err != nil {
		t.Errorf("reading: %v", err)
	}
	exec(t, d.write, "PRAGMA max_page_count = 100000")
	must(t, d.Write().InsertMessage(t.Context(), message("g2", 1)))
	for _, err := range []error{&mysql.MySQLError{Number: diskFull}, &mysql.MySQLError{Number: recordFileFull}, syscall.ENOSPC, fmt.Errorf("x: %w", syscall.EDQUOT)} {
		if !IsFull(err) {
			t.Errorf("%v isn't full", err)
		}
	}
	for _, err := range []error{nil, io.EOF, &mysql.MySQLError{Number: deadlock}, context.DeadlineExceeded} {
		if IsFull(err) {
			t.Errorf("%v is full", err)
		}
	}
}

// every asks the database in every way there is.
func every(t *testing.T, d *DB) map[string]error {
	t.Helper()
	ctx := within(t, 20*time.Second)
	_, read := d.Read().FriendAccounts(ctx, "a")
	return map[string]error{
		"ping":  d.Ping(ctx),
		"read":  read,
		"write": d.Write().AddFriend(ctx, "a", "b"),
		"tx":    d.Tx(ctx, func(tx *Tx) error { return tx.AddFriend(ctx, "a", "b") }),
	}
}

func TestKilledServerIsUnavailable(t *testing.T) {
	t.Parallel()
	server := testserver.DatabaseServer(t)
	d := migrated(t, mysqlAt(t, server.Address))
	for way, down := range map[string]func(){"killed": server.Kill, "stopped": server.Stop} {
		for name, err := range every(t, d) {
			if err != nil {
				t.Errorf("%s while all is well: %v", name, err)
			}
		}
		down()
		for range 2 { // once with open connections, once without any
			for name, err := range every(t, d) {
				if !IsUnavailable(err) {
					t.Errorf("%s while the server is %s: %v", name, way, err)
				}
			}
		}
		if _, err := OpenMySQL(t.Context(), server.Address, 0); !IsUnavailable(err) {
			t.Errorf("open while the server is %s: %v", way, err)
		}
		server.Start()
	}
}

// TestBrokenTransactionIsNotRepeated: nobody knows what became of a commit without an answer.
func TestBrokenTransactionIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := testserver.DatabaseServer(t)
	migrated(t, mysqlAt(t, server.Address))
	d := mysqlAt(t, server.Address+"?readTimeout=1s")

	runs := 0
	err := d.Tx(t.Context(), func(tx *Tx) error {
		runs++
		must(t, tx.AddFriend(t.Context(), "a", "b"))
		server.Pause()
		return nil
	})
	server.Resume()
	if runs != 1 || !IsUnavailable(err) {
		t.Errorf("commit without an answer: %d runs, %v", runs, err)
	}
	waitFor(t, func() bool {
		known, err := d.Read().IsFriend(t.Context(), "a", "b")
		return err == nil && known == 1 // it was committed
	})

	runs = 0
	err = d.Tx(t.Context(), func(tx *Tx) error {
		runs++
		must(t, tx.AddFriend(t.Context(), "a", "c"))
		server.Kill()
		return tx.AddFriend(t.Context(), "a", "d")
	})
	if runs != 1 || !IsUnavailable(err) {
		t.Errorf("server killed on the way: %d runs, %v", runs, err)
	}
}

func TestSQLiteThatCannotWriteIsUnavailable(t *testing.T) {
	t.Parallel()
	d := migrated(t, sqliteAt(t, filepath.Join(t.TempDir(), "tim.db")))
	if err := d.Read().AddFriend(t.Context(), "a", "b"); !IsUnavailable(err) {
		t.Errorf("write where only reading is allowed: %v", err)
	}
	exec(t, d.write, "PRAGMA max_page_count = 1") // no page more than the database has
	var err error
	for seq := int64(1); err == nil && seq < 100; seq++ {
		m := message("g1", seq)
		m.Body = string(make([]byte, 10_000))
		err = d.Write().InsertMessage(t.Context(), m)
	}
	if !IsUnavailable(err) {
		t.Errorf("no space left: %v", err)
	}
	if _, err := d.Read().FriendAccounts(t.Context(), "a"); err != nil {
		t.Errorf("reading with no space left: %v", err)
	}
	if _, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "missing", "tim.db")); err == nil {
		t.Error("a folder that isn't there")
	}
}
