package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

// One master's slots move to another while nodes publish.
func TestRedisClusterReshard(t *testing.T) {
	t.Parallel()
	urls := testserver.RedisCluster(t)
	masters := make([]*redis.Client, 3)
	ids := make([]string, 3)
	for i, url := range strings.Split(urls, ",") {
		masters[i] = raw(t, url)
		id, err := masters[i].Do(t.Context(), "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
	}
	var lost losses
	opts := options{onLost: lost.lost, Options: cluster.Options{Beat: time.Minute}} // so that only Redis's own message tells
	a, b := openRedis(t, urls, opts), openRedis(t, urls, opts)
	const topics = 200
	boxes := make([]inbox, topics)
	for i := range boxes {
		subscribe(t, a, fmt.Sprint("topic ", i), boxes[i].handler)
	}
	join(t, a, "room", "ann", "1", true)
	healthy(t, a, b)

	move(t, masters, ids)
	await(t, "OnLost", func() bool { return lost.count() > 0 })
	healthy(t, a, b)
	for i := range boxes {
		await(t, "a message of each topic", func() bool { // what is published while a lane moves may be lost
			_ = b.Publish(fmt.Sprint("topic ", i), []byte("x"))
			return boxes[i].has("x")
		})
	}
	await(t, "presence", func() bool {
		got, _, err := b.Members(t.Context(), "room", 9)
		return err == nil && cmp.Equal([]string{"ann"}, got)
	})
}

// move moves all slots of master 0 but the last, with their keys, to master 1.
func move(t *testing.T, masters []*redis.Client, ids []string) {
	t.Helper()
	ctx := t.Context()
	do := func(c *redis.Client, args ...any) {
		if err := c.Do(ctx, args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	host, port, _ := strings.Cut(masters[1].Options().Addr, ":")
	slots, err := masters[0].ClusterSlots(ctx).Result() //nolint:staticcheck // the slots are all that is asked for, and any Redis knows it
	if err != nil {
		t.Fatal(err)
	}
	for slot := range 16384 {
		keys, err := masters[0].ClusterGetKeysInSlot(ctx, slot, 100).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			do(masters[1], "cluster", "setslot", slot, "importing", ids[0])
			do(masters[0], "cluster", "setslot", slot, "migrating", ids[1])
			do(masters[0], "migrate", host, port, key, 0, 1000)
		}
	}
	pipes := make([]redis.Pipeliner, len(masters))
	for i, c := range masters {
		pipes[i] = c.Pipeline()
	}
	for _, s := range slots {
		if s.Nodes[0].ID != ids[0] {
			continue
		}
		for slot := s.Start; slot < s.End; slot++ { // without a slot it would become a replica
			for _, i := range []int{1, 0, 2} { // the new owner first
				pipes[i].Do(ctx, "cluster", "setslot", slot, "node", ids[1])
			}
		}
	}
	for _, i := range []int{1, 0, 2} {
		if _, err := pipes[i].Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisClusterMasterSilent(t *testing.T) {
	t.Parallel()
	urls := testserver.RedisCluster(t)
	var lost losses
	opts := quick(&lost)
	a, b := openRedis(t, urls, opts), openRedis(t, urls, opts)
	const topics = 100
	boxes := make([]inbox, topics)
	topic := func(i int) string { return fmt.Sprint("topic ", i) }
	for i := range boxes {
		subscribe(t, a, topic(i), boxes[i].handler)
	}
	healthy(t, a, b)

	first := raw(t, strings.Split(urls, ",")[0])
	if err := first.Do(t.Context(), "client", "pause", 3000, "all").Err(); err != nil {
		t.Fatal(err)
	}
	// Two thirds of the topics are not affected. Those of the silent master are delivered on their own node.
	for i := range boxes {
		publish(t, a, topic(i), "meanwhile")
	}
	away := 0
	for i := range boxes {
		boxes[i].awaits(t, "meanwhile")
		if err := a.Publish(topic(i), []byte("known to be away")); errors.Is(err, cluster.ErrAway) {
			away++
		}
	}
	if away < topics/10 || away > topics*6/10 {
		t.Errorf("%d of %d topics were away", away, topics)
	}
	await(t, "OnLost", func() bool { return lost.count() > 0 })
	healthy(t, a, b)
	for i := range boxes {
		await(t, "message after", func() bool { // on a busy machine a master may seem silent once more, and a message get lost
			_ = b.Publish(topic(i), []byte("after")) // which says so when the master is away
			return boxes[i].has("after")
		})
	}
}
