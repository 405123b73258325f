package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"strings"
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
	lags    bool // statements may know of a change of a table only some time after it
}

// ErrNewer says that a later version of the program has migrated the database.
var ErrNewer = errors.New("the database was migrated by a newer version of tim; use that version, or restore a backup from before")

// Migrate brings the schema up to date, from an empty database or from the tables of the original server, and returns the names
// of the migrations that it applied. Several nodes may call it at once: one migrates, and the others wait for it, one minute at
// most. A statement on a large table may take long; only ctx bounds it. The next call finishes what was interrupted.
func (d *DB) Migrate(ctx context.Context) (applied []string, err error) {
	applied, _, err = d.MigrateAndReport(ctx)
	return applied, err
}

// MigrateAndReport is Migrate. It also returns what it did to rows that name accounts in another spelling.
func (d *DB) MigrateAndReport(ctx context.Context) (applied []string, found Takeover, err error) {
	held, err := d.engine.lock(ctx, lockSpec{name: "migrate", wait: migrateWait})
	if errors.Is(err, errLocked) {
		return nil, found, fmt.Errorf("migrate: another node has been at it for %v: %w", migrateWait, err)
	}
	if err != nil {
		return nil, found, fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, held.release()) }()
	ctx, stop := while(ctx, held)
	defer stop()
	m, err := d.engine.migrations(d.write)
	if err != nil {
		return nil, found, fmt.Errorf("migrate: %w", err)
	}
	defer m.close()
	if applied, found, err = m.run(ctx); err == nil {
		err = m.settle(ctx)
	}
	if err != nil {
		return applied, found, fmt.Errorf("migrate: %w", err)
	}
	return applied, found, nil
}

// Pending reports whether migrations are missing, so that Migrate would change the schema.
func (d *DB) Pending(ctx context.Context) (bool, error) {
	m, err := d.engine.migrations(d.write)
	if err != nil {
		return false, fmt.Errorf("missing migrations: %w", err)
	}
	defer m.close()
	files, err := m.files()
	if err == nil {
		_, err = m.look(ctx, files) // refuses the database of a later version
	}
	if err != nil {
		return false, fmt.Errorf("missing migrations: %w", err)
	}
	provider, err := m.provider(files)
	if err != nil {
		return false, fmt.Errorf("missing migrations: %w", err)
	}
	pending, err := provider.HasPending(ctx)
	if err != nil {
		return false, fmt.Errorf("missing migrations: %w", err)
	}
	return pending, nil
}

// Report returns what MigrateAndReport would do to rows that name accounts in another spelling. It changes nothing.
func (d *DB) Report(ctx context.Context) (found Takeover, err error) {
	m, err := d.engine.migrations(d.write)
	if err != nil {
		return found, fmt.Errorf("report: %w", err)
	}
	defer m.close()
	files, err := m.files()
	if err != nil {
		return found, fmt.Errorf("report: %w", err)
	}
	o, err := m.look(ctx, files)
	if err == nil {
		found, err = m.takeOver(ctx, o, false)
	}
	if err != nil {
		return found, fmt.Errorf("report: %w", err)
	}
	return found, nil
}

// The migrations at which something is done that isn't SQL alone.
const (
	erasePasswords = "_erase_plain_passwords.sql"
	accountsByText = "_accounts_by_text.sql"
)

func (m migrations) files() (fs.FS, error) {
	files, err := fs.Sub(sqlfiles.Schema, m.folder)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", m.folder, err)
	}
	return files, nil
}

// versionOf returns the number of the migration whose file's name ends so; 0 if there is none.
func versionOf(files fs.FS, suffix string) int64 {
	names, err := fs.Glob(files, "*"+suffix)
	if err != nil || len(names) != 1 {
		return 0
	}
	version, _ := goose.NumericComponent(names[0]) // 0 with an error
	return version
}

// origin is what a database was before it is migrated.
type origin struct {
	version   int64  // of its newest migration; 0 for none
	tables    bool   // it has accounts
	collation string // by which the original has compared accounts
	readable  bool   // its plain passwords have yet to be erased
	spelled   bool   // rows name accounts by their bytes
}

// look finds out what the database is. It changes nothing.
func (m migrations) look(ctx context.Context, files fs.FS) (o origin, err error) {
	o.collation = originalCollation
	var newest sql.NullInt64
	err = m.pool.QueryRowContext(ctx, "SELECT MAX(version_id) FROM "+goose.DefaultTablename).Scan(&newest)
	if err != nil && !isMissingTable(err) {
		return o, err //nolint:wrapcheck // the caller wraps
	}
	o.version = newest.Int64
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return o, err //nolint:wrapcheck // the caller wraps
	}
	if last, _ := goose.NumericComponent(names[len(names)-1]); o.version > last {
		return o, fmt.Errorf("%w (it has the migration %d, this version knows %d)", ErrNewer, o.version, last)
	}
	o.readable = o.version < versionOf(files, erasePasswords)
	o.spelled = o.version >= versionOf(files, accountsByText)
	var account string
	err = m.pool.QueryRowContext(ctx, "SELECT account FROM `user` LIMIT 1").Scan(&account)
	if o.tables = err == nil || errors.Is(err, sql.ErrNoRows); !o.tables && !isMissingTable(err) {
		return o, err //nolint:wrapcheck // the caller wraps
	}
	if m.dialect == goose.DialectMySQL && o.tables {
		err = m.lookAtCollation(ctx, &o)
		return o, err
	}
	return o, nil
}

// lookAtCollation finds the old collation, as one of utf8mb4 that the server knows.
func (m migrations) lookAtCollation(ctx context.Context, o *origin) error {
	var found sql.NullString
	err := m.pool.QueryRowContext(ctx, "SELECT collation_name FROM information_schema.columns"+
		" WHERE table_schema = DATABASE() AND table_name = 'user' AND column_name = 'account'").Scan(&found)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err //nolint:wrapcheck // the caller wraps
	}
	_, kind, _ := strings.Cut(found.String, "_")
	if kind == "" || kind == "bin" {
		return nil
	}
	var known int
	err = m.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.collations WHERE collation_name = ?", "utf8mb4_"+kind).Scan(&known)
	if err == nil && known > 0 && collationName.MatchString(kind) {
		o.collation = "utf8mb4_" + kind
	}
	return err //nolint:wrapcheck // the caller wraps
}

var collationName = regexp.MustCompile(`^\w+$`)

// takeOver maps or drops rows that name accounts by text, or only says what it would do.
func (m migrations) takeOver(ctx context.Context, o origin, change bool) (found Takeover, err error) {
	conn, err := m.pool.Conn(ctx)
	if err != nil {
		return found, err //nolint:wrapcheck // the caller wraps
	}
	t := takeover{
		conn: conn, mysql: m.dialect == goose.DialectMySQL, change: change, collation: o.collation, mapped: map[string]string{},
	}
	if o.readable && !change { // a migration erases them, before the change
		err = t.passwords(ctx)
	}
	if err == nil && !o.spelled {
		err = t.run(ctx)
	}
	return t.found, errors.Join(err, conn.Close())
}

// run applies the missing migrations.
func (m migrations) run(ctx context.Context) (applied []string, found Takeover, err error) {
	files, err := m.files()
	if err != nil {
		return nil, found, err
	}
	o, err := m.look(ctx, files)
	if err != nil {
		return nil, found, err
	}
	if o.tables && o.readable {
		if found, err = m.plainPasswords(ctx); err != nil {
			return nil, found, err
		}
	}
	if !o.spelled {
		if applied, err = m.upTo(ctx, files, versionOf(files, accountsByText)-1); err != nil {
			return applied, found, err
		}
		if o.tables {
			spelled, err := m.takeOver(ctx, o, true)
			found.Findings = append(found.Findings, spelled.Findings...)
			if err != nil {
				return applied, found, err
			}
		}
	}
	rest, err := m.upTo(ctx, files, math.MaxInt64)
	return append(applied, rest...), found, err
}

func (m migrations) plainPasswords(ctx context.Context) (Takeover, error) {
	return m.takeOver(ctx, origin{readable: true, spelled: true, collation: originalCollation}, false)
}

// upTo applies the migrations up to a version. On MySQL a migration's statement and the note that it was applied are two commits. A
// process that dies between them leaves a migration that can't be applied again, since its table, column or index exists. Every
// migration is a single statement, which the server carries out entirely or not at all, so upTo then only adds the note.
func (m migrations) upTo(ctx context.Context, files fs.FS, version int64) (applied []string, err error) {
	provider, err := m.provider(files)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller wraps
	}
	for {
		results, err := provider.UpTo(ctx, version)
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

// versions is goose's table of the migrations that were applied.
type versions struct{ database.Store }

// TableExists asks the table itself. Goose would ask information_schema for a table of the schema DATABASE(), which is the name of a
// Vitess keyspace, and not of the schemas behind it.
func (v versions) TableExists(ctx context.Context, on database.DBTxConn) (bool, error) {
	var version int64
	err := on.QueryRowContext(ctx, "SELECT version_id FROM "+v.Tablename()+" LIMIT 1").Scan(&version)
	if isMissingTable(err) {
		return false, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("look for %s: %w", v.Tablename(), err)
	}
	return true, nil
}

func (m migrations) versions() (versions, error) {
	made, err := database.NewStore(m.dialect, goose.DefaultTablename)
	return versions{made}, err //nolint:wrapcheck // the caller wraps
}

func (m migrations) provider(files fs.FS) (*goose.Provider, error) {
	v, err := m.versions()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, m.pool, files, goose.WithDisableGlobalRegistry(true), goose.WithStore(v)) //nolint:wrapcheck // the caller wraps
}

func (m migrations) note(ctx context.Context, version int64) error {
	versions, err := m.versions()
	if err != nil {
		return err //nolint:wrapcheck // the caller wraps
	}
	return versions.Insert(ctx, m.pool, database.InsertRequest{Version: version}) //nolint:wrapcheck // the caller wraps
}

const (
	settleWait = 30 * time.Second
	settlePoll = 50 * time.Millisecond
)

// settle waits until statements can name every column that a migration adds. A vtgate of Vitess hears of a change up to a second
// after it, also of another node's.
func (m migrations) settle(ctx context.Context) error {
	if !m.lags {
		return nil
	}
	files, err := m.files()
	if err != nil {
		return err
	}
	added, err := addedColumns(files)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for table, columns := range added {
		for {
			err := m.names(ctx, table, columns)
			if number := mysqlNumber(err); number != noSuchColumn && number != noSuchTable {
				if err != nil {
					return fmt.Errorf("look at %s: %w", table, err)
				}
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("look at %s: %w", table, errors.Join(err, ctx.Err()))
			case <-time.After(settlePoll):
			}
		}
	}
	return nil
}

// names runs a statement that names columns and returns no row.
func (m migrations) names(ctx context.Context, table string, columns []string) error {
	rows, err := m.pool.QueryContext(ctx, "SELECT `"+strings.Join(columns, "`, `")+"` FROM `"+table+"` LIMIT 0") //nolint:gosec // names of the migrations
	if err != nil {
		return err //nolint:wrapcheck // the caller wraps
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	return rows.Err()  //nolint:wrapcheck // the caller wraps
}

// addedColumns returns the columns that migrations add to tables, by the tables' names.
func addedColumns(files fs.FS) (map[string][]string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller wraps
	}
	altered, column := regexp.MustCompile("ALTER TABLE `(\\w+)`"), regexp.MustCompile("ADD COLUMN `(\\w+)`")
	added := map[string][]string{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		table := altered.FindSubmatch(text)
		if table == nil {
			continue
		}
		for _, found := range column.FindAllSubmatch(text, -1) {
			added[string(table[1])] = append(added[string(table[1])], string(found[1]))
		}
	}
	return added, nil
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

// columns returns the columns of a table. It doesn't ask information_schema, for the reason of versions.TableExists.
func columns(ctx context.Context, pool *sql.DB, table string) (map[string]bool, error) {
	rows, err := pool.QueryContext(ctx, "SELECT * FROM `"+table+"` LIMIT 0") //nolint:gosec,unqueryvet // a migration's table, whose columns are the question
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	list, err := rows.Columns()
	if err := errors.Join(err, rows.Err()); err != nil {
		return nil, fmt.Errorf("columns of %s: %w", table, err)
	}
	names := make(map[string]bool, len(list))
	for _, name := range list {
		names[name] = true
	}
	return names, nil
}
