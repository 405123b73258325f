// Package sqlfiles embeds the migrations of both engines and the statements whose text differs on the embedded one.
package sqlfiles

import "embed"

// Schema holds schema/mysql and schema/sqlite: forward-only migrations, read by goose.
//
//go:embed schema
var Schema embed.FS

// SQLite holds query/sqlite: for some statements of query/*.sql, under the same `-- name:`, the text that the
// embedded engine needs instead.
//
//go:embed query/sqlite
var SQLite embed.FS
