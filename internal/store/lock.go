package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errLocked is the error of a lock that another process holds.
var errLocked = errors.New("locked")

// lockSpec describes a lock of a database that one process at a time can hold.
type lockSpec struct {
	name string        // a word
	wait time.Duration // how long to wait for another holder before errLocked is returned
}

// heldLock is a lock that this process holds. One goroutine at a time calls its methods.
type heldLock interface {
	// lost returns a channel that is closed when another process may hold the lock; nil for a lock that can't be lost.
	lost() <-chan struct{}
	release() error
}

var errLockLost = errors.New("another process has taken the lock over")

// while returns a context that ends when the lock is lost. The caller must cancel it.
func while(ctx context.Context, held heldLock) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.CancelFunc(func() { cancel(nil) })
	lost := held.lost()
	if lost == nil {
		return ctx, stop
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-lost:
			cancel(errLockLost)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { stop(); <-done }
}

// exclusiveWait is how long Exclusive waits for another holder.
const exclusiveWait = 100 * time.Millisecond

// Exclusive runs do unless another process runs something under the same name on this database. It reports whether it ran. On a
// server the lock may be lost meanwhile: the context of do then ends, and do must bear that it runs twice. Where a process was killed
// that ran something, a call does so ten seconds later at the earliest.
func (d *DB) Exclusive(ctx context.Context, name string, do func(ctx context.Context) error) (ran bool, err error) {
	held, err := d.engine.lock(ctx, lockSpec{name: name, wait: exclusiveWait})
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, held.release()) }()
	ctx, stop := while(ctx, held)
	defer stop()
	return true, do(ctx)
}

// fileLock is an advisory lock on a file (flock). The system releases it when the process ends.
type fileLock struct{ file *os.File }

const lockPoll = 20 * time.Millisecond

// lockFile creates the file if need be. The file stays after the lock is released: a process that removed it might remove one
// that another process has just locked.
func lockFile(ctx context.Context, path string, wait time.Duration) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, errLocked)
	defer cancel()
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return &fileLock{file: file}, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, context.Cause(ctx)), file.Close())
		}
	}
}

func (*fileLock) lost() <-chan struct{} { return nil }

func (l *fileLock) release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}
