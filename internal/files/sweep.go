package files

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tim/gen/db"
	"tim/internal/store"
)

const (
	// sweepPage is how many files one pass looks at, and sweepPasses how many passes follow one another before a pause.
	sweepPage   = 200
	sweepPasses = 50
	// sweepEvery is the longest pause between sweeps. A shorter grace makes shorter pauses.
	sweepEvery    = time.Hour
	sweepShortest = time.Second
	sweepTimeout  = 5 * time.Minute
)

// Sweep deletes, until ctx ends, the files that nobody refers to any more and didn't for the grace (0: it deletes nothing). One
// node at a time does it.
func (f *Files) Sweep(ctx context.Context) {
	if f.Grace <= 0 {
		return
	}
	tick := time.NewTicker(min(max(f.Grace/2, sweepShortest), sweepEvery))
	defer tick.Stop()
	for {
		if err := f.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			f.Log.WarnContext(ctx, "files that nobody uses could not be deleted", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *Files) sweepOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	_, err := f.DB.Exclusive(ctx, "sweep", func(ctx context.Context) error {
		deleted := 0
		defer func() {
			if deleted > 0 {
				f.Log.InfoContext(ctx, "deleted files that no message names", "files", deleted)
			}
		}()
		for range sweepPasses {
			n, more, err := f.sweepPage(ctx)
			deleted += n
			if err != nil || !more {
				return err
			}
		}
		return nil
	})
	return err
}

// sweepPage looks at the files that nobody has looked at for the longest time, and reports how many it deleted and whether there
// are more to look at.
func (f *Files) sweepPage(ctx context.Context) (deleted int, more bool, err error) {
	before := time.Now().Add(-f.Grace).UnixMilli()
	rows, err := f.DB.Read().FilesToCheck(ctx, sql.NullInt64{Int64: before, Valid: true}, sweepPage)
	if err != nil {
		return 0, false, fmt.Errorf("list files: %w", err)
	}
	var errs []error
	for _, row := range rows {
		done, err := f.collect(ctx, row)
		if done {
			deleted++
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", row.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return deleted, len(rows) == sweepPage && len(errs) == 0, errors.Join(errs...)
}

// collect deletes a file unless it is in use. The row says that it is condemned before the file goes: a message that names it
// waits for that decision, and a process that dies in between leaves a row by which the next sweep goes on.
func (f *Files) collect(ctx context.Context, row db.FilesToCheckRow) (deleted bool, err error) {
	used := false
	err = f.DB.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.CondemnFile(ctx, row.ID); err != nil {
			return err
		}
		uses, err := tx.FileUse(ctx, row.ID)
		if used = len(uses) > 0; used && err == nil {
			err = tx.KeepFile(ctx, sql.NullInt64{Int64: time.Now().UnixMilli(), Valid: true}, row.ID)
		}
		return err
	})
	if err != nil || used {
		return false, err
	}
	if err := f.Store.Delete(ctx, row.Kind+"/"+row.Name); err != nil {
		return false, fmt.Errorf("delete: %w", err)
	}
	if err := f.forget(ctx, row.ID, row.Owner, row.Kind, row.Size); err != nil {
		return false, fmt.Errorf("delete the row: %w", err)
	}
	return true, nil
}
