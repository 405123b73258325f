package store

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"

	"tim/internal/testserver"
	sqlfiles "tim/sql"
)

// takenOver returns a database with the tables and rows of the original server: testdata/seed.sql, its published dump, restored
// into a server and dumped from there. The tables get the first of the collations that the server knows.
func takenOver(t *testing.T, collations ...string) *DB {
	t.Helper()
	seed, err := os.ReadFile("testdata/seed.sql")
	must(t, err)
	const dumped = "utf8mb4_general_ci"
	if strings.Count(string(seed), dumped) != 4 {
		t.Fatal("the dump has changed its form")
	}
	dsn := testserver.Database(t)
	pool, err := sql.Open("mysql", dsn+"?multiStatements=true")
	must(t, err)
	defer pool.Close()
	known := texts(t, pool, "SELECT collation_name FROM information_schema.collations")
	i := slices.IndexFunc(collations, func(name string) bool { return slices.Contains(known, name) })
	if i < 0 {
		t.Fatalf("the server knows none of the collations %v", collations)
	}
	collation := collations[i]
	charset, _, _ := strings.Cut(collation, "_")
	exec(t, pool, strings.NewReplacer("DEFAULT CHARSET=utf8mb4 COLLATE="+dumped, "DEFAULT CHARSET="+charset+" COLLATE="+collation).Replace(string(seed)))
	return mysqlAt(t, dsn)
}

func TestMigrateTakesOver(t *testing.T) {
	t.Parallel()
	empty := serverSchema(t, migrated(t, mysqlAt(t, testserver.Database(t))))
	if len(empty) < 50 {
		t.Fatalf("the schema has %d lines only", len(empty))
	}
	for name, collations := range map[string][]string{
		"as dumped": {"utf8mb4_general_ci"},
		"unicode":   {"utf8mb4_unicode_ci"},
		// MariaDB doesn't know the dump's collation, which is the first; the other is the nearest one.
		"as MySQL 8 restores it": {"utf8mb4_0900_ai_ci", "utf8mb4_unicode_520_nopad_ci"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := takenOver(t, collations...)
			applied, err := d.Migrate(t.Context())
			must(t, err)
			if want := migrationFiles(t, "mysql"); !slices.Equal(applied, want) {
				t.Errorf("applied %v, want %v", applied, want)
			}
			if diff := cmp.Diff(empty, serverSchema(t, d)); diff != "" {
				t.Errorf("taken over and made anew differ:\n%s", diff)
			}
			checkRows(t, d)
			checkUse(t, d)
			again, err := d.Migrate(t.Context())
			if err != nil || len(again) != 0 {
				t.Errorf("migrating again applied %v, %v", again, err)
			}
		})
	}
}

func migrationFiles(t *testing.T, engine string) []string {
	t.Helper()
	entries, err := sqlfiles.Schema.ReadDir("schema/" + engine)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// serverSchema describes all tables, columns and indexes.
func serverSchema(t *testing.T, d *DB) []string {
	t.Helper()
	return slices.Concat(
		texts(t, d.read, `SELECT CONCAT_WS(' ', table_name, engine, table_collation)
			FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name`),
		texts(t, d.read, `SELECT CONCAT_WS(' ', table_name, ordinal_position, column_name, column_type,
				is_nullable, COALESCE(column_default, '-'), COALESCE(collation_name, '-'), extra)
			FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`),
		texts(t, d.read, `SELECT CONCAT_WS(' ', table_name, index_name, non_unique, seq_in_index, column_name)
			FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index`))
}

func checkRows(t *testing.T, d *DB) {
	t.Helper()
	const (
		of123 = "$2a$10$Z1bN7FPY36VUhZQsVXjuT.CmQT91v9B.VBjsCgBV3DvPESQF6iq6e"
		ofD   = "$2a$10$uzQz9Clu9nJIfzf/pZqLheKkfGW2xhuQkSqJ9h63gAFk0zsFoNGoW"
	)
	for _, table := range []struct {
		query string
		want  []string
	}{
		{
			"SELECT CONCAT_WS('|', id, account, COALESCE(password, 'NULL'), username, COALESCE(age, 'NULL')," +
				" COALESCE(sex, 'NULL'), OnlineStatus) FROM `user` ORDER BY id",
			[]string{
				"1|a|NULL|a|NULL|NULL|1", "2|b|NULL|b|NULL|NULL|0", "3|c|NULL|c|NULL|NULL|0",
				"5|123|" + of123 + "|lxc|1|male|0", "6|d|" + ofD + "|lxc|1|male|0",
			},
		},
		{
			"SELECT CONCAT_WS('|', `user`, friend) FROM friends ORDER BY `user`, friend",
			[]string{"a|c", "a|d", "c|a", "c|d", "d|a", "d|c"},
		},
		{
			"SELECT CONCAT_WS('|', GroupID, GroupName, COALESCE(creator, 'NULL')) FROM `group`",
			[]string{"1|test|NULL"},
		},
		{
			"SELECT CONCAT_WS('|', GroupID, account, joined_at) FROM userofgroup ORDER BY account",
			[]string{"1|b|0", "1|c|0", "1|d|0"},
		},
		{"SELECT CONCAT_WS('|', id, last_seq) FROM conversation", []string{"g1|0"}},
		{
			"SELECT CONCAT_WS('|', account, conversation, COALESCE(peer, 'NULL'), group_id, joined_seq, delivered_seq, received_seq, read_seq)" +
				" FROM participant ORDER BY account",
			[]string{"b|g1|NULL|1|0|0|0|0", "c|g1|NULL|1|0|0|0|0", "d|g1|NULL|1|0|0|0|0"},
		},
		{
			"SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = DATABASE()" +
				" AND column_name IN ('account', 'user', 'friend', 'creator', 'sender', 'peer')",
			[]string{"utf8mb4_bin"},
		},
	} {
		if diff := cmp.Diff(table.want, texts(t, d.read, table.query)); diff != "" {
			t.Errorf("%s:\n%s", table.query, diff)
		}
	}
	for _, hash := range []string{of123, ofD} {
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte("123456")); err != nil {
			t.Errorf("123456 is not the password of %s: %v", hash, err)
		}
	}
}

// checkUse continues to use the database where the original server stopped.
func checkUse(t *testing.T, d *DB) {
	t.Helper()
	ctx := t.Context()
	if group, err := d.Read().GetGroup(ctx, 1); err != nil || group.Groupname != "test" || group.Creator.Valid {
		t.Errorf("group 1: %+v, %v", group, err)
	}
	if members, err := d.Read().Members(ctx, 1); err != nil || !slices.Equal(members, []string{"b", "c", "d"}) {
		t.Errorf("members %v, %v", members, err)
	}
	if id, err := d.Write().CreateUser(ctx, user("new")); err != nil || id <= 6 { // members of a cluster leave ids out
		t.Errorf("the next account has the id %d, %v", id, err)
	}
	if id, err := d.Write().CreateGroup(ctx, "new", sql.NullString{}, "open"); err != nil || id <= 1 {
		t.Errorf("the next group has the id %d, %v", id, err)
	}
	must(t, d.Write().AddMember(ctx, 1, "a", time.Now().UnixMilli()))
	if oldest, err := d.Read().OldestMember(ctx, "g1", 1); err != nil || oldest != "b" {
		t.Errorf("the oldest member is %q, %v", oldest, err)
	}
}

// TestMigrateErasesOnlyWhatIsNoHash has passwords that resemble a hash.
func TestMigrateErasesOnlyWhatIsNoHash(t *testing.T) {
	t.Parallel()
	d := takenOver(t, "utf8mb4_general_ci")
	kept := []string{
		"$2b$12$" + strings.Repeat("x", 53), "$2y$04$" + strings.Repeat("x", 53), "$2a$10$" + strings.Repeat("/", 53),
	}
	erased := []string{
		"", "$2a$10$", "$2a$10$" + strings.Repeat("x", 52), "$2a$10$" + strings.Repeat("x", 54), strings.Repeat("x", 60),
		"$1a$10$" + strings.Repeat("x", 53), "密码",
	}
	for i, password := range append(slices.Clone(kept), erased...) {
		exec(t, d.write, "INSERT INTO user (account, username, password) VALUES (?, 'x', ?)", "x"+string(rune('a'+i)), password)
	}
	migrated(t, d)
	got := texts(t, d.read, "SELECT password FROM user WHERE username = 'x' ORDER BY account")
	if diff := cmp.Diff(append(kept, slices.Repeat([]string{"NULL"}, len(erased))...), got); diff != "" {
		t.Error(diff)
	}
}

func TestMigratesAtOnce(t *testing.T) {
	t.Parallel()
	path, dsn := filepath.Join(t.TempDir(), "tim.db"), testserver.Database(t)
	for engine, open := range map[string]func(t *testing.T) *DB{
		"sqlite": func(t *testing.T) *DB { return sqliteAt(t, path) },
		"mysql":  func(t *testing.T) *DB { return mysqlAt(t, dsn) },
	} {
		t.Run(engine, func(t *testing.T) {
			nodes := []*DB{open(t), open(t), open(t)}
			applied := make([][]string, len(nodes))
			var g errgroup.Group
			for i, d := range nodes {
				g.Go(func() (err error) {
					applied[i], err = d.Migrate(t.Context())
					return err
				})
			}
			must(t, g.Wait())
			if diff := cmp.Diff(migrationFiles(t, engine), slices.Concat(applied...)); diff != "" {
				t.Errorf("together they applied:\n%s", diff)
			}
		})
	}
}

// TestMigrateGoesOnAfterACrash between any migration's statement and the note that it was applied.
func TestMigrateGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	d := migrated(t, takenOver(t, "utf8mb4_general_ci"))
	want := serverSchema(t, d)
	exec(t, d.write, "DELETE FROM goose_db_version WHERE version_id > 0")
	applied, err := d.Migrate(t.Context())
	must(t, err)
	if diff := cmp.Diff(migrationFiles(t, "mysql"), applied); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, serverSchema(t, d)); diff != "" {
		t.Error(diff)
	}
	checkRows(t, d)
	if again, err := d.Migrate(t.Context()); err != nil || len(again) != 0 {
		t.Errorf("migrating again applied %v, %v", again, err)
	}
}

// TestMigrateKeepsWhatConversationsThereAre: a node of the version before may have created them, or the same migration before a
// crash.
func TestMigrateKeepsWhatConversationsThereAre(t *testing.T) {
	t.Parallel()
	d := migrated(t, takenOver(t, "utf8mb4_general_ci"))
	exec(t, d.write, "UPDATE conversation SET last_seq = 5, created_at = 7")
	exec(t, d.write, "DELETE FROM participant WHERE account = 'b'")
	exec(t, d.write, "UPDATE participant SET joined_seq = 1, delivered_seq = 2, received_seq = 3, read_seq = 2 WHERE account = 'c'")
	exec(t, d.write, "INSERT INTO `group` (GroupID, GroupName) VALUES (2, 'another')")
	exec(t, d.write, "DELETE FROM goose_db_version WHERE version_id > 13")
	migrated(t, d)
	got := texts(t, d.read, "SELECT CONCAT_WS('|', id, last_seq, created_at) FROM conversation ORDER BY id")
	if diff := cmp.Diff([]string{"g1|5|7", "g2|0|0"}, got); diff != "" {
		t.Errorf("conversations (-want +got):\n%s", diff)
	}
	got = texts(t, d.read, "SELECT CONCAT_WS('|', account, joined_seq, delivered_seq, received_seq, read_seq) FROM participant ORDER BY account")
	if diff := cmp.Diff([]string{"b|0|0|0|0", "c|1|2|3|2", "d|0|0|0|0"}, got); diff != "" {
		t.Errorf("participants (-want +got):\n%s", diff)
	}
}

// TestMigrateRefusesForeignTables, and continues when they are gone.
func TestMigrateRefusesForeignTables(t *testing.T) {
	t.Parallel()
	d := mysqlAt(t, testserver.Database(t))
	exec(t, d.write, "CREATE TABLE session (x int PRIMARY KEY)")
	applied, err := d.Migrate(t.Context())
	if mysqlNumber(err) != tableExists || len(applied) != 9 {
		t.Errorf("applied %v, %v", applied, err)
	}
	exec(t, d.write, "DROP TABLE session")
	rest, err := d.Migrate(t.Context())
	must(t, err)
	if diff := cmp.Diff(migrationFiles(t, "mysql"), append(applied, rest...)); diff != "" {
		t.Error(diff)
	}
}

func TestMigrateWaitsForTheOther(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tim.db")
	for name, d := range map[string]*DB{"sqlite": sqliteAt(t, path), "mysql": mysqlAt(t, testserver.Database(t))} {
		held, err := d.engine.lock(t.Context(), lockSpec{name: "migrate"})
		must(t, err)
		_, err = d.Migrate(within(t, 200*time.Millisecond))
		if err == nil || errors.Is(err, errLocked) || !IsUnavailable(err) {
			t.Errorf("%s: while another one migrates: %v", name, err)
		}
		must(t, held.release())
		migrated(t, d)
	}
}
