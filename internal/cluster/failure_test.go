package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

// quick returns settings for tests that wait for timers.
func quick(lost *losses) options {
	return options{onLost: lost.lost, Options: cluster.Options{
		Timeout: 800 * time.Millisecond, Beat: 200 * time.Millisecond,
		Expiry: 3 * time.Second, Refresh: 300 * time.Millisecond,
	}}
}

// raw returns a client of the test's own.
func raw(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func healthy(t testing.TB, nodes ...*cluster.Redis) {
	t.Helper()
	await(t, "health", func() bool {
		return !slices.ContainsFunc(nodes, func(n *cluster.Redis) bool { return n.Healthy(t.Context()) != nil })
	})
}

func TestRedisRestartedEmpty(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lostA, lostB losses
	a, b := openRedis(t, server.Address, quick(&lostA)), openRedis(t, server.Address, quick(&lostB))
	var here, there inbox
	topics := []string{"1", "2", "3", "4", "5", "6", "7", "8"} // on all lanes
	for _, topic := range topics {
		subscribe(t, a, topic, here.handler)
		subscribe(t, b, topic, there.handler)
	}
	want := []string{"ben", "ann", "cat"}
	for i, name := range want {
		join(t, []*cluster.Redis{a, b}[i%2], "room", name, name, true)
	}

	if err := raw(t, server.Address).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	await(t, "the nodes see it", func() bool {
		return errors.Is(a.Healthy(t.Context()), cluster.ErrAway) && errors.Is(b.Healthy(t.Context()), cluster.ErrAway)
	})
	goneA, goneB := lostA.count(), lostB.count()
	server.Start()
	healthy(t, a, b)
	await(t, "OnLost", func() bool { return lostA.count() > goneA && lostB.count() > goneB })

	await(t, "presence is restored", func() bool { return len(members(t, a, "room")) == len(want) })
	if diff := cmp.Diff(want, members(t, b, "room")); diff != "" {
		t.Errorf("order of joining: %s", diff)
	}
	for _, topic := range topics {
		await(t, "messages of "+topic, func() bool {
			// Not once: on a busy machine a pause of three beats, 0.6 s, is a further loss.
			_, _ = a.Publish(topic, []byte("a "+topic)), b.Publish(topic, []byte("b "+topic))
			for _, box := range []*inbox{&here, &there} {
				if !box.has("a "+topic) || !box.has("b "+topic) {
					return false
				}
			}
			return true
		})
	}
}

// A Redis that refuses connections counts as silent, however often the connection is tried.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lost losses
	opts := quick(&lost)
	opts.Beat = 700 * time.Millisecond // three beats are longer than any pause between two attempts
	a := openRedis(t, server.Address, opts)
	topics := []string{"1", "2", "3", "4", "5", "6", "7", "8"} // on all lanes
	for _, topic := range topics {
		subscribe(t, a, topic, func([]byte) {})
	}
	healthy(t, a)
	server.Kill()
	for _, topic := range topics {
		await(t, "the node knows it", func() bool { return errors.Is(a.Publish(topic, nil), cluster.ErrAway) })
	}
	early := lost.count()
	await(t, "OnLost again and again", func() bool { return lost.count() > early+2 })
}

func TestRedisSilentServesOwnSockets(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lost losses
	opts := quick(&lost)
	opts.Timeout = 2 * time.Second // much more than 50 messages take that don't wait for it, also on a busy machine
	a := openRedis(t, server.Address, opts)
	var box, late inbox
	subscribe(t, a, "room", box.handler)
	healthy(t, a)

	server.Pause()
	publish(t, a, "room", "first")
	box.awaits(t, "first")
	// Now the node knows that Redis is away, at least on this lane.
	start := time.Now()
	for i := range 50 {
		if err := a.Publish("room", fmt.Append(nil, i)); !errors.Is(err, cluster.ErrAway) {
			t.Errorf("publish: %v", err)
		}
	}
	subscribe(t, a, "room", late.handler)
	if took := time.Since(start); took > opts.Timeout {
		t.Errorf("publishing while Redis is known to be away took %v", took)
	}
	want := []string{"first"}
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
	}
	if diff := cmp.Diff(want, box.awaits(t, "49")); diff != "" {
		t.Error(diff)
	}
	await(t, "OnLost while it lasts", func() bool { return lost.count() > 2 })

	server.Resume()
	healthy(t, a)
	publish(t, a, "room", "after")
	late.awaits(t, "after")
	box.awaits(t, "after")
}

// While Redis is silent, publishing doesn't wait, up to the queue's bound. Afterwards the others get what was queued and learn
// that the rest is lost.
func TestRedisFullQueueIsTold(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lostA, lostB losses
	opts := options{onLost: lostA.lost, Options: cluster.Options{Timeout: patience, Beat: 200 * time.Millisecond, QueueBytes: 20_000}}
	a := openRedis(t, server.Address, opts)
	b := openRedis(t, server.Address, options{onLost: lostB.lost, Options: cluster.Options{Timeout: patience, Beat: time.Minute}}) // so that b doesn't notice any silence
	var here, there inbox
	subscribe(t, a, "room", here.handler)
	subscribe(t, b, "room", there.handler)
	publish(t, a, "room", "before")
	here.awaits(t, "before")
	there.awaits(t, "before")
	healthy(t, a, b)

	server.Pause()
	var want []string
	var err error
	for i := 0; err == nil; i++ {
		text := fmt.Sprintf("%0500d", i)
		if err = a.Publish("room", []byte(text)); err == nil {
			want = append(want, text)
		}
	}
	if !errors.Is(err, cluster.ErrFull) || len(want) < 30 || len(want) > 80 {
		t.Errorf("%d messages of some 570 bytes found room, then %v", len(want), err)
	}
	await(t, "OnLost where it is known", func() bool { return lostA.count() > 0 })
	if n := lostB.count(); n > 0 {
		t.Errorf("OnLost was called %d times where nothing is known of it yet", n)
	}
	server.Resume()
	await(t, "the other node hears of the loss", func() bool { return lostB.count() > 0 })
	if diff := cmp.Diff(append([]string{"before"}, want...), there.awaits(t, want[len(want)-1])); diff != "" {
		t.Error(diff)
	}
	healthy(t, a, b)
	publish(t, a, "room", "after")
	there.awaits(t, "after")
}

// What was published before Close arrives, in order, and the goodbye says that nothing is lost.
func TestRedisCloseBringsWhatWaits(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"standalone": testserver.Redis(t), "cluster": testserver.RedisCluster(t)} {
		var lost losses
		// Only messages that a could not bring may call OnLost, and not a machine that is slow: hence the long times.
		patient := cluster.Options{Timeout: patience, Beat: time.Minute}
		a, b := openRedis(t, url, options{Options: patient}), openRedis(t, url, options{onLost: lost.lost, Options: patient})
		topics := []string{"1", "2", "3", "4", "5", "6", "7", "8"}
		boxes := make([]inbox, len(topics))
		for i, topic := range topics {
			subscribe(t, b, topic, boxes[i].handler)
		}
		healthy(t, a, b)
		before := lost.count()
		var want []string
		for n := range 2000 {
			want = append(want, fmt.Sprint(n))
			for _, topic := range topics {
				publish(t, a, topic, want[n])
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range topics {
			if diff := cmp.Diff(want, boxes[i].awaits(t, want[len(want)-1])); diff != "" {
				t.Errorf("%s: topic %s: %s", name, topics[i], diff)
			}
		}
		if n := lost.count() - before; n > 0 {
			t.Errorf("%s: OnLost was called %d times", name, n)
		}
	}
}

// A message of which nobody knows whether Redis took it is delivered here at once, and not again when Redis delivers it.
func TestRedisEchoOfAKeptMessage(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	a := openRedis(t, server.Address, options{Options: cluster.Options{Timeout: 100 * time.Millisecond}})
	b := openRedis(t, server.Address, options{})
	var here, there inbox
	subscribe(t, a, "room", here.handler)
	subscribe(t, b, "room", there.handler)
	healthy(t, a, b)
	publish(t, a, "room", "0") // opens the connection
	here.awaits(t, "0")

	server.Pause()
	publish(t, a, "room", "1")
	here.awaits(t, "1")
	server.Resume() // Redis reads what it was sent
	there.awaits(t, "1")
	healthy(t, a)
	publish(t, a, "room", "2")
	if diff := cmp.Diff([]string{"0", "1", "2"}, here.awaits(t, "2")); diff != "" {
		t.Error(diff)
	}
}

// One node is cut off from Redis. The others must hear that they have missed messages.
func TestRedisNodeCutOff(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	network := newProxy(t, server)
	var lostA, lostB losses
	a := openRedis(t, network.url, quick(&lostA))
	slow := quick(&lostB)
	slow.Beat = time.Minute // so that b doesn't notice any silence
	slow.Timeout = time.Second
	b := openRedis(t, server, slow)
	var here, there inbox
	subscribe(t, a, "room", here.handler)
	subscribe(t, b, "room", there.handler)
	publish(t, a, "room", "before")
	here.awaits(t, "before")
	there.awaits(t, "before")
	healthy(t, a, b)

	network.cut()
	publish(t, a, "room", "missed")
	here.awaits(t, "missed")
	await(t, "OnLost where the network is cut", func() bool { return lostA.count() > 0 })
	if n := lostB.count(); n > 0 {
		t.Errorf("OnLost was called %d times where nothing was lost yet", n)
	}
	network.heal()
	await(t, "the other node hears of the loss", func() bool { return lostB.count() > 0 })
	if there.has("missed") {
		t.Error("the message came, so this test shows nothing")
	}
	healthy(t, a)
	publish(t, a, "room", "after")
	here.awaits(t, "after")
	there.awaits(t, "after")
}

func TestRedisSilentNodeIsMissed(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	network := newProxy(t, server)
	var lostA, lostB, lostC losses
	a, b := openRedis(t, network.url, quick(&lostA)), openRedis(t, server, quick(&lostB))
	c := openRedis(t, server, quick(&lostC))
	for _, node := range []*cluster.Redis{a, b, c} {
		var box inbox
		subscribe(t, node, "room", box.handler)
		publish(t, a, "room", "hello")
		box.awaits(t, "hello")
	}
	healthy(t, a, b, c)
	awaitBeats(t, server, 3)

	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	network.cut()
	before := lostB.count()
	await(t, "OnLost again and again", func() bool { return lostB.count() >= before+2 })
	// After Expiry the node is no longer expected. c has said goodbye and was never missed.
	await(t, "an end of it", func() bool {
		n := lostB.count()
		select {
		case <-t.Context().Done():
		case <-time.After(4 * 3 * quick(&lostB).Beat):
		}
		return lostB.count() == n
	})
}

// awaitBeats waits until so many nodes have announced themselves on each lane in use.
func awaitBeats(t testing.TB, url string, nodes int) {
	t.Helper()
	ps := raw(t, url).PSubscribe(t.Context(), "tim:{*}")
	defer ps.Close()
	client := raw(t, url)
	lanes, err := client.PubSubChannels(t.Context(), "tim:{*}").Result()
	if err != nil {
		t.Fatal(err)
	}
	heard := map[string]map[string]bool{}
	for _, lane := range lanes {
		heard[lane] = map[string]bool{}
	}
	for {
		m, err := ps.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if nodes := heard[m.Channel]; nodes != nil {
			nodes[m.Payload[1:9]] = true
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(heard)), func(h map[string]bool) bool { return len(h) < nodes }) {
			return
		}
	}
}

func TestRedisKillsSubscribers(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	var lost losses
	// The long beat lets only the end of the connection tell; the long timeout keeps on a slow machine.
	opts := options{onLost: lost.lost, Options: cluster.Options{Beat: time.Minute, Timeout: patience}}
	a := openRedis(t, server, opts)
	var box inbox
	for i := range 3000 { // more than one command takes
		subscribe(t, a, fmt.Sprint(i), box.handler)
	}
	healthy(t, a)
	if err := raw(t, server).Do(t.Context(), "client", "kill", "type", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	await(t, "OnLost", func() bool { return lost.count() > 0 })
	healthy(t, a)
	for i := range 3000 {
		publish(t, a, fmt.Sprint(i), fmt.Sprint(i))
	}
	await(t, "a message of each topic", func() bool { return len(box.all()) == 3000 })
}

func TestRedisOneSubscriptionPerTopic(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	a := openRedis(t, server, options{Options: cluster.Options{Prefix: "p"}})
	client := raw(t, server)
	channels := func() []string {
		all, err := client.PubSubChannels(t.Context(), "p:{*}:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var cancels []func()
	for range 5 {
		for _, topic := range []string{"1", "2", "3"} {
			cancels = append(cancels, subscribe(t, a, topic, func([]byte) {}))
		}
	}
	all := channels()
	if len(all) != 3 {
		t.Errorf("channels: %q", all)
	}
	counts, err := client.PubSubNumSub(t.Context(), all...).Result()
	if err != nil {
		t.Fatal(err)
	}
	for channel, n := range counts {
		if n != 1 {
			t.Errorf("%s has %d subscriptions", channel, n)
		}
	}
	for _, cancel := range cancels {
		cancel()
	}
	await(t, "no subscription is left", func() bool { return len(channels()) == 0 })
}

func TestRedisCloseWhileSilent(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	a := openRedis(t, server.Address, options{Options: cluster.Options{Timeout: 200 * time.Millisecond}})
	subscribe(t, a, "room", func([]byte) {})
	join(t, a, "room", "ann", "1", true)
	server.Pause()
	start := time.Now()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("close took %v", took)
	}
	server.Resume()
}

func TestRedisAwayAtTheStart(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	server.Stop()
	var lost losses
	a := openRedis(t, server.Address, quick(&lost))
	if err := a.Healthy(t.Context()); !errors.Is(err, cluster.ErrAway) {
		t.Errorf("healthy: %v", err)
	}
	var box inbox
	subscribe(t, a, "room", box.handler)
	await(t, "the node knows it", func() bool { return errors.Is(a.Publish("other", nil), cluster.ErrAway) })
	if err := a.Publish("room", []byte("alone")); err != nil && !errors.Is(err, cluster.ErrAway) {
		t.Errorf("publish: %v", err)
	}
	box.awaits(t, "alone")
	server.Start()
	healthy(t, a)
	b := openRedis(t, server.Address, options{})
	publish(t, b, "room", "together")
	box.awaits(t, "together")
}

func TestRedisRefusals(t *testing.T) {
	t.Parallel()
	single, many := testserver.Redis(t), testserver.RedisCluster(t)
	protected := testserver.Redis(t)
	if err := raw(t, protected).ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	withPassword := func(p string) string { return strings.Replace(protected, "redis://", "redis://:"+p+"@", 1) }
	for name, c := range map[string]struct{ urls, prefix, want string }{
		"no password":        {urls: protected, want: "NOAUTH"},
		"wrong password":     {urls: withPassword("wrong"), want: "WRONGPASS"},
		"not a cluster":      {urls: single + "," + single, want: "cluster support disabled"},
		"a cluster":          {urls: strings.Split(many, ",")[0], want: "at least two"},
		"malformed":          {urls: "http://:secret@x", want: "malformed"},
		"empty":              {urls: "", want: "malformed"},
		"cluster's database": {urls: single + "," + single + "/1", want: "database 1"},
		"TLS here and there": {urls: single + "," + strings.Replace(single, "redis:", "rediss:", 1), want: "TLS"},
		"braces":             {urls: single, prefix: "a{b", want: "braces"},
	} {
		_, err := cluster.NewRedis(t.Context(), c.urls, cluster.Options{Prefix: c.prefix})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := openRedis(t, withPassword("secret")+"/3", options{})
	join(t, a, "room", "ann", "1", true)
	healthy(t, a)
}

func TestRedisPrefixesAreApart(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	a, b := openRedis(t, server, options{}), openRedis(t, server, options{Options: cluster.Options{Prefix: "other"}})
	var box inbox
	subscribe(t, b, "room", box.handler)
	publish(t, a, "room", "a")
	publish(t, b, "room", "b")
	if diff := cmp.Diff([]string{"b"}, box.awaits(t, "b")); diff != "" {
		t.Error(diff)
	}
	join(t, a, "room", "ann", "1", true)
	join(t, b, "room", "ann", "1", true)
}

func TestRedisIgnoresStrangers(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	a := openRedis(t, server, options{})
	var box inbox
	subscribe(t, a, "room", box.handler)
	client := raw(t, server)
	channels, err := client.PubSubChannels(t.Context(), "tim:*").Result()
	if err != nil || len(channels) != 2 {
		t.Fatalf("channels: %q, %v", channels, err)
	}
	for _, text := range []string{"", "m", strings.Repeat("?", 17), strings.Repeat("m", 16), "g" + strings.Repeat("x", 16)} {
		for _, channel := range channels {
			if err := client.Publish(t.Context(), channel, text).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(t, a, "room", "good")
	if diff := cmp.Diff([]string{"good"}, box.awaits(t, "good")); diff != "" {
		t.Error(diff)
	}
}

func TestRedisCancelledWhileWaiting(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	a := openRedis(t, server.Address, options{})
	subscribe(t, a, "room", func([]byte) {})
	healthy(t, a)
	server.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := a.Subscribe(ctx, "another", func([]byte) { t.Error("called though not subscribed") })
		result <- err
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var box inbox
	if _, err := a.Subscribe(short, "room 2", box.handler); err != nil {
		t.Errorf("a deadline: %v", err)
	}
	server.Resume()
	healthy(t, a)
	publish(t, a, "another", "x")
	await(t, "the late subscription", func() bool {
		publish(t, a, "room 2", "x")
		return box.has("x")
	})
}

// While Redis is away, a node goes by what it has spent itself; when Redis is back, nodes share again.
func TestRedisAwayLimitsCountByNode(t *testing.T) {
	t.Parallel()
	server := testserver.RedisServer(t)
	var lost losses
	nodes := []*cluster.Redis{openRedis(t, server.Address, quick(&lost)), openRedis(t, server.Address, quick(&lost))}
	ctx := t.Context()
	limits := make([]*cluster.Limit, len(nodes))
	for i, n := range nodes {
		limits[i] = n.Limit("x", 4, time.Hour)
	}
	healthy(t, nodes...)
	limits[0].Spend(ctx, "a")
	limits[0].Spend(ctx, "a")
	server.Kill()
	for i, left := range []int{2, 4} {
		for n := range 6 {
			if taken := limits[i].Take(ctx, "a") == 0; taken != (n < left) {
				t.Errorf("node %d: token %d is taken: %v", i, n, taken)
			}
		}
	}
	server.Start()
	healthy(t, nodes...)
	await(t, "the nodes share", func() bool {
		limits[0].Spend(ctx, "b")
		return limits[1].Wait(ctx, "b") > 0
	})
}
