package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tim/gen/db"
	"tim/internal/testserver"
)

// A transaction begins with its first statement, and its last one may carry the COMMIT. When it fails, nothing of it is
// stored, and no transaction stays open on the server.
func TestTransactionsOfFewRoundtrips(t *testing.T) {
	t.Parallel()
	for _, commitAlone := range []bool{false, true} {
		t.Run(fmt.Sprint("commitAlone=", commitAlone), func(t *testing.T) {
			t.Parallel()
			// A statement of more than 2,000 bytes can't be sent as one text.
			d := migrated(t, commitsAlone(t, mysqlAt(t, testserver.Database(t)+"?maxAllowedPacket=2000"), commitAlone))
			fewRoundtrips(t, d)
		})
	}
}

// commitsAlone returns the database with another pool, whose connections send the COMMIT as they are told to.
func commitsAlone(t *testing.T, d *DB, alone bool) *DB {
	t.Helper()
	e := d.engine.(mysqlEngine)
	e.kind.single = !alone
	pool, err := e.pool(e.config)
	return closing(t, newDB(pool, pool, nil, mysqlBulk(), e), err)
}

func fewRoundtrips(t *testing.T, d *DB) {
	t.Helper()
	long := func(seq int64) db.InsertMessageParams {
		m := message("g1", seq)
		m.Body = strings.Repeat("x", 3000)
		return m
	}
	nothing := func(*Tx) error { return nil }
	insert := func(tx *Tx, seq int64) error { return tx.InsertMessage(t.Context(), message("g1", seq)) }
	const openHere = "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p" +
		" ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
	for _, tt := range []struct {
		name  string
		do    func(tx *Tx) error
		store []db.InsertMessageParams
		fails bool
		want  string
	}{
		{"nothing", nothing, nil, false, ""},
		{"nothing, given up", func(*Tx) error { return errGiveUp }, nil, true, ""},
		{"one statement, given up", func(tx *Tx) error { return errors.Join(insert(tx, 1), errGiveUp) }, nil, true, ""},
		{"one statement", func(tx *Tx) error { return insert(tx, 1) }, nil, false, "1"},
		{"one that fails", func(tx *Tx) error { return insert(tx, 1) }, nil, true, "1"},
		{"one that fails, the last", nothing, []db.InsertMessageParams{message("g1", 2), message("g1", 1)}, true, "1"},
		{"one that fails, overlooked", func(tx *Tx) error { _ = insert(tx, 1); return insert(tx, 2) }, nil, false, "1 2"},
		{"the last, given up", func(*Tx) error { return errGiveUp }, []db.InsertMessageParams{message("g1", 3)}, true, "1 2"},
		{"the last", nothing, []db.InsertMessageParams{message("g1", 3)}, false, "1 2 3"},
		{"one that fails after another", func(tx *Tx) error { return insert(tx, 4) }, []db.InsertMessageParams{message("g1", 5), message("g1", 3)}, true, "1 2 3"},
		{"one after another", func(tx *Tx) error { return insert(tx, 4) }, []db.InsertMessageParams{message("g1", 5)}, false, "1 2 3 4 5"},
		{"a question first", func(tx *Tx) error {
			if _, err := tx.LastSeq(t.Context(), "g1"); !errors.Is(err, sql.ErrNoRows) {
				t.Error(err)
			}
			return nil
		}, []db.InsertMessageParams{message("g1", 6)}, false, "1 2 3 4 5 6"},
		{"a long one, given up", func(tx *Tx) error { return errors.Join(tx.InsertMessage(t.Context(), long(7)), errGiveUp) }, nil, true, "1 2 3 4 5 6"},
		{"a long one", nothing, []db.InsertMessageParams{long(7)}, false, "1 2 3 4 5 6 7"},
	} {
		err := d.StoreMessages(t.Context(), func(tx *Tx) (MessageBatch, error) { return MessageBatch{Rows: tt.store}, tt.do(tx) })
		if (err != nil) != tt.fails {
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
	dsn := testserver.Database(t)
	d := migrated(t, mysqlAt(t, dsn))
	other, err := sql.Open("mysql", dsn)
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
