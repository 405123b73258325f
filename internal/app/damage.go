package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tim/internal/store"
)

const (
	databaseFile = "tim.db"
	keyFile      = "jwt.key"
	filesFolder  = "files"

	smallestDatabase = 512 // bytes; SQLite takes a shorter file for a new database, and overwrites it

	quickCheck  = 3 * time.Second // how long a start checks an embedded database
	damageAgain = time.Minute     // how often damage is logged at most
	damageQuiet = 10 * time.Second
)

// damage remembers that the database was found damaged.
type damage struct {
	log *slog.Logger

	mu           sync.Mutex
	err          error
	seen, logged time.Time
}

// note logs that the database is damaged, at once and then once a minute at most.
func (d *damage) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.seen = err, time.Now()
	if d.seen.Sub(d.logged) > damageAgain {
		d.logged = d.seen
		d.log.Error("THE DATABASE IS DAMAGED. Stop the server, keep a copy of the database, and repair it or restore a backup.", "err", err)
	}
}

// check returns an error while the database counts as damaged. An embedded database does until the next start. A server may repair
// a table: if none was found damaged for ten seconds, probe decides.
func (d *damage) check(ctx context.Context, probe func(context.Context) (bool, error)) error {
	d.mu.Lock()
	err, seen := d.err, d.seen
	d.mu.Unlock()
	if err == nil || time.Since(seen) < damageQuiet {
		return err
	}
	repaired, probeErr := probe(ctx)
	if !repaired {
		return errors.Join(err, probeErr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = nil
	d.log.Info("the database is whole again")
	return nil
}

// isUnavailable is store.IsUnavailable. It also notes damage: every request that fails passes its error here.
func (s *Server) isUnavailable(err error) bool {
	if store.IsDamaged(err) {
		s.damage.note(err)
	}
	return store.IsUnavailable(err)
}

// checkDatabase is the check of /readyz.
func (s *Server) checkDatabase(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return err
	}
	return s.damage.check(ctx, s.db.Probe)
}

// checkWhole looks for damage at the start, for some seconds at most.
func (s *Server) checkWhole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quickCheck)
	defer cancel()
	err := s.db.QuickCheck(ctx)
	switch {
	case err == nil:
	case store.IsDamaged(err):
		s.damage.note(err)
	case ctx.Err() != nil:
		s.log.Info("the database is too large to be checked at the start", "within", quickCheck)
	default:
		return fmt.Errorf("check the database: %w", err)
	}
	return nil
}

// checkFolder refuses a data folder from which the embedded database is missing. A server that began an empty one there would look as
// if all accounts and messages were lost, and the files would belong to nobody.
func checkFolder(folder string) error {
	database := filepath.Join(folder, databaseFile)
	info, err := os.Stat(database)
	const how = "restore it from a backup, together with its -wal if there is one; or set TIM_MYSQL_DSN, if it is on a server"
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a folder and must be the database", database)
	case err == nil && info.Size() < smallestDatabase:
		return fmt.Errorf("%s has %d bytes, so its content is lost: %s; for a new server, delete it", database, info.Size(), how)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for the database: %w", err)
	}
	left := remains(folder)
	if left == "" {
		return nil
	}
	return fmt.Errorf("%s is missing, and %s is there, which a server with a database has made: %s; to begin anew on purpose, move what is in %s away",
		database, left, how, folder)
}

// remains names what a server without its database has left in the folder; "" for nothing. A key alone may be given to a new server.
func remains(folder string) string {
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(filepath.Join(folder, databaseFile+suffix)); err == nil && info.Size() > 0 {
			return databaseFile + suffix
		}
	}
	files := filepath.Join(folder, filesFolder)
	found := ""
	_ = filepath.WalkDir(files, func(path string, entry fs.DirEntry, err error) error { // what can't be read isn't there
		if err == nil && entry.Type().IsRegular() {
			found, _ = filepath.Rel(folder, path)
			return fs.SkipAll
		}
		return nil
	})
	if found != "" {
		return found
	}
	_, keyErr := os.Stat(filepath.Join(folder, keyFile))
	if _, err := os.Stat(files); err == nil && keyErr == nil {
		return keyFile
	}
	return ""
}

// checkEmpty refuses a database on a server that has no table yet, where the data folder has files of an earlier one.
func (s *Server) checkEmpty(ctx context.Context) error {
	if s.settings.MySQLDSN == "" || s.settings.S3Endpoint != "" {
		return nil
	}
	empty, err := s.db.Empty(ctx)
	if err != nil || !empty {
		return err
	}
	if left := remains(s.settings.DataDir); left != "" {
		return fmt.Errorf("TIM_MYSQL_DSN: the database is empty, and %s is in %s, which a server with another database has made:"+
			" name or restore that database; to begin anew on purpose, move what is in the folder away", left, s.settings.DataDir)
	}
	return nil
}
