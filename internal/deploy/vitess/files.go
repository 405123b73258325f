// Package vitess embeds what a Vitess cluster must be told before Tim uses it: how its tables are sharded.
//
// The keyspace tim has two shards or more. Its tables are sharded by account, by conversation, by group and by file. The keyspace
// tim_unsharded has the sequences and the tables that belong to the whole installation; the rules in routing.json find these
// tables under the name tim, too.
package vitess

import "embed"

// Files has the vschemas (KEYSPACE.json), the statements to run in each keyspace before the first start (KEYSPACE.sql), and
// routing.json.
//
//go:embed *.json *.sql
var Files embed.FS
