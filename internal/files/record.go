package files

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"tim/gen/db"
	"tim/internal/blob"
	"tim/internal/fault"
	"tim/internal/store"
)

// The scopes of table file_sum.
const (
	ofAccount = "account"
	ofKind    = "kind"
)

// record is a file's row. before is the size of the avatar that it replaces.
type record struct {
	id, name, owner string
	kind            Kind
	size, before    int64
	replaces        bool
	written         bool
}

func (r *record) key() string { return r.kind.prefix + "/" + r.name }

// newRecord makes up a name that nobody can guess.
func (f *Files) newRecord(owner string, k Kind) *record {
	id := rand.Text()
	return &record{id: id, name: time.Now().In(f.Zone).Format(nameTime) + "-" + id, owner: owner, kind: k}
}

// remaining returns how many more bytes an account may store. An avatar's bytes come back when it is replaced.
func (f *Files) remaining(ctx context.Context, r *record) (int64, error) {
	if f.AccountLimit == 0 {
		return math.MaxInt64, nil
	}
	used, err := f.DB.Read().FileBytes(ctx, ofAccount, r.owner)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("bytes of an account: %w", err)
	}
	left := f.AccountLimit - used
	if r.kind.prefix == blob.Avatar {
		size, err := f.DB.Read().FileSize(ctx, r.id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, fmt.Errorf("size of an avatar: %w", err)
		}
		left += size
	}
	return left, nil
}

// admit writes the row of a file that has arrived as a whole, before it is stored: a process that dies between the two leaves a row
// without a file, which the sweep finds, and never a file that nobody knows of. It refuses a file that would pass its owner's
// quota. The owner's sum is locked first, so files that arrive together can't pass it together.
func (f *Files) admit(ctx context.Context, r *record, size int64) error {
	r.size = size
	err := f.DB.Tx(ctx, func(tx *store.Tx) error {
		r.before, r.replaces = 0, false
		if err := tx.EnsureFileSum(ctx, ofAccount, r.owner); err != nil {
			return err
		}
		if r.kind.prefix == blob.Avatar {
			if err := addToSum(ctx, tx, ofAccount, r.owner, 0, 0); err != nil { // the lock
				return err
			}
			before, err := tx.FileSize(ctx, r.id)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			r.before, r.replaces = before, err == nil
		}
		added := r.size - r.before
		atMost := int64(math.MaxInt64)
		if f.AccountLimit > 0 && added > 0 {
			atMost = f.AccountLimit - added
		}
		done, err := tx.AddToFileSum(ctx, db.AddToFileSumParams{Files: r.more(), Bytes: added, Scope: ofAccount, Name: r.owner, AtMost: atMost})
		if err != nil {
			return err
		}
		if done == 0 && added != 0 {
			return fault.New(fault.QuotaExceeded)
		}
		return f.write(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("admit file: %w", err)
	}
	r.written = true
	return nil
}

// more is by how many files the sums grow.
func (r *record) more() int64 {
	if r.replaces {
		return 0
	}
	return 1
}

func (f *Files) write(ctx context.Context, tx *store.Tx, r *record) error {
	if err := tx.EnsureFileSum(ctx, ofKind, r.kind.prefix); err != nil {
		return err
	}
	if err := addToSum(ctx, tx, ofKind, r.kind.prefix, r.more(), r.size-r.before); err != nil {
		return err
	}
	if r.replaces {
		return tx.SetFileSize(ctx, r.size, r.id)
	}
	now := time.Now().UnixMilli()
	return tx.AddFile(ctx, db.AddFileParams{
		ID: r.id, Kind: r.kind.prefix, Name: r.name, Owner: r.owner, Size: r.size, CreatedAt: now,
		CheckedAt: sql.NullInt64{Int64: now, Valid: r.kind.prefix != blob.Avatar},
	})
}

func addToSum(ctx context.Context, tx *store.Tx, scope, name string, files, bytes int64) error {
	_, err := tx.AddToFileSum(ctx, db.AddToFileSumParams{Files: files, Bytes: bytes, Scope: scope, Name: name, AtMost: math.MaxInt64})
	return err
}

// undoTimeout bounds the deletion of a file that couldn't be stored. It doesn't end with the request.
const undoTimeout = 10 * time.Second

// withdraw undoes admit, since the file couldn't be stored. What it can't undo, the sweep does.
func (f *Files) withdraw(ctx context.Context, r *record) error {
	if !r.written {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if r.kind.prefix == blob.Avatar && r.replaces {
		return f.DB.Tx(ctx, func(tx *store.Tx) error {
			err := addToSum(ctx, tx, ofAccount, r.owner, 0, r.before-r.size)
			if err == nil {
				err = addToSum(ctx, tx, ofKind, r.kind.prefix, 0, r.before-r.size)
			}
			if err == nil {
				err = tx.SetFileSize(ctx, r.before, r.id)
			}
			return err
		})
	}
	if err := f.Store.Delete(ctx, r.key()); err != nil {
		return fmt.Errorf("delete what was stored: %w", err)
	}
	return f.forget(ctx, r.id, r.owner, r.kind.prefix, r.size)
}

// forget deletes a file's row and its uses, and gives the bytes back. It changes nothing if there is no row.
func (f *Files) forget(ctx context.Context, id, owner, kind string, size int64) error {
	return f.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := addToSum(ctx, tx, ofAccount, owner, 0, 0); err != nil { // the locks, in the order of admit
			return err
		}
		deleted, err := tx.DeleteFile(ctx, id)
		if err != nil || deleted == 0 {
			return err
		}
		if err := addToSum(ctx, tx, ofAccount, owner, -1, -size); err != nil {
			return err
		}
		if err := addToSum(ctx, tx, ofKind, kind, -1, -size); err != nil {
			return err
		}
		return tx.DeleteFileUses(ctx, id)
	})
}

// Sum says how many files of a kind are stored, and how many bytes they have.
type Sum struct {
	Kind         string
	Files, Bytes int64
}

// Sums returns the sum of every kind, by one statement. Files without a row, of before the update, aren't counted.
func (f *Files) Sums(ctx context.Context) ([]Sum, error) {
	rows, err := f.DB.Read().FileSums(ctx, ofKind, []string{blob.Avatar, blob.Picture, blob.Audio, blob.Video})
	if err != nil {
		return nil, fmt.Errorf("sums of files: %w", err)
	}
	sums := make([]Sum, len(rows))
	for i, row := range rows {
		sums[i] = Sum{row.Name, row.Files, row.Bytes}
	}
	return sums, nil
}
