package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

func TestRedisPresenceWhileAway(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lost losses
	a, b := openRedis(t, server.Address, quick(&lost)), openRedis(t, server.Address, quick(&lost))
	join(t, a, "room", "goes", "1", true)
	join(t, a, "room", "stays", "2", true)

	server.Kill()
	calls := map[string]func() error{
		"join":    func() error { _, err := a.Join(t.Context(), "room", "comes", "3"); return err },
		"leave":   func() error { _, err := a.Leave(t.Context(), "room", "goes", "1"); return err },
		"members": func() error { _, _, err := a.Members(t.Context(), "room", 9); return err },
		"online":  func() error { _, err := a.Online(t.Context(), []string{"room"}); return err },
	}
	for name, call := range calls {
		start := time.Now()
		if err := call(); !errors.Is(err, cluster.ErrAway) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > patience {
			t.Errorf("%s took %v", name, took)
		}
	}
	server.Start()
	healthy(t, a, b)
	await(t, "presence is as it should be", func() bool {
		got, _, err := b.Members(t.Context(), "room", 9)
		return err == nil && cmp.Equal([]string{"stays", "comes"}, got)
	})
	leave(t, a, "room", "comes", "3", true)
}

// A silent Redis makes calls slow at first; later they fail at once.
func TestRedisPresenceWhileSilent(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lost losses
	opts := quick(&lost)
	opts.Expiry = time.Minute
	a := openRedis(t, server.Address, opts)
	join(t, a, "room", "goes", "1", true)
	join(t, a, "room", "stays", "2", true)
	server.Pause()
	if _, err := a.Leave(t.Context(), "room", "goes", "1"); !errors.Is(err, cluster.ErrAway) {
		t.Errorf("leave: %v", err)
	}
	await(t, "known to be away", func() bool {
		start := time.Now()
		_, _, err := a.Members(t.Context(), "room", 9)
		return errors.Is(err, cluster.ErrAway) && time.Since(start) < opts.Timeout/3
	})
	server.Resume()
	healthy(t, a)
	await(t, "the leave is carried out", func() bool {
		got, _, err := a.Members(t.Context(), "room", 9)
		return err == nil && cmp.Equal([]string{"stays"}, got)
	})
}

func TestRedisPresenceOfADeadNodeExpires(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	network := newProxy(t, server)
	var lost losses
	a, b := openRedis(t, network.url, quick(&lost)), openRedis(t, server, quick(&lost))
	join(t, a, "room", "ann", "1", true)
	join(t, a, "room", "ben", "2", true)
	join(t, b, "room", "ann", "3", false)
	join(t, a, "account", "ann", "1", true)
	network.cut()
	cut := time.Now()
	await(t, "the dead node's entries expire", func() bool {
		return slices.Equal(members(t, b, "room"), []string{"ann"})
	})
	await(t, "and its user is offline", func() bool {
		online, err := b.Online(t.Context(), []string{"account", "room"})
		return err == nil && slices.Equal(online, []bool{false, true})
	})
	if took := time.Since(cut); took < quick(&lost).Expiry-quick(&lost).Refresh-time.Second {
		t.Errorf("they expired after %v", took)
	}
	leave(t, b, "room", "ann", "3", true)
	keys, err := raw(t, server).Keys(t.Context(), "*").Result()
	if err != nil || len(keys) > 0 {
		t.Errorf("keys left: %q, %v", keys, err)
	}
}

// A living node's refresh must not keep a dead node's entries of the same room alive.
func TestRedisRoomExpiresWithItsLastEntry(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	network := newProxy(t, server)
	var lost losses
	a, b := openRedis(t, network.url, quick(&lost)), openRedis(t, server, quick(&lost))
	client := raw(t, server)
	expiry := func() time.Duration {
		key := client.Keys(t.Context(), "*:room:room").Val()
		if len(key) != 1 {
			t.Fatalf("keys: %q", key)
		}
		return client.PTTL(t.Context(), key[0]).Val()
	}
	join(t, b, "room", "ben", "1", true)
	join(t, a, "room", "ann", "2", true)
	network.cut()
	await(t, "the dead node's entry ages", func() bool {
		score, err := client.ZScore(t.Context(), client.Keys(t.Context(), "*:room:room").Val()[0], "x3:ann2").Result()
		return err == nil && time.Until(time.UnixMilli(int64(score))) < 2*time.Second
	})
	leave(t, b, "room", "ben", "1", true)
	if left := expiry(); left > 2*time.Second {
		t.Errorf("the room lives for another %v", left)
	}
}

func TestRedisCloseLeaves(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	a, b := openRedis(t, server, options{}), openRedis(t, server, options{})
	for i := range 500 {
		join(t, a, "room", fmt.Sprint(i), fmt.Sprint(i), true)
	}
	join(t, b, "room", "ann", "1", true)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ann"}, members(t, b, "room")); diff != "" {
		t.Error(diff)
	}
}
