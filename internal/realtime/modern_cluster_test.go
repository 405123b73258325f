package realtime_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"tim/internal/testserver"
)

// Two nodes on a Redis Cluster, one of whose masters dies for good while clients of both nodes send: they say so in
// /readyz and go on, and every device gets everything, in one order and without a gap, in groups and in conversations of
// two.
func TestModernRedisCluster(t *testing.T) {
	t.Parallel()
	urls := testserver.RedisCluster(t)
	first, second := twoNodes(t, "--redis-url="+urls, "--limit-send-rate=0")
	first.users("alice", "bob", "carol")
	first.friends("alice", "bob")
	// Their topics lie on all masters: there are some more groups than masters.
	groups := make([]who, 6)
	for i := range groups {
		groups[i] = who{Group: first.group("alice", "bob", "carol")}
	}
	second.groups = first.groups
	const each, late = 20, 2
	senders := []*device{first.device("alice"), second.device("bob")}
	readers := []*device{first.device("carol"), second.device("carol"), second.device("alice"), first.device("bob")}
	for _, d := range readers {
		for _, g := range groups {
			d.has[g] = 3
		}
		d.has[who{User: "alice"}], d.has[who{User: "bob"}] = 0, 0
		d.sync()
	}
	var running sync.WaitGroup
	for i, d := range senders {
		running.Go(func() {
			for m := range each {
				for g, group := range groups {
					d.say(group, fmt.Sprint("m", d.session, m, "-", g))
				}
				d.say(who{User: []string{"bob", "alice"}[i]}, fmt.Sprint("to-you-", m))
			}
		})
	}
	readers[0].upTo(groups[0], 3+each/2)
	halt(t, strings.Split(urls, ",")[0])
	running.Wait()
	for _, w := range []*world{first, second} {
		eventually(t, "the node knows", func() bool {
			status, _, err := w.try("", http.MethodGet, "/readyz", nil, nil)
			return err == nil && status == http.StatusServiceUnavailable
		})
	}
	for i, d := range senders { // whom nobody on the other node hears of by way of the dead master
		for m := range late {
			for g, group := range groups {
				d.say(group, fmt.Sprint("late", d.session, m, "-", g))
			}
			d.say(who{User: []string{"bob", "alice"}[i]}, fmt.Sprint("late-to-you-", m))
		}
	}
	for _, d := range readers {
		for _, g := range groups {
			d.upTo(g, 3+2*(each+late))
			if diff := cmp.Diff(readers[0].texts[g], d.texts[g]); diff != "" {
				t.Errorf("two orders:\n%s", diff)
			}
		}
	}
	for _, d := range readers[2:] {
		with := who{User: map[string]string{"alice": "bob", "bob": "alice"}[d.session]}
		d.upTo(with, 2*(each+late))
		if got := len(d.texts[with]); got != 2*(each+late) {
			t.Errorf("%s got %d direct messages", d.session, got)
		}
	}
}

// halt ends a Redis as if its machine had died: it answers nothing any more, and isn't back.
func halt(t *testing.T, url string) {
	t.Helper()
	options, err := redis.ParseURL(url)
	must(t, err)
	options.MaxRetries, options.ReadTimeout = -1, time.Second
	client := redis.NewClient(options)
	defer client.Close()
	_ = client.ShutdownNoSave(t.Context()) // there is nobody left to answer
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("it is still there")
	}
}
