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
	"testing"

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
	Variant  string
	Inputs   []plan
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
