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

// seam stands between the generated code and the driver. It swaps in the text that the embedded engine needs, and
// deals with conflicts: it retries a write outside a transaction, and remembers one that a transaction ran into.
type seam struct {
	on       db.DBTX
	texts    map[string]string // statement name → text; empty on MySQL
	retries  bool              // ExecContext is a transaction of its own
	conflict error             // the first one; used by a transaction alone, so by one goroutine
}

func (s *seam) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	query = s.text(query)
	if !s.retries {
		result, err = s.on.ExecContext(ctx, query, args...)
		s.note(err)
		return result, err //nolint:wrapcheck // the generated code's caller wraps
	}
	err = retry(ctx, func() error {
		result, err = s.on.ExecContext(ctx, query, args...)
		return err //nolint:wrapcheck // the generated code's caller wraps
	})
	return result, err
}

func (s *seam) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return s.on.PrepareContext(ctx, s.text(query)) //nolint:wrapcheck // the generated code's caller wraps
}

func (s *seam) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := s.on.QueryContext(ctx, s.text(query), args...)
	s.note(err)
	return rows, err //nolint:wrapcheck // the generated code's caller wraps
}

func (s *seam) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row := s.on.QueryRowContext(ctx, s.text(query), args...)
	s.note(row.Err())
	return row
}

// note remembers a conflict, whatever the caller then makes of the error: the server has rolled the transaction back.
func (s *seam) note(err error) {
	if err != nil && s.conflict == nil && isConflict(err) {
		s.conflict = err
	}
}

func (s *seam) text(query string) string {
	if len(s.texts) == 0 {
		return query
	}
	if text, ok := s.texts[queryName(query)]; ok {
		return text
	}
	return query
}

const nameComment = "-- name: "

// queryName reads the name from the comment that sqlc leaves at the head of a statement.
func queryName(query string) string {
	rest, ok := strings.CutPrefix(query, nameComment)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// readTexts collects the statements of all .sql files in a folder by their names.
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
