package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	sqlfiles "tim/sql"
)

// migrateWait is how long a node waits for another node that migrates.
const migrateWait = 60 * time.Second

// migrations is what Migrate needs of an engine.
type migrations struct {
	dialect goose.Dialect
	folder  string // the folder in sql/
	pool    *sql.DB
	close   func()
}

// Migrate brings the schema up to date, from an empty database or from the tables of the original server, and returns the names
// of the migrations that it applied. Several nodes may call it at once: one migrates, and the others wait for it, one minute at
// most. A statement on a large table may take long; only ctx bounds it. The next call finishes what was interrupted.
func (d *DB) Migrate(ctx context.Context) (applied []string, err error) {
	held, err := d.engine.lock(ctx, lockSpec{name: "migrate", wait: migrateWait})
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("migrate: another node has been at it for %v: %w", migrateWait, err)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, held.release()) }()
	m, err := d.engine.migrations(d.write)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer m.close()
	if applied, err = m.run(ctx); err != nil {
		return applied, fmt.Errorf("migrate: %w", err)
	}
	return applied, nil
}

// run applies the missing migrations. On MySQL a migration's statement and the note that it was applied are two commits. A
// process that dies between them leaves a migration that can't be applied again, since its table, column or index exists. Every
// migration is a single statement, which the server carries out entirely or not at all, so run then only adds the note.
func (m migrations) run(ctx context.Context) (applied []string, err error) {
	files, err := fs.Sub(sqlfiles.Schema, m.folder)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", m.folder, err)
	}
	provider, err := goose.NewProvider(m.dialect, m.pool, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller wraps
	}
	for {
		results, err := provider.Up(ctx)
		partial, failed := errors.AsType[*goose.PartialError](err)
		if failed {
			results = partial.Applied
		}
		for _, r := range results {
			applied = append(applied, path.Base(r.Source.Path))
		}
		if !failed {
			return applied, err //nolint:wrapcheck // the caller wraps
		}
		source := partial.Failed.Source
		if made, lookErr := m.wasMade(ctx, files, source, err); lookErr != nil || !made {
			return applied, errors.Join(err, lookErr)
		}
		if err := m.note(ctx, source.Version); err != nil {
			return applied, fmt.Errorf("note %s: %w", source.Path, err)
		}
		applied = append(applied, path.Base(source.Path))
	}
}

// wasMade reports whether a migration failed because its statement was carried out before. A table of the right name that lacks
// one of the migration's columns is another application's. A table with more columns may come from a later migration.
func (m migrations) wasMade(ctx context.Context, files fs.FS, source *goose.Source, failure error) (bool, error) {
	if m.dialect != goose.DialectMySQL {
		return false, nil
	}
	switch mysqlNumber(failure) {
	case columnExists, indexExists:
		return true, nil
	case tableExists:
	default:
		return false, nil
	}
	text, err := fs.ReadFile(files, source.Path)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", source.Path, err)
	}
	table, wanted := createdTable(string(text))
	found, err := columns(ctx, m.pool, table)
	for name := range wanted {
		if !found[name] {
			return false, err
		}
	}
	return err == nil, err
}

func (m migrations) note(ctx context.Context, version int64) error {
	versions, err := database.NewStore(m.dialect, goose.DefaultTablename)
	if err != nil {
		return err //nolint:wrapcheck // the caller wraps
	}
	return versions.Insert(ctx, m.pool, database.InsertRequest{Version: version}) //nolint:wrapcheck // the caller wraps
}

// createdTable returns the table and the columns of a migration that creates a table.
func createdTable(text string) (table string, names map[string]bool) {
	if found := regexp.MustCompile("CREATE TABLE `(\\w+)`").FindStringSubmatch(text); found != nil {
		table = found[1]
	}
	names = map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^  `(\\w+)`").FindAllStringSubmatch(text, -1) {
		names[found[1]] = true
	}
	return table, names
}

// columns returns the columns of a table on a MySQL server.
func columns(ctx context.Context, pool *sql.DB, table string) (map[string]bool, error) {
	rows, err := pool.QueryContext(ctx,
		"SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?", table)
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	names := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("columns of %s: %w", table, err)
		}
		names[name] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	return names, nil
}
