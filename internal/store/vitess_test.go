//go:build vitess

// The tests of `make test-vitess`. They need a vtcombo, which takes minutes to build.

package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tim/gen/db"
	"tim/internal/testserver"
)

// onVitess runs a test on an empty keyspace of two shards, and on one of one shard.
func onVitess(t *testing.T, test func(t *testing.T, dsn string, sharded bool)) {
	t.Helper()
	for name, sharded := range map[string]bool{"sharded": true, "unsharded": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, testserver.Vitess(t, sharded).Address, sharded)
		})
	}
}

// Nodes that start at once migrate once, and find their migrations again, although no schema is named like the keyspace.
func TestVitessMigratesOnce(t *testing.T) {
	t.Parallel()
	onVitess(t, func(t *testing.T, dsn string, sharded bool) {
		var nodes errgroup.Group
		var mu sync.Mutex
		var applied []string
		for range 3 {
			d := mysqlAt(t, dsn)
			if d.Spread() != sharded {
				t.Errorf("spread: %v (%s)", d.Spread(), d.Server())
			}
			nodes.Go(func() error {
				names, err := d.Migrate(t.Context())
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, names...)
				return err
			})
		}
		must(t, nodes.Wait())
		if want := migrationFiles(t, "mysql"); !slices.Equal(applied, want) {
			t.Errorf("applied %v, want %v", applied, want)
		}
		d := mysqlAt(t, dsn)
		again, err := d.Migrate(t.Context())
		pending, pendingErr := d.Pending(t.Context())
		if err != nil || pendingErr != nil || len(again) > 0 || pending {
			t.Errorf("applied again: %v, %v; pending: %v, %v", again, err, pending, pendingErr)
		}
	})
}

// plan is a step of a vtgate's plan.
type plan struct {
	Operator string `json:"OperatorType"`
	Variant  string `json:"Variant"`
	Inputs   []plan `json:"Inputs"`
}

// routes returns the variants of all steps that ask shards, and whether rows of one step are each looked up by another.
func (p plan) routes() (variants []string, join bool) {
	join = p.Operator == "Join"
	switch p.Operator {
	case "Route", "Insert", "Update", "Delete":
		variants = append(variants, p.Variant)
	}
	for _, in := range p.Inputs {
		more, inner := in.routes()
		variants, join = append(variants, more...), join || inner
	}
	return variants, join
}

// Every statement names the shards of its rows, except those that are listed here, none of which is on the path of a message.
func TestVitessPlans(t *testing.T) {
	t.Parallel()
	scattered := []string{
		"AccountsByUsername", "UsersByAccountPrefix", "UsersByUsernamePrefix", "UsersWithoutLook", "OldestPasswords", // users by something else
		"Groups", "GroupsOf", "GroupMates", "MatesAmong", "CountOwned", "DisownGroups", // groups of an account
		"ExpiredSessions", "FilesToCheck", "Invites", // sweeps and operators' lists
	}
	joined := []string{
		"Conversations", "Standings", "Friends", "MemberUsers", // asked in parts, see spread.go
		"GetMarks",                // of one row
		"OldestMember", "FileUse", // when an owner leaves; when a file is swept
	}
	d := migrated(t, mysqlAt(t, testserver.Vitess(t, true).Address))
	all := statements(t)
	maps.Copy(all, pairsTexts())
	maps.Copy(all, d.bulk.texts())
	for name, text := range all {
		text = withLists(text)
		args := make([]any, strings.Count(text, "?"))
		for i := range args {
			args[i] = int64(i + 1) // each another, so that no two tables are asked on one shard by chance
		}
		var found string
		if err := d.read.QueryRowContext(t.Context(), "VEXPLAIN PLAN "+withoutHead(text), args...).Scan(&found); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var p plan
		must(t, json.Unmarshal([]byte(found), &p))
		variants, join := p.routes()
		if len(variants) == 0 {
			t.Errorf("%s: %s", name, found)
		}
		if scatters := slices.Contains(variants, "Scatter"); scatters != slices.Contains(scattered, name) {
			t.Errorf("%s: asks all shards: %v (%v)", name, scatters, variants)
		}
		if join != slices.Contains(joined, name) {
			t.Errorf("%s: looks rows up one by one: %v", name, join)
		}
	}
}

// asked runs a statement and returns the shards that the vtgate has asked, one for each question.
func asked(t *testing.T, d *DB, text string, args ...any) (shards []string) {
	t.Helper()
	rows, err := d.write.QueryContext(t.Context(), "VEXPLAIN /*vt+ EXECUTE_DML_QUERIES=1 */ QUERIES "+withoutHead(text), args...)
	if err != nil {
		t.Errorf("%s: %v", text, err)
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var number int
		var keyspace, shard, query string
		must(t, rows.Scan(&number, &keyspace, &shard, &query))
		if query != "begin" && query != "commit" {
			shards = append(shards, shard)
		}
	}
	must(t, rows.Err())
	return shards
}

// Each statement on the path of a message goes to one shard.
func TestVitessMessagePath(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Vitess(t, true).Address))
	all, b := statements(t), d.bulk
	maps.Copy(all, map[string]string{
		"ClaimSeqs": b.claimSeqs(1), "LockConversations": b.lockConversations(1), "EnsureConversations": b.ensureConversations(1),
		"SetLastSeqs": b.setLastSeqs(1), "AddDirectSides": b.addDirectSides(1), "InsertMessages": b.insertMessages(2), "MoveOwnMarks": b.moveOwnMarks(1),
		"AddFileUses": b.addFileUses(1), "SessionsOf": sessionsText().of(1), "FriendsAmong": friendsText().of(1), "MembersAmong": membersText().of(1),
		"PeersOf": peersText().of(1), "NumbersOf": numbersText().of(1), "NewestOf": newestText().of(1),
	})
	for name, text := range all {
		all[name] = strings.NewReplacer("/*SLICE:accounts*/", "", "/*SLICE:conversations*/", "", "/*SLICE:ids*/", "").Replace(text)
	}
	used := map[string]bool{}
	for n := range 8 { // on either shard
		account, peer, group, conversation, file := fmt.Sprint("a", n), fmt.Sprint("b", n), n, fmt.Sprint("c", n), fmt.Sprint("f", n)
		for _, step := range []struct {
			name string
			args []any
		}{
			{"EnsureConversations", []any{conversation, 1}},
			{"LockConversation", []any{conversation}},
			{"LockConversations", []any{conversation}},
			{"FriendsAmong", []any{account, peer}},
			{"IsMember", []any{group, account}},
			{"MembersAmong", []any{group, account}},
			{"JoinedSeq", []any{account, conversation}},
			{"MessageByClientID", []any{conversation, account, "x"}},
			{"SetLastSeqs", []any{conversation, 2, 0, 0}},
			{"ClaimSeqs", []any{conversation, 4, 2, 0, 3, 4}},
			{"AddDirectSides", []any{account, conversation, peer}},
			{"InsertMessages", []any{conversation, 1, account, "x", "body", 1, conversation, 2, peer, "y", "body", 1}},
			{"MoveOwnMarks", []any{account, conversation, 1, 1}},
			{"MoveMarks", []any{1, 1, account, conversation, 1, 1}},
			{"MoveDelivered", []any{1, account, conversation, 1}},
			{"Delivered", []any{account, conversation}},
			{"KnownFiles", []any{file}},
			{"TouchFiles", []any{1, file}},
			{"AddFileUses", []any{file, conversation, 1, nil}},
			{"SessionsOf", []any{account, "x"}},
			{"Sides", []any{account, "", 100}},
			{"SidesOf", []any{account, "", "", "", 100}},
			{"PeersOf", []any{account, conversation}},
			{"NumbersOf", []any{conversation}},
			{"NewestOf", []any{conversation, 1}},
			{"LastSeq", []any{conversation}},
			{"LastSeqs", []any{conversation}},
			{"MessagesAfter", []any{conversation, 0, 100}},
			{"MessagesBefore", []any{conversation, 9, 0, 100}},
			{"Members", []any{group}},
		} {
			shards := asked(t, d, all[step.name], step.args...)
			if len(shards) != 1 {
				t.Errorf("%s asks %v", step.name, shards)
			}
			for _, shard := range shards {
				used[shard] = true
			}
		}
	}
	if len(used) != 2 {
		t.Errorf("only %v were asked", used)
	}
	// Of many rows at once each shard is asked once.
	var ids []any
	for n := range 50 {
		ids = append(ids, fmt.Sprint("c", n))
	}
	if shards := asked(t, d, numbersText().of(50), ids...); len(shards) != 2 || shards[0] == shards[1] {
		t.Errorf("50 conversations are asked for at %v", shards)
	}
}

// Numbers of users and groups come from sequences, and looks and names are unique, on all shards together.
func TestVitessNumbersAndUniqueValues(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Vitess(t, true).Address))
	ids := map[string]map[int64]bool{"user": {}, "group": {}}
	null := func(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
	for n := range 40 {
		name := fmt.Sprint("n", n)
		must(t, d.Tx(t.Context(), func(tx *Tx) error {
			user, err := tx.CreateUser(t.Context(), db.CreateUserParams{Account: name, Username: name, Look: null(name), LookCased: null(name)})
			if err != nil {
				return err
			}
			group, err := tx.CreateGroup(t.Context(), name, null(name), "open")
			ids["user"][user], ids["group"][group] = true, true
			return err
		}))
	}
	for kind, found := range ids {
		if len(found) != 40 || slices.Max(slices.Collect(maps.Keys(found))) > 200 || found[0] {
			t.Errorf("numbers of each %s: %v", kind, slices.Sorted(maps.Keys(found)))
		}
	}
	for n := range 8 {
		other := fmt.Sprint("other", n)
		for what, again := range map[string]func(tx *Tx) error{
			"look": func(tx *Tx) error {
				_, err := tx.CreateUser(t.Context(), db.CreateUserParams{Account: other, Username: "x", Look: null("n7"), LookCased: null(other)})
				return err
			},
			"cased look": func(tx *Tx) error {
				_, err := tx.CreateUser(t.Context(), db.CreateUserParams{Account: other, Username: "x", Look: null(other), LookCased: null("n7")})
				return err
			},
			"account": func(tx *Tx) error {
				_, err := tx.CreateUser(t.Context(), db.CreateUserParams{Account: "n7", Username: "x", Look: null(other), LookCased: null(other)})
				return err
			},
			"group": func(tx *Tx) error {
				_, err := tx.CreateGroup(t.Context(), "n7", null("x"), "open")
				return err
			},
		} {
			if err := d.Tx(t.Context(), again); !IsDuplicate(err) {
				t.Errorf("a second %s: %v", what, err)
			}
		}
	}
	if rows, err := d.Read().LookAlikes(t.Context(), null("n7"), null("n8")); err != nil || len(rows) != 2 {
		t.Errorf("alike: %v, %v", rows, err)
	}
}

// conversationsOf returns a conversation of each shard.
func conversationsOf(t *testing.T, d *DB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for n := range 40 {
		id := fmt.Sprint("c", n)
		for _, shard := range asked(t, d, "SELECT id FROM conversation WHERE id = ?", id) {
			found[shard] = id
		}
	}
	if len(found) != 2 {
		t.Fatalf("conversations are on %v", found)
	}
	return found
}

// Two transactions that wait for one another on two shards are ended by the time limit of a lock, and one of them runs again.
func TestVitessDeadlockOfTwoShards(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Vitess(t, true).Address))
	ids := slices.Collect(maps.Values(conversationsOf(t, d)))
	must(t, d.Write().EnsureConversation(t.Context(), ids[0], 1))
	must(t, d.Write().EnsureConversation(t.Context(), ids[1], 1))
	var both sync.WaitGroup
	both.Add(2)
	var work errgroup.Group
	runs := make([]int, 2)
	for i := range 2 {
		work.Go(func() error {
			return d.Tx(t.Context(), func(tx *Tx) error {
				runs[i]++
				if _, err := tx.LockConversation(t.Context(), ids[i]); err != nil {
					return err
				}
				if runs[i] == 1 {
					both.Done()
					both.Wait()
				}
				_, err := tx.LockConversation(t.Context(), ids[1-i])
				return err
			})
		})
	}
	must(t, work.Wait())
	if runs[0]+runs[1] < 3 {
		t.Errorf("%v runs", runs)
	}
}

// A transaction on two shards is committed on both or on none, also when its connection ends because Vitess stands still in between. A
// kill can't be tried here: the tablets of a vtcombo share the table of what was prepared, and each takes the others' rows for its own.
func TestVitessCommitsOnAllShards(t *testing.T) {
	t.Parallel()
	server := testserver.Vitess(t, true)
	migrated(t, mysqlAt(t, server.Address))
	d := mysqlAt(t, server.Address+"?readTimeout=1s")
	ids := slices.Collect(maps.Values(conversationsOf(t, d)))
	for _, id := range ids {
		must(t, d.Write().EnsureConversation(t.Context(), id, 1))
	}
	var mu sync.Mutex
	acknowledged := map[int64]bool{}
	var next atomic.Int64
	for range 4 {
		var writers errgroup.Group
		many := make(chan struct{})
		until := next.Load() + 200
		for range 16 {
			writers.Go(func() error {
				for {
					seq := next.Add(1)
					if seq == until {
						close(many)
					}
					err := d.Tx(t.Context(), func(tx *Tx) error {
						for _, id := range ids {
							if err := tx.InsertMessage(t.Context(), message(id, seq)); err != nil {
								return err
							}
						}
						return nil
					})
					switch {
					case err == nil:
						mu.Lock()
						acknowledged[seq] = true
						mu.Unlock()
					case IsUnavailable(err):
						return nil // Vitess stands still
					default:
						return err
					}
				}
			})
		}
		<-many
		server.Pause()
		must(t, writers.Wait())
		server.Resume()
	}
	stored := func(id string) (seqs map[int64]bool) {
		seqs = map[int64]bool{}
		rows, err := d.Read().MessagesAfter(t.Context(), id, -1, 10_000)
		must(t, err)
		for _, row := range rows {
			seqs[row.Seq] = true
		}
		return seqs
	}
	first, second := stored(ids[0]), stored(ids[1])
	for end := time.Now().Add(30 * time.Second); !maps.Equal(first, second) && time.Now().Before(end); {
		first, second = stored(ids[0]), stored(ids[1])
	}
	for seq := range acknowledged {
		if !first[seq] {
			t.Errorf("%d was committed and is lost", seq)
		}
	}
	if !maps.Equal(first, second) || len(first) < 500 {
		maps.DeleteFunc(first, func(seq int64, _ bool) bool { return second[seq] })
		t.Errorf("%d are stored on one shard; these not on the other: %v", len(second), slices.Sorted(maps.Keys(first)))
	}
}
