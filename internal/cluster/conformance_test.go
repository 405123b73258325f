package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

// installation opens nodes that belong together. In memory it is always the same one.
type installation func(opts options) cluster.Node

func TestMemory(t *testing.T) {
	t.Parallel()
	conform(t, func(t testing.TB) installation {
		var one cluster.Node
		return func(opts options) cluster.Node {
			if one == nil {
				one = cluster.NewMemory(opts.Options)
				one.Start(opts.onLost)
				t.Cleanup(func() {
					if err := one.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
			}
			return one
		}
	})
}

// Before Start a node queues what is published; nothing is delivered or lost.
func TestNothingIsDeliveredBeforeTheStart(t *testing.T) {
	t.Parallel()
	redis, err := cluster.NewRedis(t.Context(), testserver.Redis(t), cluster.Options{Prefix: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	for name, node := range map[string]cluster.Node{"memory": cluster.NewMemory(cluster.Options{}), "redis": redis} {
		var box inbox
		subscribe(t, node, "topic", box.handler)
		publish(t, node, "topic", "1")
		join(t, node, "room", "a", "1", true)
		if got := box.all(); len(got) > 0 {
			t.Errorf("%s: %q before the start", name, got)
		}
		node.Start(nil)
		box.awaits(t, "1")
		if err := node.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, node := range map[string]cluster.Node{"memory": cluster.NewMemory(cluster.Options{})} {
		if err := node.Close(); err != nil {
			t.Errorf("%s, never started: %v", name, err)
		}
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	conformRedis(t, testserver.Redis(t))
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	conformRedis(t, testserver.RedisCluster(t))
}

func conformRedis(t *testing.T, urls string) {
	t.Helper()
	conform(t, func(t testing.TB) installation {
		return func(opts options) cluster.Node {
			opts.Prefix = strings.ReplaceAll(t.Name(), "/", ".")
			return openRedis(t, urls, opts)
		}
	})
}

// conform tests what every implementation promises.
func conform(t *testing.T, start func(t testing.TB) installation) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, installation){
		"EverySubscriberOfTheTopicHears":   everySubscriberOfTheTopicHears,
		"ConcurrentPublishersKeepOrder":    concurrentPublishersKeepOrder,
		"LargePayloads":                    largePayloads,
		"OddNames":                         oddNames,
		"HandlersMayCallTheBus":            handlersMayCallTheBus,
		"AfterCancelNothing":               afterCancelNothing,
		"SubscribedMeansInForce":           subscribedMeansInForce,
		"StormOfSubscriptions":             stormOfSubscriptions,
		"EndedContext":                     endedContext,
		"FullQueueIsALoss":                 fullQueueIsALoss,
		"ClosedNodeRefuses":                closedNodeRefuses,
		"FirstAndLast":                     firstAndLast,
		"MembersInOrderOfJoining":          membersInOrderOfJoining,
		"MembersUpToALimit":                membersUpToALimit,
		"MembersComeAndGo":                 membersComeAndGo,
		"ConcurrentJoinsHaveOneFirst":      concurrentJoinsHaveOneFirst,
		"Online":                           online,
		"HealthyWhileNothingIsWrong":       healthyWhileNothingIsWrong,
		"LeavingWhatWasNotJoinedIsNothing": leavingWhatWasNotJoinedIsNothing,
		"LimitsAreShared":                  limitsAreShared,
		"LimitsRefill":                     limitsRefill,
		"LimitsAtOnce":                     limitsAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func everySubscriberOfTheTopicHears(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	var here, here2, there, other inbox
	subscribe(t, a, "room", here.handler)
	subscribe(t, a, "room", here2.handler)
	subscribe(t, b, "room", there.handler)
	subscribe(t, b, "another", other.handler)

	publish(t, a, "room", "1")
	publish(t, b, "another", "x")
	for _, box := range []*inbox{&here, &here2, &there} {
		box.awaits(t, "1")
	}
	publish(t, b, "room", "2")
	for name, box := range map[string]*inbox{"here": &here, "here too": &here2, "there": &there} {
		if diff := cmp.Diff([]string{"1", "2"}, box.awaits(t, "2")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{"x"}, other.awaits(t, "x")); diff != "" {
		t.Error(diff)
	}
}

func concurrentPublishersKeepOrder(t *testing.T, open installation) {
	const publishers, messages = 6, 100
	a, b := open(options{}), open(options{})
	var boxes [3]inbox
	subscribe(t, a, "room", boxes[0].handler)
	subscribe(t, a, "room", boxes[1].handler)
	subscribe(t, b, "room", boxes[2].handler)

	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			node := []cluster.Node{a, b}[p%2]
			for n := range messages {
				if err := node.Publish("room", fmt.Appendf(nil, "%d %d", p, n)); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for i := range boxes {
		await(t, "all messages", func() bool { return len(boxes[i].all()) >= publishers*messages })
		next := make([]int, publishers)
		for _, text := range boxes[i].all() {
			var p, n int
			if _, err := fmt.Sscan(text, &p, &n); err != nil {
				t.Fatal(err)
			}
			if n != next[p] {
				t.Fatalf("subscriber %d: publisher %d's message %d came where %d was due", i, p, n, next[p])
			}
			next[p]++
		}
	}
	if diff := cmp.Diff(boxes[0].all(), boxes[1].all()); diff != "" {
		t.Errorf("two subscribers of a node see different orders: %s", diff)
	}
}

func largePayloads(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	var box inbox
	subscribe(t, b, "room", box.handler)
	var want []string
	for _, size := range []int{0, 1, 64 << 10, 3 << 20, 17} {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(rand.N(256))
		}
		want = append(want, string(text))
		publish(t, a, "room", string(text))
	}
	await(t, "all payloads", func() bool { return len(box.all()) == len(want) })
	for i, got := range box.all() {
		if got != want[i] {
			t.Errorf("payload %d of %d bytes came as one of %d", i, len(want[i]), len(got))
		}
	}
}

func oddNames(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	for _, name := range []string{"", " ", "{", "}{", "{9}:x", "a:b", "用户", "a\x00b", "line\nbreak", "*", "%"} {
		var box inbox
		subscribe(t, b, name, box.handler)
		publish(t, a, name, name+"!")
		if diff := cmp.Diff([]string{name + "!"}, box.awaits(t, name+"!")); diff != "" {
			t.Errorf("topic %q: %s", name, diff)
		}
		join(t, a, name, name, name, true)
		if diff := cmp.Diff([]string{name}, members(t, b, name)); diff != "" {
			t.Errorf("room %q: %s", name, diff)
		}
		leave(t, a, name, name, name, true)
	}
}

func handlersMayCallTheBus(t *testing.T, open installation) {
	a := open(options{})
	var echo, late inbox
	subscribe(t, a, "echo", echo.handler)
	done := make(chan struct{})
	var cancel func()
	ready := make(chan struct{})
	cancel = subscribe(t, a, "room", func(payload []byte) {
		<-ready
		cancel()
		cancel()
		subscribe(t, a, "room", late.handler) // the topic that is being delivered
		publish(t, a, "echo", "echo of "+string(payload))
		publish(t, a, "room", "second")
		close(done)
	})
	close(ready)
	publish(t, a, "room", "first")
	<-done
	echo.awaits(t, "echo of first")
	if diff := cmp.Diff([]string{"second"}, late.awaits(t, "second")); diff != "" {
		t.Error(diff)
	}
}

func afterCancelNothing(t *testing.T, open installation) {
	a := open(options{})
	var stays, goes inbox
	subscribe(t, a, "room", stays.handler)
	cancel := subscribe(t, a, "room", goes.handler)
	publish(t, a, "room", "1")
	goes.awaits(t, "1")
	cancel()
	publish(t, a, "room", "2")
	stays.awaits(t, "2")
	if diff := cmp.Diff([]string{"1"}, goes.all()); diff != "" {
		t.Error(diff)
	}
}

func subscribedMeansInForce(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	for i := range 200 {
		var box inbox
		topic := fmt.Sprint("room ", i%7) // the same topics again, while their last cancel may still be on its way
		cancel := subscribe(t, a, topic, box.handler)
		publish(t, b, topic, "x")
		box.awaits(t, "x")
		cancel()
	}
}

func stormOfSubscriptions(t *testing.T, open installation) {
	const workers, rounds, topics = 8, 60, 20
	a, b := open(options{}), open(options{})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range rounds {
				topic := fmt.Sprint("topic ", rand.N(topics))
				var mine inbox
				cancel, err := a.Subscribe(t.Context(), topic, mine.handler)
				if err != nil {
					t.Errorf("subscribe: %v", err)
					return
				}
				text := fmt.Sprint(w, " ", n)
				if err := b.Publish(topic, []byte(text)); err != nil {
					t.Errorf("publish: %v", err)
				}
				await(t, text, func() bool { return mine.has(text) })
				cancel()
			}
		})
	}
	wg.Wait()
}

func endedContext(t *testing.T, open installation) {
	a := open(options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Subscribe(ctx, "room", func([]byte) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("subscribe: %v", err)
	}
	if err := a.Healthy(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("healthy: %v", err)
	}
}

func fullQueueIsALoss(t *testing.T, open installation) {
	var lost losses
	a := open(options{onLost: lost.lost, Options: cluster.Options{QueueBytes: 10_000}})
	var box inbox
	blocked := make(chan struct{})
	subscribe(t, a, "room", func(payload []byte) {
		<-blocked
		box.handler(payload)
	})
	const messages = 300 // so many that those under way matter little
	payload := strings.Repeat("x", 1000)
	for range messages {
		if err := a.Publish("room", []byte(payload)); err != nil && !errors.Is(err, cluster.ErrFull) {
			t.Errorf("publish: %v", err)
		}
	}
	close(blocked)
	await(t, "OnLost", func() bool { return lost.count() > 0 })
	if n := len(box.all()); n < 5 || n > messages/2 {
		t.Errorf("%d of %d messages came; some 9 have room", n, messages)
	}
	if err := a.Publish("room", make([]byte, 20_000)); !errors.Is(err, cluster.ErrFull) {
		t.Errorf("publishing more than fits: %v", err)
	}
	publish(t, a, "room", "after")
	box.awaits(t, "after")
}

func closedNodeRefuses(t *testing.T, open installation) {
	a := open(options{})
	cancel := subscribe(t, a, "room", func([]byte) { t.Error("called after Close") })
	join(t, a, "room", "ann", "1", true)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	cancel()
	ctx := t.Context()
	_, subscribed := a.Subscribe(ctx, "room", func([]byte) {})
	_, joined := a.Join(ctx, "room", "ann", "2")
	_, left := a.Leave(ctx, "room", "ann", "1")
	_, _, members := a.Members(ctx, "room", 1)
	_, online := a.Online(ctx, []string{"room"})
	for what, err := range map[string]error{
		"publish": a.Publish("room", nil), "subscribe": subscribed, "healthy": a.Healthy(ctx),
		"join": joined, "leave": left, "members": members, "online": online,
	} {
		if !errors.Is(err, cluster.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func firstAndLast(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	join(t, a, "room", "ann", "1", true)
	join(t, b, "room", "ann", "2", false)
	join(t, b, "room", "ben", "3", true)
	join(t, b, "other", "ann", "2", true)
	leave(t, a, "room", "ann", "1", false)
	leave(t, b, "room", "ann", "2", true)
	join(t, a, "room", "ann", "4", true)
	leave(t, a, "room", "ann", "4", true)
	if diff := cmp.Diff([]string{"ben"}, members(t, a, "room")); diff != "" {
		t.Error(diff)
	}
	leave(t, b, "room", "ben", "3", true)
	if diff := cmp.Diff([]string(nil), members(t, a, "room")); diff != "" {
		t.Error(diff)
	}
}

func membersInOrderOfJoining(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	var want []string
	for i, name := range []string{"dan", "ann", "eva", "ben", "cat"} {
		join(t, []cluster.Node{a, b}[i%2], "room", name, "1 of "+name, true)
		want = append(want, name)
	}
	join(t, b, "room", "dan", "2 of dan", false) // a second device doesn't move him
	if diff := cmp.Diff(want, members(t, b, "room")); diff != "" {
		t.Error(diff)
	}
	leave(t, a, "room", "dan", "1 of dan", false) // the entry that is left joined last
	if diff := cmp.Diff([]string{"ann", "eva", "ben", "cat", "dan"}, members(t, a, "room")); diff != "" {
		t.Error(diff)
	}
}

// A room gives the same answers however many entries it has, in whatever order they leave.
func membersComeAndGo(t *testing.T, open installation) {
	a := open(options{})
	want := map[string]int{} // the number of each member's sockets
	var order []string       // the members, by their first sockets
	come := func(member, id string) {
		join(t, a, "room", member, id, want[member] == 0)
		if want[member]++; want[member] == 1 {
			order = append(order, member)
		}
		if diff := cmp.Diff(order, members(t, a, "room")); diff != "" {
			t.Errorf("after %s has come (-want +got):\n%s", id, diff)
		}
	}
	for i := range 25 {
		come(fmt.Sprint("m", i%5), fmt.Sprint(i))
	}
	for _, i := range []int{24, 0, 7, 5, 10, 3, 8, 13, 1, 22, 23, 21, 2, 4, 6, 9, 11, 12, 20, 14, 19, 15, 18, 16, 17} { // the last, the first, and between
		member := fmt.Sprint("m", i%5)
		want[member]--
		leave(t, a, "room", member, fmt.Sprint(i), want[member] == 0)
		_, total, err := a.Members(t.Context(), "room", 100)
		there := 0
		for _, n := range want {
			there += min(n, 1)
		}
		if total != there || err != nil {
			t.Errorf("after %d has left: %d members, %v, want %d", i, total, err, there)
		}
	}
	order = nil
	come("ann", "1")
}

func membersUpToALimit(t *testing.T, open installation) {
	a := open(options{})
	for i := range 30 {
		join(t, a, "room", fmt.Sprint(i/3), fmt.Sprint("socket ", i), i%3 == 0)
	}
	for _, limit := range []int{-1, 0, 1, 2, 7, 10, 100} {
		got, total, err := a.Members(t.Context(), "room", limit)
		var want []string
		for i := range max(min(limit, 10), 0) {
			want = append(want, fmt.Sprint(i))
		}
		if diff := cmp.Diff(want, got); diff != "" || total != 10 || err != nil {
			t.Errorf("limit %d: total %d, %v, %s", limit, total, err, diff)
		}
	}
}

func concurrentJoinsHaveOneFirst(t *testing.T, open installation) {
	const devices = 20
	nodes := []cluster.Node{open(options{}), open(options{})}
	count := func(do func(node cluster.Node, id string) (bool, error)) (yes int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() {
				ok, err := do(nodes[i%2], fmt.Sprint(i))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if ok {
					yes++
				}
			})
		}
		wg.Wait()
		return yes
	}
	for range 5 {
		if first := count(func(n cluster.Node, id string) (bool, error) {
			return n.Join(t.Context(), "room", "ann", id)
		}); first != 1 {
			t.Errorf("%d joins were the first", first)
		}
		if last := count(func(n cluster.Node, id string) (bool, error) {
			return n.Leave(t.Context(), "room", "ann", id)
		}); last != 1 {
			t.Errorf("%d leaves were the last", last)
		}
	}
}

func online(t *testing.T, open installation) {
	a, b := open(options{}), open(options{})
	var rooms []string
	var want []bool
	for i := range 2500 {
		rooms = append(rooms, fmt.Sprint("account ", i))
		want = append(want, i%100 == 3)
		if i%100 == 3 {
			join(t, a, rooms[i], "ann", "1", true)
		}
	}
	got, err := b.Online(t.Context(), rooms)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	leave(t, a, rooms[3], "ann", "1", true)
	got, err = b.Online(t.Context(), rooms[3:4])
	if diff := cmp.Diff([]bool{false}, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	if got, err := b.Online(t.Context(), nil); len(got) > 0 || err != nil {
		t.Errorf("no rooms: %v, %v", got, err)
	}
}

func healthyWhileNothingIsWrong(t *testing.T, open installation) {
	a := open(options{})
	subscribe(t, a, "room", func([]byte) {})
	await(t, "health", func() bool { return a.Healthy(t.Context()) == nil })
}

func leavingWhatWasNotJoinedIsNothing(t *testing.T, open installation) {
	a := open(options{})
	leave(t, a, "room", "ann", "1", false)
	join(t, a, "room", "ann", "1", true)
	join(t, a, "room", "ann", "1", true) // the same socket again
	leave(t, a, "room", "ann", "2", false)
	leave(t, a, "room", "ann", "1", true)
	leave(t, a, "room", "ann", "1", false)
}
