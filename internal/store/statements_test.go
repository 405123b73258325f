package store

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/internal/testserver"
	sqlfiles "tim/sql"
)

// statements returns the texts in gen/db by their names.
func statements(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../gen/db/*.sql.go")
	must(t, err)
	all := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, decl := range parsed.Decls {
			constant, ok := decl.(*ast.GenDecl)
			if !ok || constant.Tok != token.CONST {
				continue
			}
			for _, spec := range constant.Specs {
				text := constantText(t, spec.(*ast.ValueSpec).Values[0])
				all[queryName(text)] = text
			}
		}
	}
	if len(all) < 30 || all[""] != "" {
		t.Fatalf("gen/db has changed its form: found %d statements, %q without a name", len(all), all[""])
	}
	return all
}

// pairsTexts returns the texts of pairs.go by their names, each for several pairs.
func pairsTexts() map[string]string {
	all := map[string]string{}
	for _, text := range []pairsText{sessionsText(), friendsText(), membersText(), matesText(), peersText(), numbersText(), newestText()} {
		all[queryName(text.head)] = withOthers(text.of(3))
	}
	return all
}

// texts returns those of bulk.go by their names, each for several rows.
func (b bulk) texts() map[string]string {
	texts := make(map[string]string)
	for _, text := range []string{b.lockConversations(3), b.insertMessages(3), b.setLastSeqs(3), b.claimSeqs(3), b.moveOwnMarks(3), b.addFileUses(3)} {
		texts[queryName(text)] = text
	}
	return texts
}

// withOthers makes a statement about several pairs name different ones. The first keeps its placeholders.
func withOthers(text string) string {
	args := strings.Count(text, "?")
	parts := strings.Split(text, "?")
	for i := range parts[:args] {
		if i < args/3 {
			parts[i] += "?"
		} else {
			parts[i] += fmt.Sprintf("'%d'", 1+3*i/args)
		}
	}
	return strings.Join(parts, "")
}

// withLists makes the lists in statements hold several values.
func withLists(text string) string {
	return regexp.MustCompile(`/\*SLICE:\w+\*/\?`).ReplaceAllString(text, "?, '2', '3'")
}

func constantText(t *testing.T, e ast.Expr) string {
	t.Helper()
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return constantText(t, e.X) + constantText(t, e.Y)
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		must(t, err)
		return text
	}
	t.Fatalf("not a constant text: %T", e)
	return ""
}

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	all := statements(t)
	maps.Copy(all, pairsTexts())
	onBoth(t, func(t *testing.T, d *DB) {
		s := &dialect{on: d.write, texts: d.texts}
		all := maps.Clone(all)
		maps.Copy(all, d.bulk.texts())
		for name, text := range all {
			statement, err := s.PrepareContext(t.Context(), text)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			must(t, statement.Close())
		}
		if _, err := s.PrepareContext(t.Context(), "SELECT nothing FROM user"); err == nil {
			t.Error("an impossible statement prepares: this test is worth nothing")
		}
	})
}

func TestTextsForSQLiteReplaceStatements(t *testing.T) {
	t.Parallel()
	replaced, err := readTexts(sqlfiles.SQLite, "query/sqlite")
	must(t, err)
	if len(replaced) == 0 {
		t.Fatal("no texts found")
	}
	all := statements(t)
	head := regexp.MustCompile(`^-- name: \w+ :\w+\n`)
	for name, text := range replaced {
		original, ok := all[name]
		switch {
		case !ok:
			t.Errorf("%s replaces no statement", name)
		case head.FindString(text) != head.FindString(original):
			t.Errorf("%s: the heads differ: %q, %q", name, head.FindString(text), head.FindString(original))
		case strings.Contains(original, "/*SLICE:"):
			t.Errorf("%s: the code changes the text of this statement for a list, which a replacement would undo", name)
		case strings.Count(text, "?") != strings.Count(original, "?"):
			t.Errorf("%s: the number of arguments differs", name)
		}
	}
}

func TestReadTextsRefusesWhatItCannotTell(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"twice":   "-- name: A :one\nSELECT 1;\n-- name: A :one\nSELECT 2;\n",
		"no end":  "-- name: A :one\nSELECT 1\n",
		"no name": "-- name:  :one\nSELECT 1;\n",
	} {
		if got, err := readTexts(filesOf(content), "q"); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	got, err := readTexts(filesOf("-- about A\n-- name: A :one\nSELECT 1\nWHERE 2;\n\n-- about B\n-- name: B :many\nSELECT 3;\n"), "q")
	must(t, err)
	want := map[string]string{"A": "-- name: A :one\nSELECT 1\nWHERE 2", "B": "-- name: B :many\nSELECT 3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSchemasAreAlike compares tables, columns, and what may be NULL.
func TestSchemasAreAlike(t *testing.T) {
	t.Parallel()
	embedded := schema(t, migrated(t, sqliteAt(t, filepath.Join(t.TempDir(), "tim.db"))))
	server := schema(t, migrated(t, mysqlAt(t, testserver.Database(t))))
	if diff := cmp.Diff(server, embedded); diff != "" || len(server) < 38 {
		t.Errorf("MySQL and SQLite differ, or too little was compared (%d columns):\n%s", len(server), diff)
	}
}

func schema(t *testing.T, d *DB) []string {
	t.Helper()
	query := `SELECT t.name || '.' || c.name || CASE WHEN c."notnull" OR c.pk THEN '' ELSE ' NULL' END
		FROM sqlite_schema t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name <> 'goose_db_version' ORDER BY 1`
	if isMySQL(d) {
		query = `SELECT CONCAT(table_name, '.', column_name, CASE is_nullable WHEN 'YES' THEN ' NULL' ELSE '' END)
			FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name NOT IN ('goose_db_version', 'lease')`
	}
	all := texts(t, d.read, query)
	slices.Sort(all)
	return all
}

// TestStatementsAreServedByIndexes fills the tables and asks both engines how they would find the rows.
func TestStatementsAreServedByIndexes(t *testing.T) {
	t.Parallel()
	all := statements(t)
	maps.Copy(all, pairsTexts())
	onBoth(t, func(t *testing.T, d *DB) {
		fill(t, d)
		all := maps.Clone(all)
		all["LockConversations"] = strings.Replace(d.bulk.lockConversations(3), "?, ?, ?", "?, '2', '3'", 1)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			text := withLists(all[name])
			if strings.Contains(text, "\nINSERT ") {
				continue
			}
			for _, step := range explain(t, d, text) {
				if !step.indexed {
					t.Errorf("%s is not served by an index: %s", name, step.plan)
				}
				// The plan must read in the order of an index. Otherwise a page would cost as much as the whole conversation.
				if strings.Contains(text, "LIMIT") && step.sorted && name != "OldestMember" {
					t.Errorf("%s sorts before it limits: %s", name, step.plan)
				}
			}
		}
		if explain(t, d, "SELECT * FROM message WHERE seq = 1")[0].indexed {
			t.Error("a full scan passes: this test is worth nothing")
		}
	})
}

// step is one line of a plan.
type step struct {
	plan            string
	indexed, sorted bool
}

func explain(t *testing.T, d *DB, text string) []step {
	t.Helper()
	text = (&dialect{texts: d.texts}).text(text)
	prefix := "EXPLAIN QUERY PLAN "
	if isMySQL(d) {
		prefix = "EXPLAIN FORMAT=TRADITIONAL " // the form that MySQL 9 prints otherwise is a tree
	}
	rows, err := d.write.QueryContext(t.Context(), prefix+withoutHead(text), arguments(text)...)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	var steps []step
	for rows.Next() {
		values, targets := make([]*string, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		must(t, rows.Scan(targets...))
		line := map[string]string{}
		for i, value := range values {
			if value != nil {
				line[strings.ToLower(columns[i])] = *value
			}
		}
		steps = append(steps, readStep(isMySQL(d), line))
	}
	must(t, rows.Err())
	if len(steps) == 0 {
		t.Fatalf("no plan for %s", text)
	}
	return steps
}

func readStep(mysql bool, line map[string]string) step {
	s := step{plan: fmt.Sprint(line)}
	if mysql {
		s.indexed = line["key"] != "" && slices.Contains([]string{"const", "eq_ref", "ref", "range"}, line["type"])
		s.sorted = strings.Contains(line["extra"], "filesort")
		return s
	}
	s.sorted = strings.Contains(line["detail"], "ORDER BY")
	s.indexed = s.sorted || strings.HasPrefix(line["detail"], "SEARCH ") || heading.MatchString(line["detail"])
	return s
}

// heading matches a line of SQLite's plans that only explains the lines below it.
var heading = regexp.MustCompile(`^(MULTI-INDEX OR|INDEX \d+|COMPOUND QUERY|LEFT-MOST SUBQUERY|UNION ALL)$`)

func withoutHead(text string) string {
	if strings.HasPrefix(text, nameComment) {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

var placeholder = regexp.MustCompile(`(LIMIT |< )?\?`)

// arguments are values that fit the placeholders: fill makes a row of every table with the key 1.
func arguments(text string) []any {
	var args []any
	for _, p := range placeholder.FindAllString(text, -1) {
		switch {
		case strings.HasPrefix(p, "LIMIT"):
			args = append(args, int64(10))
		case strings.HasPrefix(p, "<"): // above all others, since a range would be empty otherwise
			args = append(args, "9")
		default:
			args = append(args, "1")
		}
	}
	return args
}

// spreadKeys returns the columns by one of which a statement names its rows, by table.
func spreadKeys() map[string]string {
	return map[string]string{
		"user": "account", "friends": "user", "group": "GroupID", "userofgroup": "GroupID|account", "session": "account",
		"conversation": "id", "message": "conversation", "participant": "account", "place": "account", "invite": "code",
		"group_ban": "GroupID", "deployment": "id", "node": "deployment", "file": "id", "file_use": "file|conversation", "file_sum": "name",
	}
}

// TestStatementsNameTheirKey: if the tables are spread over several servers by conversation, account and group, every statement
// names the key.
func TestStatementsNameTheirKey(t *testing.T) {
	t.Parallel()
	keys := spreadKeys()
	exempt := map[string]string{
		"AccountsByUsername":    "display names are asked for when an avatar is",
		"UsersByAccountPrefix":  "a search, page by page, of an index; whoever spreads users asks all servers",
		"UsersByUsernamePrefix": "as the other search",
		"DisownGroups":          "finds nothing but what was left of an account that an operator deleted; whoever spreads groups asks all servers",
		"FilesToCheck":          "a sweep, batch by batch, of an index; whoever spreads files sweeps on each server",
		"OldestPasswords":       "asked once, when a node starts",
		"Invites":               "operators' commands list them",
		"LookAlikes":            "asked when an account is registered; whoever spreads users keeps the looks in one place",
		"UsersWithoutLook":      "asked once, when a node starts",
		"CountOwned":            "asked when a group is created or handed on; whoever spreads groups counts them with their owners",
		"ExpiredSessions":       "a sweep, batch by batch, of an index; whoever spreads sessions sweeps on each server",
	}
	from := regexp.MustCompile("(?:FROM|UPDATE) `?(\\w+)`?")
	all := statements(t)
	maps.Copy(all, pairsTexts())
	maps.Copy(all, mysqlBulk().texts())
	for name, text := range all {
		if strings.Contains(text, "\nINSERT ") || exempt[name] != "" {
			continue
		}
		table := from.FindStringSubmatch(text)
		if table == nil || keys[table[1]] == "" {
			t.Errorf("%s: which table? %s", name, text)
			continue
		}
		_, where, _ := strings.Cut(text, "WHERE ")
		if !regexp.MustCompile("\\b(" + keys[table[1]] + ")`? (= |IN \\()").MatchString(where) {
			t.Errorf("%s doesn't name %s of %s: %s", name, keys[table[1]], table[1], text)
		}
	}
}
