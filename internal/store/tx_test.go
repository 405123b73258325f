package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"tim/gen/db"
	"tim/internal/testserver"
)

func TestTxCommitsOrLeavesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		create := func(tx *Tx, account string) {
			id, err := tx.CreateUser(t.Context(), user(account))
			if err != nil || id == 0 {
				t.Errorf("id %d, %v", id, err)
			}
		}
		must(t, d.Tx(t.Context(), func(tx *Tx) error { create(tx, "committed"); return nil }))
		mine := errors.New("mine")
		if err := d.Tx(t.Context(), func(tx *Tx) error { create(tx, "failed"); return mine }); !errors.Is(err, mine) {
			t.Errorf("the error is %v", err)
		}
		func() {
			defer func() {
				if got := recover(); got != "mine too" {
					t.Errorf("the panic is %v", got)
				}
			}()
			_ = d.Tx(t.Context(), func(tx *Tx) error { create(tx, "panicked"); panic("mine too") })
		}()
		ctx, cancel := context.WithCancel(t.Context())
		err := d.Tx(ctx, func(tx *Tx) error { create(tx, "cancelled"); cancel(); return nil })
		if !errors.Is(err, context.Canceled) || IsUnavailable(err) {
			t.Errorf("cancelled before the commit: %v", err)
		}
		if got := texts(t, d.read, "SELECT account FROM user"); !slices.Equal(got, []string{"committed"}) {
			t.Errorf("the table holds %v", got)
		}
		// The connections are free again.
		must(t, d.Tx(within(t, 10*time.Second), func(tx *Tx) error { create(tx, "later"); return nil }))
	})
}

func TestTxEndedByItsContextSaysSo(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := d.Tx(ctx, func(tx *Tx) error {
			<-ctx.Done()
			// Wait until database/sql has noticed.
			for tx.conn.on.QueryRowContext(t.Context(), "SELECT 1").Scan(new(int)) == nil {
				time.Sleep(time.Millisecond)
			}
			_, err := tx.LastSeq(t.Context(), "c")
			return err
		})
		if !errors.Is(err, context.DeadlineExceeded) || !IsUnavailable(err) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestTxSeesItselfAndOthersDoNot(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		must(t, d.Tx(t.Context(), func(tx *Tx) error {
			must(t, tx.AddFriend(t.Context(), "a", "b"))
			inside, err := tx.IsFriend(t.Context(), "a", "b")
			must(t, err)
			outside, err := d.Read().IsFriend(t.Context(), "a", "b")
			must(t, err)
			if inside != 1 || outside != 0 {
				t.Errorf("inside %d, outside %d", inside, outside)
			}
			return nil
		}))
	})
}

// TestLockShowsWhatItsHolderDid: what a transaction reads after it has waited for a lock is up to date, even if it had read the
// row before.
func TestLockShowsWhatItsHolderDid(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Database(t))) // SQLite has no second writer
	must(t, d.Write().EnsureConversation(t.Context(), "g1", 1))
	hasRead, locked := make(chan struct{}), make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		return d.Tx(t.Context(), func(tx *Tx) error {
			if _, err := lockedSeq(t.Context(), tx, "g1"); err != nil {
				return err
			}
			close(locked)
			<-hasRead
			if err := tx.InsertMessage(t.Context(), message("g1", 1)); err != nil {
				return err
			}
			return tx.SetLastSeq(t.Context(), 1, "g1")
		})
	})
	var seq int64
	var after []db.MessagesAfterRow
	must(t, d.Tx(t.Context(), func(tx *Tx) error {
		<-locked
		_, err := tx.LastSeq(t.Context(), "g1")
		must(t, err)
		close(hasRead)
		seq, err = lockedSeq(t.Context(), tx, "g1")
		must(t, err)
		after, err = tx.MessagesAfter(t.Context(), "g1", 0, 10)
		return err
	}))
	must(t, g.Wait())
	if seq != 1 || len(after) != 1 {
		t.Errorf("after the lock: seq %d, %d messages", seq, len(after))
	}
}

// TestNumberingIsDense: writers that write to one new conversation at once give out every seq once.
func TestNumberingIsDense(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 12
	onBoth(t, func(t *testing.T, d *DB) {
		var g errgroup.Group
		for w := range writers {
			g.Go(func() error {
				for i := range each {
					if err := send(t.Context(), d, "g1", fmt.Sprintf("%d-%d", w, i)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		must(t, g.Wait())
		rows, err := d.Read().MessagesAfter(t.Context(), "g1", 0, 1000)
		must(t, err)
		seen := map[string]bool{}
		for i, row := range rows {
			seen[row.Body] = true
			if row.Seq != int64(i+1) {
				t.Fatalf("message %d has the number %d", i+1, row.Seq)
			}
		}
		last, err := d.Read().LastSeq(t.Context(), "g1")
		must(t, err)
		if len(seen) != writers*each || last != writers*each {
			t.Errorf("%d different messages, last number %d", len(seen), last)
		}
	})
}

func send(ctx context.Context, d *DB, conversation, body string) error {
	return d.Tx(ctx, func(tx *Tx) error {
		if err := tx.EnsureConversation(ctx, conversation, 1); err != nil {
			return err
		}
		last, err := lockedSeq(ctx, tx, conversation)
		if err != nil {
			return err
		}
		m := message(conversation, last+1)
		m.Body = body
		if err := tx.InsertMessage(ctx, m); err != nil {
			return err
		}
		return tx.SetLastSeq(ctx, last+1, conversation)
	})
}

// TestNewConversationsMeet: many transactions at once create and lock conversations without a row.
func TestNewConversationsMeet(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		for round := range 10 {
			var g errgroup.Group
			start := make(chan struct{})
			for range 6 {
				g.Go(func() error { <-start; return send(t.Context(), d, fmt.Sprint("g", round), "x") })
			}
			close(start)
			must(t, g.Wait())
			last, err := d.Read().LastSeq(t.Context(), fmt.Sprint("g", round))
			if err != nil || last != 6 {
				t.Fatalf("last number %d, %v", last, err)
			}
		}
	})
}

// TestDeadlockIsRetried: two transactions take two locks in opposite orders.
func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Database(t)))
	for _, c := range []string{"g1", "g2"} {
		must(t, d.Write().EnsureConversation(t.Context(), c, 1))
	}
	for name, pass := range map[string]func(error) error{
		"error returned": func(err error) error { return err },
		"error hidden": func(err error) error {
			if err != nil {
				return errors.New("something")
			}
			return nil
		},
		"error overlooked": func(error) error { return nil },
	} {
		t.Run(name, func(t *testing.T) { crosswise(t, d, pass) })
	}
	for _, c := range []string{"g1", "g2"} {
		if last, err := d.Read().LastSeq(t.Context(), c); err != nil || last != 2*3 {
			t.Errorf("%s was written %d times, %v", c, last, err)
		}
	}
}

// A batch isn't sent when the function has overlooked a conflict: it would be committed without what came before it.
func TestNoBatchAfterAConflict(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Database(t)))
	must(t, d.Write().EnsureConversation(t.Context(), "g1", 1))
	hold, err := d.write.BeginTx(t.Context(), nil)
	must(t, err)
	defer hold.Rollback()
	_, err = hold.ExecContext(t.Context(), "UPDATE conversation SET last_seq = 1 WHERE id = 'g1'")
	must(t, err)
	attempts := 0
	err = d.StoreMessages(t.Context(), func(tx *Tx) (MessageBatch, error) {
		if attempts++; attempts == 1 {
			_, err := tx.conn.on.ExecContext(t.Context(), "SET innodb_lock_wait_timeout = 0")
			must(t, err)
			if err := tx.SetLastSeq(t.Context(), 2, "g1"); !isConflict(err) {
				t.Errorf("no conflict: %v", err)
			}
			must(t, hold.Rollback())
			return MessageBatch{Rows: []db.InsertMessageParams{message("g1", 1)}}, nil
		}
		stored, err := tx.MessagesAfter(t.Context(), "g1", 0, 10)
		if len(stored) != 0 {
			t.Errorf("stored without the statement that failed: %v", stored)
		}
		return MessageBatch{}, err
	})
	if err != nil || attempts != 2 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}

func crosswise(t *testing.T, d *DB, pass func(error) error) {
	t.Helper()
	var g errgroup.Group
	var first sync.WaitGroup
	first.Add(2)
	attempts := make([]int, 2)
	for i, order := range [][]string{{"g1", "g2"}, {"g2", "g1"}} {
		g.Go(func() error {
			return d.Tx(t.Context(), func(tx *Tx) error {
				attempts[i]++
				for n, c := range order {
					last, err := lockedSeq(t.Context(), tx, c)
					if err != nil {
						return pass(err)
					}
					if err := tx.SetLastSeq(t.Context(), last+1, c); err != nil {
						return pass(err)
					}
					if n == 0 && attempts[i] == 1 {
						first.Done()
						first.Wait()
					}
				}
				return nil
			})
		})
	}
	must(t, g.Wait())
	if attempts[0]+attempts[1] < 3 {
		t.Errorf("there was no deadlock: %v attempts", attempts)
	}
}

// TestRetryIsBounded by the number of attempts and by the context.
func TestRetryIsBounded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		conflict := makeConflict(t, d)
		attempts := 0
		err := d.Tx(t.Context(), func(*Tx) error { attempts++; return conflict })
		if attempts != maxAttempts || !IsUnavailable(err) {
			t.Errorf("%d attempts, %v", attempts, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		attempts = 0
		err = d.Tx(ctx, func(*Tx) error { attempts++; cancel(); return conflict })
		if attempts != 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d attempts after the end, %v", attempts, err)
		}
		attempts = 0
		err = d.Tx(t.Context(), func(*Tx) error { attempts++; return errors.New("no conflict") })
		if attempts != 1 || IsUnavailable(err) {
			t.Errorf("%d attempts without a conflict, %v", attempts, err)
		}
	})
}

// makeConflict returns a real conflict: a row locked by another transaction, or a database that another process writes.
func makeConflict(t *testing.T, d *DB) error {
	t.Helper()
	hold, err := d.write.BeginTx(t.Context(), nil)
	must(t, err)
	defer hold.Rollback()
	if isMySQL(d) {
		exec(t, d.write, "INSERT INTO conversation (id, last_seq, created_at) VALUES ('held', 0, 1)")
		_, err = hold.ExecContext(t.Context(), "UPDATE conversation SET last_seq = 1 WHERE id = 'held'")
		must(t, err)
		conn, err := d.write.Conn(t.Context())
		must(t, err)
		defer conn.Close()
		_, err = conn.ExecContext(t.Context(), "SET innodb_lock_wait_timeout = 0")
		must(t, err)
		_, err = conn.ExecContext(t.Context(), "UPDATE conversation SET last_seq = 2 WHERE id = 'held'")
		if !isConflict(err) {
			t.Fatalf("no conflict: %v", err)
		}
		return err
	}
	other := sqliteAt(t, d.engine.(sqliteEngine).path)
	exec(t, other.write, "PRAGMA busy_timeout = 0")
	_, err = other.write.ExecContext(t.Context(), "DELETE FROM user")
	if !isConflict(err) {
		t.Fatalf("no conflict: %v", err)
	}
	return err
}

// TestBusyIsWaitedFor: another process writes for longer than SQLite itself waits.
func TestBusyIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tim.db")
	d, other := migrated(t, sqliteAt(t, path)), sqliteAt(t, path)
	exec(t, d.write, "PRAGMA busy_timeout = 1")
	for name, write := range map[string]func() error{
		"transaction": func() error {
			return d.Tx(t.Context(), func(tx *Tx) error { return tx.AddFriend(t.Context(), "a", "b") })
		},
		"statement": func() error { return d.Write().AddFriend(t.Context(), "a", "c") },
	} {
		t.Run(name, func(t *testing.T) {
			hold, err := other.write.BeginTx(t.Context(), nil)
			must(t, err)
			var g errgroup.Group
			g.Go(write)
			// Reading is possible meanwhile.
			if _, err := d.Read().FriendAccounts(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			waitFor(t, func() bool { return d.write.Stats().InUse > 0 })
			waitFor(t, func() bool { return d.write.Stats().InUse == 0 }) // an attempt has failed
			must(t, hold.Commit())
			must(t, g.Wait())
		})
	}
	if got, err := d.Read().FriendAccounts(t.Context(), "a"); err != nil || !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("it doesn't happen")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestStoreMessages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		var rows []db.InsertMessageParams
		for i := range maxRows*2 + 1 {
			m := message("g1", int64(i+1))
			if i%2 == 0 {
				m.ClientID = sql.NullString{String: fmt.Sprint("client-", i), Valid: true}
			}
			rows = append(rows, m)
		}
		rows[3].Body = `{"text":"` + strings.Repeat(`\\'"%_?;-- ☃😀`, maxBytes/12) + `"}` // more than a statement may hold
		rows[4].Body = "\x00\r\n\x1a\t'\\"
		insert := func(rows ...db.InsertMessageParams) error {
			return d.StoreMessages(t.Context(), func(*Tx) (MessageBatch, error) { return MessageBatch{Rows: rows}, nil })
		}
		must(t, insert(rows...))
		must(t, insert())
		got, err := d.Read().MessagesAfter(t.Context(), "g1", 0, 10000)
		must(t, err)
		if len(got) != len(rows) {
			t.Fatalf("%d messages stored of %d", len(got), len(rows))
		}
		for i, row := range rows {
			want := db.MessagesAfterRow{Seq: row.Seq, Sender: row.Sender, ClientID: row.ClientID, Body: row.Body, SentAt: row.SentAt}
			if diff := cmp.Diff(want, got[i]); diff != "" {
				t.Fatalf("message %d: %.300s", i, diff)
			}
		}
		if got, err := d.Read().MessageByClientID(t.Context(), "g1", "a", rows[2].ClientID); err != nil || got.Seq != 3 {
			t.Errorf("by client id: %+v, %v", got, err)
		}
		// If the end of a batch fails, its beginning isn't stored.
		again := message("g1", 5000)
		again.ClientID = rows[2].ClientID
		if err := insert(message("g1", 4999), again); !IsDuplicate(err) {
			t.Errorf("a client id twice: %v", err)
		}
		if got, _ := d.Read().MessagesAfter(t.Context(), "g1", 4000, 10); len(got) != 0 {
			t.Errorf("stored nonetheless: %v", got)
		}
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	small, large := message("g1", 1), message("g1", 2)
	large.Body = strings.Repeat("x", maxBytes+1)
	for name, test := range map[string]struct {
		rows []db.InsertMessageParams
		want int
	}{
		"none":             {nil, 0},
		"one":              {[]db.InsertMessageParams{small}, 1},
		"too large":        {[]db.InsertMessageParams{large, small}, 1},
		"too large behind": {[]db.InsertMessageParams{small, small, large}, 2},
		"full":             {slices.Repeat([]db.InsertMessageParams{small}, maxRows), maxRows},
		"too many":         {slices.Repeat([]db.InsertMessageParams{small}, maxRows+1), maxRows},
	} {
		if got := fitting(test.rows); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}
