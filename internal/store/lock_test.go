package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tim/internal/testserver"
)

func TestLockNode(t *testing.T) {
	t.Parallel()
	path, dsn := filepath.Join(t.TempDir(), "tim.db"), testserver.MariaDB(t)
	for name, dbs := range map[string]func(t *testing.T) (first, second, elsewhere *DB){
		"sqlite": func(t *testing.T) (_, _, _ *DB) {
			return sqliteAt(t, path), sqliteAt(t, path), sqliteAt(t, path+"2")
		},
		"mysql": func(t *testing.T) (_, _, _ *DB) {
			return mysqlAt(t, dsn), mysqlAt(t, dsn), mysqlAt(t, testserver.MariaDB(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second, elsewhere := dbs(t)
			lock, err := first.LockNode(t.Context())
			must(t, err)
			begun := time.Now()
			if _, err := second.LockNode(t.Context()); !errors.Is(err, ErrNodeRunning) {
				t.Errorf("a second node: %v", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("refused after %v", took)
			}
			other, err := elsewhere.LockNode(t.Context())
			must(t, err)
			migrated(t, second) // takes another lock
			select {
			case <-lock.Lost():
				t.Error("lost")
			default:
			}
			must(t, other.Release())
			must(t, lock.Release())
			lock, err = second.LockNode(t.Context())
			must(t, err)
			must(t, lock.Release())
		})
	}
}

func TestLostNodeLockIsTold(t *testing.T) {
	t.Parallel()
	d := mysqlAt(t, testserver.MariaDB(t))
	lock, err := d.lockNode(t.Context(), time.Millisecond)
	must(t, err)
	select {
	case <-lock.Lost():
		t.Fatal("lost at once")
	case <-time.After(50 * time.Millisecond):
	}
	name := lock.held.(*serverLock).name
	exec(t, d.write, "KILL "+texts(t, d.read, "SELECT IS_USED_LOCK(?)", name)[0])
	select {
	case <-lock.Lost():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody notices")
	}
	must(t, lock.Release())
	again, err := d.LockNode(t.Context())
	must(t, err)
	must(t, again.Release())
}

// TestSilentNodeLosesItsLock: the server releases the lock of a machine that is gone.
func TestSilentNodeLosesItsLock(t *testing.T) {
	t.Parallel()
	d := mysqlAt(t, testserver.MariaDB(t))
	held, err := d.engine.lock(t.Context(), lockSpec{name: nodeName, idle: time.Second})
	must(t, err)
	next, err := d.engine.lock(t.Context(), lockSpec{name: nodeName, wait: 20 * time.Second})
	must(t, err)
	if err := held.check(t.Context()); err == nil {
		t.Error("both have it")
	}
	must(t, next.check(t.Context()))
	must(t, held.release())
	must(t, next.release())
}

func TestServerLockName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, database := range []string{"tim", "Tim", "", strings.Repeat("聊", 64), strings.Repeat("聊", 63)} {
		name := serverLockName("migrate", database)
		if n := utf8.RuneCountInString(name); n > 64 || !utf8.ValidString(name) || seen[strings.ToLower(name)] {
			t.Errorf("%q: %q, %d characters", database, name, n)
		}
		seen[strings.ToLower(name)] = true
	}
	if name := serverLockName("node", "chat"); !strings.Contains(name, "chat") {
		t.Errorf("%q doesn't tell the database", name)
	}
}
