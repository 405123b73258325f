package store

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tim/internal/testserver"
)

// shared is what connects nodes in these tests: it keeps a mark as Redis does.
type shared struct {
	mu   sync.Mutex
	away bool
	mark string
}

func (s *shared) Mark(_ context.Context, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return "", errors.New("away")
	}
	if s.mark == "" {
		s.mark = id
	}
	return s.mark, nil
}

func (s *shared) set(away bool, mark string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.mark = away, mark
}

func TestJoinNodes(t *testing.T) {
	t.Parallel()
	path, dsn := filepath.Join(t.TempDir(), "tim.db"), testserver.Database(t)
	for name, dbs := range map[string]func(t *testing.T) (first, second, elsewhere *DB){
		"sqlite": func(t *testing.T) (_, _, _ *DB) {
			return sqliteAt(t, path), sqliteAt(t, path), sqliteAt(t, path+"2")
		},
		"mysql": func(t *testing.T) (_, _, _ *DB) {
			return mysqlAt(t, dsn), mysqlAt(t, dsn), mysqlAt(t, testserver.Database(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second, elsewhere := dbs(t)
			joined(t, first, NodeSpec{Alone: true}, func(lock *NodeLock) {
				begun := time.Now()
				if _, err := second.JoinNodes(t.Context(), NodeSpec{Alone: true}); !errors.Is(err, ErrNodeRunning) {
					t.Errorf("a second node: %v", err)
				}
				if err := second.CheckNodes(t.Context(), NodeSpec{Alone: true}); !errors.Is(err, ErrNodeRunning) {
					t.Errorf("a second node is checked: %v", err)
				}
				if took := time.Since(begun); took > 2*nodeLease {
					t.Errorf("refused after %v", took)
				}
				if alone, share, redis, err := second.RunningNodes(t.Context()); !alone || share || redis != "" || err != nil {
					t.Errorf("running: %v %v %q %v", alone, share, redis, err)
				}
				joined(t, elsewhere, NodeSpec{Alone: true}, func(*NodeLock) {})
				migrated(t, second) // takes another lock
				select {
				case <-lock.Lost():
					t.Error("lost")
				default:
				}
			})
			if alone, share, _, err := second.RunningNodes(t.Context()); alone || share || err != nil {
				t.Errorf("when it has ended: %v %v %v", alone, share, err)
			}
			joined(t, second, NodeSpec{Alone: true}, func(*NodeLock) {})
		})
	}
}

// joined runs do while a node is among the nodes of a database, which is migrated before.
func joined(t *testing.T, d *DB, spec NodeSpec, do func(*NodeLock)) {
	t.Helper()
	migrated(t, d)
	_, err := d.Identity(t.Context())
	must(t, err)
	lock, err := d.JoinNodes(t.Context(), spec)
	must(t, err)
	do(lock)
	must(t, lock.Release())
}

// TestNodesMustFit: one node runs, or was killed, and another wants to start.
func TestNodesMustFit(t *testing.T) {
	t.Parallel()
	one, other := &shared{}, &shared{}
	alone := NodeSpec{Alone: true, Signing: "a"}
	runs, twin := NodeSpec{Signing: "a", Mark: one.Mark}, NodeSpec{Signing: "a", Mark: one.Mark}
	for name, tt := range map[string]struct {
		first, second NodeSpec
		want          error
	}{
		"alike":                    {runs, twin, nil},
		"alone beside others":      {runs, alone, ErrNodesShare},
		"others beside one alone":  {alone, runs, ErrNodeAlone},
		"another redis":            {runs, NodeSpec{Signing: "a", Mark: other.Mark}, ErrOtherRedis},
		"another key":              {runs, NodeSpec{Signing: "b", Mark: one.Mark}, ErrOtherKey},
		"a redis that is away":     {runs, NodeSpec{Signing: "a", Mark: (&shared{away: true}).Mark}, nil},
		"a node that knows no key": {runs, NodeSpec{Mark: one.Mark}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := testserver.Database(t)
			first, second := migrated(t, mysqlAt(t, dsn)), mysqlAt(t, dsn)
			joined(t, first, tt.first, func(lock *NodeLock) {
				refused, err := second.JoinNodes(t.Context(), tt.second)
				if !errors.Is(err, tt.want) {
					t.Errorf("beside one that runs: %v, want %v", err, tt.want)
				}
				if err == nil {
					must(t, refused.Release())
				}
				lock.stop() // as kill -9: the row stays
				<-lock.done
				begun := time.Now()
				next, err := second.JoinNodes(t.Context(), tt.second)
				must(t, err)
				if took := time.Since(begun); took > 2*nodeLease || tt.want == nil && took > nodeLease {
					t.Errorf("a dead node was in the way for %v", took)
				}
				must(t, next.Release())
			})
		})
	}
}

// TestRedisThatWasAway at the start is compared when it is back, and one that was emptied is still the same.
func TestRedisThatWasAway(t *testing.T) {
	t.Parallel()
	dsn, redis, other := testserver.Database(t), &shared{}, &shared{away: true}
	a, b := migrated(t, mysqlAt(t, dsn)), mysqlAt(t, dsn)
	_, err := a.Identity(t.Context())
	must(t, err)
	lock, err := a.joinNodes(t.Context(), NodeSpec{Mark: redis.Mark}, 10*time.Millisecond)
	must(t, err)
	redis.set(false, "") // it has lost its data
	joined(t, b, NodeSpec{Mark: redis.Mark}, func(*NodeLock) {})

	late, err := b.joinNodes(t.Context(), NodeSpec{Mark: other.Mark}, 10*time.Millisecond)
	must(t, err)
	other.set(false, "other")
	select {
	case <-late.Lost():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody compares")
	}
	must(t, late.Release())
	if _, err := b.JoinNodes(t.Context(), NodeSpec{Mark: other.Mark}); !errors.Is(err, ErrOtherRedis) {
		t.Errorf("%v", err)
	}
	must(t, lock.Release())
}

func TestLostNodeIsTold(t *testing.T) {
	t.Parallel()
	d := migrated(t, mysqlAt(t, testserver.Database(t)))
	_, err := d.Identity(t.Context())
	must(t, err)
	lock, err := d.joinNodes(t.Context(), NodeSpec{Alone: true}, time.Millisecond)
	must(t, err)
	select {
	case <-lock.Lost():
		t.Fatal("lost at once")
	case <-time.After(50 * time.Millisecond):
	}
	exec(t, d.write, "DELETE FROM node")
	select {
	case <-lock.Lost():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody notices")
	}
	must(t, lock.Release())
	joined(t, d, NodeSpec{Alone: true}, func(*NodeLock) {})
}

// TestNodesAtOnce: of many nodes without Redis that start at the same moment, one runs.
func TestNodesAtOnce(t *testing.T) {
	t.Parallel()
	dsn := testserver.Database(t)
	migrated(t, mysqlAt(t, dsn))
	var mu sync.Mutex
	var locks []*NodeLock
	var names []string
	var work sync.WaitGroup
	for range 6 {
		d := mysqlAt(t, dsn)
		work.Go(func() {
			name, err := d.Identity(t.Context())
			if err != nil {
				t.Error(err)
			}
			lock, err := d.JoinNodes(t.Context(), NodeSpec{Alone: true})
			mu.Lock()
			defer mu.Unlock()
			names = append(names, name)
			switch {
			case err == nil:
				locks = append(locks, lock)
			case !errors.Is(err, ErrNodeRunning):
				t.Error(err)
			}
		})
	}
	work.Wait()
	if len(locks) != 1 {
		t.Errorf("%d nodes run", len(locks))
	}
	if slices.Sort(names); names[0] != names[5] || len(names[0]) != 32 {
		t.Errorf("the database has the identities %v", names)
	}
	for _, lock := range locks {
		must(t, lock.Release())
	}
}

func TestNodesBeforeTheFirstMigration(t *testing.T) {
	t.Parallel()
	d := mysqlAt(t, testserver.Database(t))
	must(t, d.CheckNodes(t.Context(), NodeSpec{Alone: true}))
	if alone, share, _, err := d.RunningNodes(t.Context()); alone || share || err != nil {
		t.Errorf("%v %v %v", alone, share, err)
	}
}

func TestIdentityStays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		first, err := d.Identity(t.Context())
		must(t, err)
		again, err := d.Identity(t.Context())
		must(t, err)
		if first != again || len(first) != 32 {
			t.Errorf("%q, then %q", first, again)
		}
	})
}
