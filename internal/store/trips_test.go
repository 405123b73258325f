package store

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"tim/gen/db"
	"tim/internal/testserver"
)

// A transaction begins with its first statement and may be committed with its last one: nothing of one that fails may stay,
// and nothing after one may be in it.
func TestTransactionsOfFewTrips(t *testing.T) {
	t.Parallel()
	// So little that a long statement can't be sent as one text.
	d := migrated(t, mysqlAt(t, testserver.MariaDB(t)+"?maxAllowedPacket=2000"))
	long := func(seq int64) db.InsertMessageParams {
		m := message("g1", seq)
		m.Body = strings.Repeat("x", 3000)
		return m
	}
	const openHere = "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p" +
		" ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
	store := func(tx *Tx, rows ...db.InsertMessageParams) error { return tx.StoreMessages(t.Context(), rows, nil) }
	for _, tt := range []struct {
		name  string
		do    func(tx *Tx) error
		fails bool
		want  string
	}{
		{"nothing", func(*Tx) error { return nil }, false, ""},
		{"nothing, given up", func(*Tx) error { return errGiveUp }, true, ""},
		{"one statement, given up", func(tx *Tx) error { return errors.Join(tx.InsertMessage(t.Context(), message("g1", 1)), errGiveUp) }, true, ""},
		{"one statement", func(tx *Tx) error { return tx.InsertMessage(t.Context(), message("g1", 1)) }, false, "1"},
		{"one that fails", func(tx *Tx) error { return tx.InsertMessage(t.Context(), message("g1", 1)) }, true, "1"},
		{"one that fails, the last", func(tx *Tx) error { return store(tx, message("g1", 2), message("g1", 1)) }, true, "1"},
		{"one that fails, overlooked", func(tx *Tx) error {
			_ = store(tx, message("g1", 2), message("g1", 1))
			return tx.InsertMessage(t.Context(), message("g1", 2))
		}, false, "1 2"},
		{"the last", func(tx *Tx) error { return store(tx, message("g1", 3)) }, false, "1 2 3"},
		{"the last, and another", func(tx *Tx) error {
			must(t, store(tx, message("g1", 4)))
			return tx.InsertMessage(t.Context(), message("g1", 5))
		}, true, "1 2 3 4"},
		{"a question first", func(tx *Tx) error {
			if _, err := tx.LastSeq(t.Context(), "g1"); !errors.Is(err, sql.ErrNoRows) {
				t.Error(err)
			}
			return store(tx, message("g1", 5))
		}, false, "1 2 3 4 5"},
		{"a long one, given up", func(tx *Tx) error { return errors.Join(tx.InsertMessage(t.Context(), long(6)), errGiveUp) }, true, "1 2 3 4 5"},
		{"a long one", func(tx *Tx) error { return store(tx, long(6)) }, false, "1 2 3 4 5 6"},
	} {
		if err := d.Tx(t.Context(), tt.do); (err != nil) != tt.fails {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(texts(t, d.read, "SELECT seq FROM message ORDER BY seq"), " "); got != tt.want {
			t.Errorf("%s: stored is %q, want %q", tt.name, got, tt.want)
		}
		if got := texts(t, d.read, openHere); got[0] != "0" {
			t.Errorf("%s: %s transactions are left open", tt.name, got)
		}
	}
}

// The pool's connections may have ended since they were used last.
func TestTransactionsOnEndedConnections(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.MariaDB(t)))
	other, err := sql.Open("mysql", testserver.MariaDB(t))
	must(t, err)
	defer other.Close()
	for range 3 {
		id := texts(t, d.write, "SELECT CONNECTION_ID()")[0]
		exec(t, other, "KILL "+id)
		for len(texts(t, other, "SELECT id FROM information_schema.processlist WHERE id = ?", id)) > 0 {
			continue // it takes a moment
		}
		must(t, d.Tx(t.Context(), func(tx *Tx) error { return tx.EnsureConversation(t.Context(), "g1", 1) }))
	}
}
