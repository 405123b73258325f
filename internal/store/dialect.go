package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"tim/gen/db"
)

// dialect stands between the generated code and the driver. It replaces a statement's text where the embedded engine needs
// another one. It also handles conflicts: outside a transaction it retries a write; inside one it remembers the first
// conflict, for DB.Tx.
type dialect struct {
	on       db.DBTX
	texts    map[string]string // by statement name; empty on MySQL
	retries  bool              // each ExecContext is a transaction of its own
	fresh    bool              // reads of rights lock what they read, see lockingRead
	conflict error             // set only in a transaction, which one goroutine uses
}

func (d *dialect) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	query = d.text(query)
	if !d.retries {
		result, err = d.on.ExecContext(ctx, query, args...)
		d.note(err)
		return result, err //nolint:wrapcheck // the generated code's caller wraps
	}
	err = retry(ctx, func() error {
		result, err = d.on.ExecContext(ctx, query, args...)
		return err //nolint:wrapcheck // the generated code's caller wraps
	})
	return result, err
}

func (d *dialect) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return d.on.PrepareContext(ctx, d.text(query)) //nolint:wrapcheck // the generated code's caller wraps
}

func (d *dialect) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := d.on.QueryContext(ctx, d.text(query), args...)
	d.note(err)
	return rows, err //nolint:wrapcheck // the generated code's caller wraps
}

func (d *dialect) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row := d.on.QueryRowContext(ctx, d.text(query), args...)
	d.note(row.Err())
	return row
}

// note remembers a conflict. The server has then rolled the transaction back, whatever the caller makes of the error.
func (d *dialect) note(err error) {
	if err != nil && d.conflict == nil && isConflict(err) {
		d.conflict = err
	}
}

func (d *dialect) text(query string) string {
	if d.fresh && lockingRead(queryName(query)) {
		return query + "\nFOR UPDATE"
	}
	if len(d.texts) == 0 {
		return query
	}
	if text, ok := d.texts[queryName(query)]; ok {
		return text
	}
	return query
}

const nameComment = "-- name: "

// queryName reads the name from the comment that sqlc leaves at the head of a statement; "" if there is none.
func queryName(query string) string {
	rest, ok := strings.CutPrefix(query, nameComment)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// readTexts returns the statements of all .sql files in a folder, by their names.
func readTexts(files fs.FS, folder string) (map[string]string, error) {
	names, err := fs.Glob(files, path.Join(folder, "*.sql"))
	if err != nil {
		return nil, fmt.Errorf("statements in %s: %w", folder, err)
	}
	texts := map[string]string{}
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("statements in %s: %w", folder, err)
		}
		// Before the first name there is nothing but comments.
		for _, part := range strings.Split("\n"+string(content), "\n"+nameComment)[1:] {
			statement, _, ended := strings.Cut(part, ";")
			key := queryName(nameComment + statement)
			if _, twice := texts[key]; twice || key == "" || !ended {
				return nil, fmt.Errorf("statement %q in %s has no name, no end, or a name given twice", key, name)
			}
			texts[key] = nameComment + statement
		}
	}
	return texts, nil
}
