package store

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nfd = "e\u0301" // é in two characters

// dump is the rows of an old database, and what they become.
type dump struct {
	collations            []string // the first that the server knows; none for the original's
	users, friends        []string
	groups, members       []string
	wantUsers, wantPairs  []string
	wantGroups, wantSides []string // members of groups, which their participants must equal
	found                 map[string]int
}

func dumps() map[string]dump {
	return map[string]dump{
		"nothing odd": {
			users: []string{"a", "b"}, friends: []string{"a|b", "b|a"}, groups: []string{"1|a"}, members: []string{"1|a", "1|b"},
			wantUsers: []string{"a", "b"}, wantPairs: []string{"a|b", "b|a"}, wantGroups: []string{"1|a"}, wantSides: []string{"1|a", "1|b"},
		},
		"orphans": {
			users: []string{"a"}, friends: []string{"a|ghost", "ghost|a", "ghost|other"}, groups: []string{"1|ghost", "2|NULL", "3|"},
			members:   []string{"1|a", "1|ghost", "9|a", "9|ghost", "0|a"},
			wantUsers: []string{"a"}, wantGroups: []string{"1|NULL", "2|NULL", "3|NULL"}, wantSides: []string{"1|a"},
			found: map[string]int{foundStranger: 3, foundOutsider: 4, foundNobody: 2},
		},
		"case, accents and spaces": {
			users: []string{"Alice", "bob ", "Ünal", "张三", " lead", "c", "Ⅷ"},
			friends: []string{
				"alice|BOB", "bob|aLICE", "unal|alice", "ALICE|ÜNAL  ", "张三 |c", "c|张三", " LEAD|c", "lead|c", "c|C", "Alice|Ⅷ",
			},
			groups: []string{"1|ALICE", "2|bob", "3|unal"}, members: []string{"1|alice", "1|bob", "2|BOB  ", "2|ünal", "3|张三 ", "3|lead"},
			wantUsers:  []string{" lead", "Alice", "bob ", "c", "Ünal", "Ⅷ", "张三"},
			wantPairs:  []string{" lead|c", "Alice|bob ", "Alice|Ünal", "Alice|Ⅷ", "bob |Alice", "c|张三", "Ünal|Alice", "张三|c"},
			wantGroups: []string{"1|Alice", "2|bob ", "3|Ünal"}, wantSides: []string{"1|Alice", "1|bob ", "2|bob ", "2|Ünal", "3|张三"},
			found: map[string]int{foundFriend: 6, foundStranger: 2, foundMember: 5, foundOutsider: 1, foundCreator: 3},
		},
		"two forms of one letter": {
			users: []string{"jos" + nfd, nfd + "/x", "re\u0301sume\u0301", "r\u00e9sum\u00e9", "\u212b"}, // the last but one is there in both forms
			friends: []string{
				"jos" + nfd + "|\u212b", "\u212b|jos\u00e9", "JOS" + nfd + "|" + nfd + "/x", "re\u0301sume\u0301|r\u00e9sum\u00e9",
			},
			groups: []string{"1|jos" + nfd}, members: []string{"1|jos\u00e9", "1|" + nfd + "/x", "1|\u00c5"},
			wantUsers: []string{"jos\u00e9", "re\u0301sume\u0301", "r\u00e9sum\u00e9", "\u00c5", "\u00e9/x"},
			wantPairs: []string{
				"jos\u00e9|\u00c5", "jos\u00e9|\u00e9/x", "re\u0301sume\u0301|r\u00e9sum\u00e9", "\u00c5|jos\u00e9",
			},
			wantGroups: []string{"1|jos\u00e9"}, wantSides: []string{"1|jos\u00e9", "1|\u00c5", "1|\u00e9/x"},
			found: map[string]int{foundRenamed: 3, foundUnusable: 1, foundFriend: 3, foundMember: 1, foundCreator: 1},
		},
		"odd accounts": {
			users:   []string{"..", ".", "a/b", "100%", "%2e%2e", "a\tb", "x'y\"z\\", "all", "?"},
			friends: []string{"..|.", "a/B|100%", "X'Y\"Z\\|all"}, groups: []string{"1|.."}, members: []string{"1|..", "1|A/B", "1|%2E%2E", "1|?"},
			wantUsers: []string{"%2e%2e", ".", "..", "100%", "?", "a\tb", "a/b", "all", "x'y\"z\\"},
			wantPairs: []string{"..|.", "a/b|100%", "x'y\"z\\|all"}, wantGroups: []string{"1|.."},
			wantSides: []string{"1|%2e%2e", "1|..", "1|?", "1|a/b"},
			found:     map[string]int{foundFriend: 2, foundMember: 2},
		},
		"a collation that tells accents apart": {
			collations: []string{"utf8mb4_general_nopad_ci", "utf8mb4_0900_as_ci"}, // of MariaDB, of MySQL
			users:      []string{"bob", "Ann"}, friends: []string{"bob |ann", "BOB|ann"},
			wantUsers: []string{"Ann", "bob"}, wantPairs: []string{"bob|Ann"},
			found: map[string]int{foundStranger: 1, foundFriend: 1},
		},
		"utf8 of three bytes": {
			collations: []string{"utf8mb3_general_ci"},
			users:      []string{"José", "张三"}, friends: []string{"jose|张三 ", "张三|JOSÉ"}, groups: []string{"7|JOSE"}, members: []string{"7|jose"},
			wantUsers: []string{"José", "张三"}, wantPairs: []string{"José|张三", "张三|José"}, wantGroups: []string{"7|José"}, wantSides: []string{"7|José"},
			found: map[string]int{foundFriend: 2, foundMember: 1, foundCreator: 1},
		},
		"latin": {
			collations: []string{"latin1_swedish_ci"},
			users:      []string{"José"}, friends: []string{"JOSÉ|nobody"}, groups: []string{"7|JOSÉ"}, members: []string{"7|josé"},
			wantUsers: []string{"José"}, wantGroups: []string{"7|José"}, wantSides: []string{"7|José"},
			found: map[string]int{foundStranger: 1, foundMember: 1, foundCreator: 1},
		},
		"many": many(),
	}
}

// many has more rows than a page.
func many() dump {
	const n = 2*takeoverPage + 1
	d := dump{users: []string{"a"}, wantUsers: []string{"a"}, groups: []string{"1|a"}, wantGroups: []string{"1|a"}, members: []string{"1|A"}, wantSides: []string{"1|a"}}
	for i := range n {
		d.friends = append(d.friends, fmt.Sprintf("a|ghost %d", i))
		d.members = append(d.members, fmt.Sprintf("%d|a", i+2), fmt.Sprintf("1|ghost %d", i))
	}
	d.found = map[string]int{foundStranger: n, foundOutsider: 2 * n, foundMember: 1}
	return d
}

// load fills a database of the original's schema.
func (d dump) load(t *testing.T, on *DB) {
	t.Helper()
	for _, table := range []string{"friends", "userofgroup", "`group`", "`user`"} {
		exec(t, on.write, "DELETE FROM "+table)
	}
	insert := func(table, columns string, rows []string) {
		for page := range slices.Chunk(rows, 200) {
			var values []string
			var args []any
			for _, row := range page {
				parts := strings.Split(row, "|")
				values = append(values, "("+strings.TrimSuffix(strings.Repeat("?, ", len(parts)), ", ")+")")
				for _, part := range parts {
					if part == "NULL" {
						args = append(args, nil)
					} else {
						args = append(args, part)
					}
				}
			}
			exec(t, on.write, "INSERT INTO "+table+" ("+columns+") VALUES "+strings.Join(values, ", "), args...)
		}
	}
	var users, groups []string
	for _, account := range d.users {
		users = append(users, account+"|x")
	}
	for _, group := range d.groups {
		id, _, _ := strings.Cut(group, "|")
		groups = append(groups, group+"|name "+id)
	}
	insert("`user`", "account, username", users)
	insert("friends", "`user`, friend", d.friends)
	insert("`group`", "GroupID, creator, GroupName", groups)
	insert("userofgroup", "GroupID, account", d.members)
}

func (d dump) check(t *testing.T, on *DB) {
	t.Helper()
	join := func(parts ...string) string {
		if isMySQL(on) {
			return "CONCAT(" + strings.Join(parts, ", '|', ") + ")"
		}
		return strings.Join(parts, " || '|' || ")
	}
	for what, tt := range map[string]struct {
		query string
		want  []string
	}{
		"users":        {"SELECT account FROM `user`", d.wantUsers},
		"friends":      {"SELECT " + join("`user`", "friend") + " FROM friends", d.wantPairs},
		"groups":       {"SELECT " + join("GroupID", "COALESCE(creator, 'NULL')") + " FROM `group`", d.wantGroups},
		"members":      {"SELECT " + join("GroupID", "account") + " FROM userofgroup", d.wantSides},
		"participants": {"SELECT " + join("group_id", "account") + " FROM participant", d.wantSides},
	} {
		got := texts(t, on.read, tt.query)
		slices.Sort(got)
		want := slices.Sorted(slices.Values(tt.want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func (d dump) checkFound(t *testing.T, what string, found Takeover) {
	t.Helper()
	got := map[string]int{}
	for _, f := range found.Findings {
		if len(f.Rows) != min(f.Count, MostRows) {
			t.Errorf("%s names %d of %d rows: %s", what, len(f.Rows), f.Count, f.What)
		}
		if f.What != foundPassword {
			got[f.What] = f.Count
		}
	}
	want := d.found
	if want == nil {
		want = map[string]int{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestTakeover: a report says beforehand what the migration does, and changes nothing.
func TestTakeover(t *testing.T) {
	t.Parallel()
	for name, d := range dumps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := takenOver(t, append(d.collations, "utf8mb4_general_ci")...)
			d.load(t, on)
			before := content(t, on)
			said, err := on.Report(t.Context())
			must(t, err)
			d.checkFound(t, "report", said)
			if diff := cmp.Diff(before, content(t, on)); diff != "" {
				t.Errorf("the report changed:\n%s", diff)
			}
			_, found, err := on.MigrateAndReport(t.Context())
			must(t, err)
			if diff := cmp.Diff(said, found); diff != "" {
				t.Errorf("said and done differ:\n%s", diff)
			}
			d.check(t, on)
			again, err := on.Report(t.Context())
			if err != nil || len(again.Findings) != 0 {
				t.Errorf("afterwards: %v, %v", again, err)
			}
		})
	}
}

// content is every row of an old database.
func content(t *testing.T, d *DB) []string {
	t.Helper()
	all := texts(t, d.read, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1")
	for _, query := range []string{
		"SELECT CONCAT_WS('|', id, HEX(account), password) FROM `user` ORDER BY id", "SELECT CONCAT_WS('|', HEX(`user`), HEX(friend)) FROM friends ORDER BY 1",
		"SELECT CONCAT_WS('|', GroupID, HEX(account)) FROM userofgroup ORDER BY 1", "SELECT CONCAT_WS('|', GroupID, HEX(creator)) FROM `group` ORDER BY 1",
	} {
		all = append(all, texts(t, d.read, query)...)
	}
	return all
}

// TestTakeoverAfterAnEarlierVersion: the tables were converted by it, and it has served the database.
func TestTakeoverAfterAnEarlierVersion(t *testing.T) {
	t.Parallel()
	for name, d := range dumps() {
		if d.collations != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := takenOver(t, "utf8mb4_general_ci")
			d.load(t, on)
			files, version := earlier(t, on)
			if version != 17 {
				t.Fatalf("0.2.0 had 17 migrations, not %d of %v", version, files)
			}
			found, err := on.Report(t.Context())
			must(t, err)
			d.checkFound(t, "report", found)
			migrated(t, on)
			d.check(t, on)
		})
	}
}

// earlier applies the migrations of 0.2.0.
func earlier(t *testing.T, d *DB) (applied []string, version int64) {
	t.Helper()
	m, err := d.engine.migrations(d.write)
	must(t, err)
	defer m.close()
	files, err := m.files()
	must(t, err)
	applied, err = m.upTo(t.Context(), files, 17)
	must(t, err)
	o, err := m.look(t.Context(), files)
	must(t, err)
	return applied, o.version
}

// TestTakeoverGoesOnAfterACrash at any statement.
func TestTakeoverGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	d := dumps()["case, accents and spaces"]
	on := takenOver(t, "utf8mb4_general_ci")
	d.load(t, on)
	earlier(t, on)
	m, err := on.engine.migrations(on.write)
	must(t, err)
	defer m.close()
	for _, left := range []string{"friends", "members", "creators"} { // a process that dies has done a part
		conn, err := m.pool.Conn(t.Context())
		must(t, err)
		half := takeover{conn: conn, mysql: true, change: true, collation: originalCollation, mapped: map[string]string{}}
		steps := map[string]func(context.Context) error{"friends": half.friends, "members": half.members, "creators": half.creators}
		must(t, half.prepare(t.Context()))
		if left != "members" { // which counts members, and needs a later column
			must(t, steps[left](t.Context()))
		}
		must(t, half.drop(t.Context()))
		must(t, conn.Close())
	}
	migrated(t, on)
	d.check(t, on)
	if odd := texts(t, on.read, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'tim_%'"); len(odd) != 0 {
		t.Errorf("left behind: %v", odd)
	}
}

// TestTakeoverOfAnEmbeddedDatabase: accounts there have always been compared by their bytes. An operator may have deleted one.
func TestTakeoverOfAnEmbeddedDatabase(t *testing.T) {
	t.Parallel()
	on := sqliteAt(t, filepath.Join(t.TempDir(), "tim.db"))
	m, err := on.engine.migrations(on.write)
	must(t, err)
	files, err := m.files()
	must(t, err)
	_, err = m.upTo(t.Context(), files, versionOf(files, accountsByText)-1)
	must(t, err)
	d := dump{
		users: []string{"a", "b", "B"}, friends: []string{"a|b", "b|a", "a|ghost", "ghost|a", "A|b"},
		groups: []string{"1|ghost", "2|B"}, members: []string{"1|a", "1|ghost", "2|B", "2|A", "9|a"},
		wantUsers: []string{"B", "a", "b"}, wantPairs: []string{"a|b", "b|a"}, wantGroups: []string{"1|NULL", "2|B"}, wantSides: []string{"1|a", "2|B"},
		found: map[string]int{foundStranger: 3, foundOutsider: 3, foundNobody: 1},
	}
	d.load(t, on)
	exec(t, on.write, "INSERT INTO participant SELECT account, 'g' || GroupID, NULL, GroupID, 0, 0, 0, 0 FROM userofgroup")
	exec(t, on.write, "INSERT INTO participant VALUES ('ghost', 'd1', 'a', NULL, 0, 0, 0, 0)")
	exec(t, on.write, "INSERT INTO `session` (account, id, device, created_at, used_at, expires_at) VALUES ('ghost', 'x', '', 1, 1, 1), ('a', 'y', '', 1, 1, 1)")
	said, err := on.Report(t.Context())
	must(t, err)
	d.checkFound(t, "report", said)
	_, found, err := on.MigrateAndReport(t.Context())
	must(t, err)
	if diff := cmp.Diff(said, found); diff != "" {
		t.Error(diff)
	}
	d.check(t, on)
	if got := texts(t, on.read, "SELECT account FROM `session`"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("sessions of %v", got)
	}
}

func TestTakeoverNamesErasedPasswords(t *testing.T) {
	t.Parallel()
	on := takenOver(t, "utf8mb4_general_ci")
	want := Takeover{Findings: []Finding{{What: foundPassword, Count: 3, Rows: []string{`"a"`, `"b"`, `"c"`}}}}
	said, err := on.Report(t.Context())
	must(t, err)
	_, done, err := on.MigrateAndReport(t.Context())
	must(t, err)
	for _, got := range []Takeover{said, done} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestNewerDatabaseIsRefused, and nothing is changed.
func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		exec(t, d.write, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (10000, 1)")
		applied, err := d.Migrate(t.Context())
		if err == nil || !strings.Contains(err.Error(), "newer version") || len(applied) > 0 {
			t.Errorf("%v, %v", applied, err)
		}
		if _, err := d.Report(t.Context()); err == nil {
			t.Error("a report")
		}
	})
}
