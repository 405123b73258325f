package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"tim/gen/db"
	"tim/internal/testserver"
)

// membersOf opens one database at each member of a cluster.
func membersOf(t *testing.T, dsns []string) (ds []*DB) {
	t.Helper()
	for _, dsn := range dsns {
		ds = append(ds, mysqlAt(t, dsn))
	}
	if said := ds[0].Server(); !strings.Contains(said, "Galera") {
		t.Fatalf("the server is said to be %q", said)
	}
	return ds
}

// Writers on every member write to the same conversations. Conflicts cost attempts: nothing fails, is lost or numbered twice.
func TestGaleraLosesNothing(t *testing.T) {
	t.Parallel()
	const writers, each, conversations = 3, 120, 3
	ds := membersOf(t, testserver.Galera(t))
	migrated(t, ds[0])
	names := make([]string, conversations)
	for i := range names {
		names[i] = fmt.Sprint("g", i)
		must(t, ds[0].Write().EnsureConversation(t.Context(), names[i], 1))
	}
	var g errgroup.Group
	var attempts atomic.Int64
	for i, d := range ds {
		for w := range writers {
			g.Go(func() error {
				for n := range each {
					attempts.Add(-1)
					err := d.StoreMessages(t.Context(), func(tx *Tx) (MessageBatch, error) {
						attempts.Add(1)
						return numbered(t.Context(), tx, names[(n+w)%conversations], fmt.Sprintf("%d-%d-%d", i, w, n))
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	must(t, g.Wait())
	if attempts.Load() == 0 {
		t.Error("there was no conflict")
	}
	var bodies []string
	for _, name := range names {
		rows, err := ds[1].Read().MessagesAfter(t.Context(), name, 0, 10000)
		must(t, err)
		for i, row := range rows {
			bodies = append(bodies, row.Body)
			if row.Seq != int64(i+1) {
				t.Fatalf("%s: message %d has the number %d", name, i+1, row.Seq)
			}
		}
		if last, err := ds[2].Read().LastSeq(t.Context(), name); err != nil || last != int64(len(rows)) {
			t.Errorf("%s: %d messages, the last number is %d, %v", name, len(rows), last, err)
		}
	}
	slices.Sort(bodies)
	if all := len(slices.Compact(bodies)); all != len(ds)*writers*each {
		t.Errorf("%d different messages are stored of %d", all, len(ds)*writers*each)
	}
}

// numbered locks a conversation as a send does, and gives a message its next seq.
func numbered(ctx context.Context, tx *Tx, conversation, body string) (MessageBatch, error) {
	locked, err := tx.LockConversations(ctx, []string{conversation})
	if err != nil {
		return MessageBatch{}, err
	}
	was := locked[conversation]
	now := was
	now.Last++
	m := message(conversation, now.Last)
	m.Body = body
	err = tx.SetLastSeqs(ctx, []NumberedConversation{{ID: conversation, Before: was, Now: now}})
	return MessageBatch{Rows: []db.InsertMessageParams{m}}, err
}

// Nodes on every member that start at once migrate an empty database once, and agree on its identity. Of nodes that are alone one
// starts.
func TestGaleraFirstStarts(t *testing.T) {
	t.Parallel()
	for round := range 3 {
		ds := membersOf(t, testserver.Galera(t))
		applied, identities, alone := make([][]string, len(ds)), make([]string, len(ds)), make([]*NodeLock, len(ds))
		var g errgroup.Group
		for i, d := range ds {
			g.Go(func() (err error) {
				if applied[i], err = d.Migrate(t.Context()); err != nil {
					return err
				}
				if identities[i], err = d.Identity(t.Context()); err != nil {
					return err
				}
				alone[i], err = d.JoinNodes(t.Context(), NodeSpec{Alone: true})
				if errors.Is(err, ErrNodeRunning) {
					err = nil
				}
				return err
			})
		}
		must(t, g.Wait())
		if all := slices.Concat(applied...); !slices.Equal(all, migrationFiles(t, "mysql")) {
			t.Errorf("%d: applied %v", round, applied)
		}
		if identities[0] == "" || len(slices.Compact(identities)) != 1 {
			t.Errorf("%d: identities %v", round, identities)
		}
		running := 0
		for _, lock := range alone {
			if lock != nil {
				running++
				must(t, lock.Release())
			}
		}
		if running != 1 {
			t.Errorf("%d: %d nodes are alone", round, running)
		}
	}
}

// What was written through one member is read, and changed, through another.
func TestGaleraReadsWhatWasWrittenElsewhere(t *testing.T) {
	t.Parallel()
	ds := membersOf(t, testserver.Galera(t))
	migrated(t, ds[0])
	for i := range 100 {
		account := fmt.Sprint("account", i)
		writer, reader, third := ds[i%3], ds[(i+1)%3], ds[(i+2)%3]
		_, err := writer.Write().CreateUser(t.Context(), user(account))
		must(t, err)
		if _, err := reader.Read().GetUser(t.Context(), account); err != nil {
			t.Fatalf("%s is read elsewhere: %v", account, err)
		}
		_, err = reader.Write().CreateUser(t.Context(), user(account+"b"))
		must(t, err)
		if n, err := third.Write().SetPassword(t.Context(), user(account).Password, account+"b"); err != nil || n != 1 {
			t.Fatalf("%s is changed elsewhere: %d rows, %v", account, n, err)
		}
		must(t, writer.Tx(t.Context(), func(tx *Tx) error {
			_, err := tx.GetUser(t.Context(), account+"b")
			return err
		}))
	}
}

// A lock excludes the transactions of other members, also if what it protects is in other rows.
func TestGaleraLocksExclude(t *testing.T) {
	t.Parallel()
	ds := membersOf(t, testserver.Galera(t))
	migrated(t, ds[0])
	for name, lock := range map[string]func(ctx context.Context, tx *Tx) error{
		"account": func(ctx context.Context, tx *Tx) error { return tx.LockUser(ctx, "alice") },
		"conversation": func(ctx context.Context, tx *Tx) error {
			_, err := tx.LockConversation(ctx, "g1")
			return err
		},
	} {
		_, err := ds[0].Write().CreateUser(t.Context(), user("alice"))
		if err != nil && !IsDuplicate(err) {
			t.Fatal(err)
		}
		must(t, ds[0].Write().EnsureConversation(t.Context(), "g1", 1))
		const most = 20
		exec(t, ds[0].write, "DELETE FROM friends")
		var g errgroup.Group
		for i, d := range ds {
			for w := range 2 {
				g.Go(func() error {
					for n := range most {
						err := d.Tx(t.Context(), func(tx *Tx) error {
							if err := lock(t.Context(), tx); err != nil {
								return err
							}
							if friends, err := tx.CountFriends(t.Context(), "alice"); err != nil || friends >= most {
								return err
							}
							return tx.AddFriend(t.Context(), "alice", fmt.Sprintf("%d-%d-%d", i, w, n))
						})
						if err != nil {
							return err
						}
					}
					return nil
				})
			}
		}
		must(t, g.Wait())
		if friends, err := ds[1].Read().CountFriends(t.Context(), "alice"); err != nil || friends != most {
			t.Errorf("%s: %d friends instead of %d, %v", name, friends, most, err)
		}
	}
}
