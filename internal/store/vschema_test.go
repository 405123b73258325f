package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	sqlfiles "tim/sql"
)

// vschema is a file of internal/deploy/vitess that says how the tables of a keyspace are spread over its shards.
type vschema struct {
	Vindexes map[string]struct {
		Type, Owner string
		Params      map[string]string
	}
	Tables map[string]struct {
		Type     string
		Vindexes []struct{ Column, Name string }   `json:"column_vindexes"`
		Numbers  struct{ Column, Sequence string } `json:"auto_increment"`
	}
}

func readVitess(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../deploy/vitess/" + name)
	must(t, err)
	must(t, json.Unmarshal(text, into))
}

// migratedTables returns the statements that make and change each table of a server.
func migratedTables(t *testing.T) map[string]string {
	t.Helper()
	tables := map[string]string{
		"goose_db_version": "", // goose makes it
		"lease":            makeLeases,
	}
	changes := regexp.MustCompile("(?:CREATE TABLE(?: IF NOT EXISTS)?|ALTER TABLE|INDEX `\\w+` ON) `(\\w+)`")
	for _, name := range migrationFiles(t, "mysql") {
		text, err := sqlfiles.Schema.ReadFile("schema/mysql/" + name)
		must(t, err)
		if found := changes.FindSubmatch(text); found != nil {
			tables[string(found[1])] += string(text)
		}
	}
	return tables
}

// Every table has its place in a keyspace of Vitess: the tables of all shards together are in one vschema, those without shards are
// found from the other by a rule.
func TestVitessKnowsEveryTable(t *testing.T) {
	t.Parallel()
	var spread, whole vschema
	var routing struct {
		Rules []struct {
			From string   `json:"from_table"`
			To   []string `json:"to_tables"`
		}
	}
	readVitess(t, "tim.json", &spread)
	readVitess(t, "tim_unsharded.json", &whole)
	readVitess(t, "routing.json", &routing)
	rules := map[string]string{}
	for _, rule := range routing.Rules {
		rules[rule.From] = strings.Join(rule.To, ",")
	}
	for table, made := range migratedTables(t) {
		_, sharded := spread.Tables[table]
		_, unsharded := whole.Tables[table]
		target := "tim_unsharded." + table
		if sharded == unsharded || unsharded != (rules[table] == target && rules["tim."+table] == target) {
			t.Errorf("%s: in tim: %v, in tim_unsharded: %v, rules: %q and %q", table, sharded, unsharded, rules[table], rules["tim."+table])
		}
		numbered := regexp.MustCompile("`(\\w+)` int NOT NULL AUTO_INCREMENT").FindStringSubmatch(made)
		if strings.Contains(made, "MODIFY COLUMN `GroupID` int NOT NULL") { // taken away again
			numbered = nil
		}
		numbers := spread.Tables[table].Numbers
		if sharded && (numbered != nil) != (numbers.Sequence != "") || numbered != nil && numbered[1] != numbers.Column {
			t.Errorf("%s: AUTO_INCREMENT %v, sequence %+v", table, numbered, numbers)
		}
		_, sequence, _ := strings.Cut(numbers.Sequence, ".")
		if numbers.Sequence != "" && whole.Tables[sequence].Type != "sequence" {
			t.Errorf("%s: there is no sequence %s", table, numbers.Sequence)
		}
		if sharded {
			checkUnique(t, spread, table, made)
		}
	}
}

// checkUnique: a unique key holds on each shard alone, so it must name what the table is spread by, or a number of a sequence, or have a
// table that keeps the values of all shards.
func checkUnique(t *testing.T, v vschema, table, made string) {
	t.Helper()
	allowed := []string{v.Tables[table].Vindexes[0].Column, v.Tables[table].Numbers.Column}
	for _, vindex := range v.Tables[table].Vindexes[1:] {
		if v.Vindexes[vindex.Name].Type == "consistent_lookup_unique" {
			allowed = append(allowed, vindex.Column)
		}
	}
	keys := regexp.MustCompile("(?:PRIMARY|UNIQUE) KEY (?:`\\w+` )?\\(([^)]*)\\)").FindAllStringSubmatch(made, -1)
	if len(keys) == 0 {
		t.Errorf("%s has no key: %s", table, made)
	}
	for _, key := range keys {
		if !slices.ContainsFunc(allowed, func(column string) bool { return column != "" && strings.Contains(key[1], "`"+column+"`") }) {
			t.Errorf("%s: the key (%s) names none of %q", table, key[1], allowed)
		}
	}
}

// Vitess refuses a statement that writes what a table is spread by, even if it writes the value that is there.
func TestNoStatementMovesARow(t *testing.T) {
	t.Parallel()
	var v vschema
	readVitess(t, "tim.json", &v)
	all := statements(t)
	maps.Copy(all, mysqlBulk().texts())
	b := mysqlBulk()
	all["EnsureConversations"], all["AddDirectSides"] = b.ensureConversations(2), b.addDirectSides(2)
	for name, made := range migratedTables(t) {
		all["migrations of "+name] = made
	}
	checked := 0
	for name, text := range all {
		table, set := written(text)
		columns := v.Tables[table].Vindexes
		if set == "" || len(columns) == 0 {
			continue
		}
		checked++
		if regexp.MustCompile("(^|[ ,`])" + columns[0].Column + "`? *=").MatchString(set) {
			t.Errorf("%s writes %s of %s: %s", name, columns[0].Column, table, set)
		}
	}
	if table, set := written("INSERT INTO conversation (id) VALUES (?) ON DUPLICATE KEY UPDATE id = id"); checked < 30 || table != "conversation" || set != "id = id" {
		t.Errorf("this test is worth nothing: %d statements were checked; %q, %q", checked, table, set)
	}
}

// written returns the table that a statement changes rows of, and its assignments.
func written(text string) (table, assignments string) {
	text = regexp.MustCompile(`\s+`).ReplaceAllString(withoutHead(text), " ")
	if found := regexp.MustCompile("UPDATE `?(\\w+)`? SET (.*?)( WHERE .*)?$").FindStringSubmatch(text); found != nil {
		return found[1], found[2]
	}
	if found := regexp.MustCompile("INSERT INTO `?(\\w+)`?.* ON DUPLICATE KEY UPDATE (.*)$").FindStringSubmatch(text); found != nil {
		return found[1], found[2]
	}
	return "", ""
}

// What TestStatementsNameTheirKey takes for the keys of tables is what Vitess spreads them by.
func TestVitessSpreadsByTheKeys(t *testing.T) {
	t.Parallel()
	var v vschema
	readVitess(t, "tim.json", &v)
	for table, key := range spreadKeys() {
		if spread := v.Tables[table].Vindexes; len(spread) > 0 && !slices.Contains(strings.Split(key, "|"), spread[0].Column) {
			t.Errorf("%s is spread by %s, and statements name %s", table, fmt.Sprint(spread[0]), key)
		}
	}
}
