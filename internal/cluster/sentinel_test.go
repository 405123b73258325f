package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

func TestCheckURLs(t *testing.T) {
	t.Parallel()
	for _, urls := range []string{
		"redis://h", "redis://u:p@h:1/2", "rediss://h:1", "redis://a:1,redis://b:2",
		"redis+sentinel://h/m", "redis+sentinel://a,b:26380,[::1]:1/my-master", "rediss+sentinel://u:p%2F%40@a:1,b:2/m?db=3&sentinel_username=x&sentinel_password=y",
		"redis+sentinel://:p@a:1/m/", " redis+sentinel://a/m ",
	} {
		if err := cluster.CheckURLs(urls); err != nil {
			t.Errorf("%s: %v", urls, err)
		}
	}
	for _, urls := range []string{
		"", "h:6379", "http://h", "redis://h:x", "redis://a,redis://b/1", "redis+sentinel://", "redis+sentinel://h", "redis+sentinel://h/", "redis+sentinel:///m",
		"redis+sentinel://u:Secret@a:x/m", "redis+sentinel://u:Secret@a:0/m", "redis+sentinel://u:Secret@a:70000/m", "redis+sentinel://u:Secret@a,,b/m",
		"redis+sentinel://u:Sec/Secret@a:1/m", "redis+sentinel://u:Secret#@a:1/m", "redis+sentinel://u:Secret@a:1/m/n", "redis+sentinel://u:Secret@a:1/m?db=x",
		"redis+sentinel://u:Secret@a:1/m?Secret=1", "redis+sentinel://u:Secret%zz@a:1/m", "redis+sentinel://a/m,redis+sentinel://b/Secret",
	} {
		if err := cluster.CheckURLs(urls); err == nil || strings.Contains(err.Error(), "Secret") {
			t.Errorf("%s: %v", urls, err)
		}
	}
}

// TestRedisSentinel: the master dies under traffic. The Sentinels make the replica the master, the nodes follow, and they are told that
// messages may be lost.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	urls, master := testserver.RedisSentinel(t)
	var lost losses
	a, b := openRedis(t, urls, options{}), openRedis(t, urls, options{onLost: lost.lost})
	var box inbox
	subscribe(t, b, "room", box.handler)
	join(t, a, "room", "ann", "1", true)
	healthy(t, a, b)
	mark, err := a.Mark(t.Context(), "x")
	if err != nil || mark != "x" {
		t.Errorf("mark %q, %v", mark, err)
	}
	publish(t, a, "room", "before")
	box.awaits(t, "before")
	before := lost.count()
	master.Kill()
	sent := 0
	between := time.NewTicker(10 * time.Millisecond)
	defer between.Stop()
	for end := time.Now().Add(4 * patience); ; sent++ { // traffic all the while
		_ = a.Publish("room", fmt.Appendf(nil, "%d", sent)) // it fails while there is no master
		if lost.count() > before && a.Healthy(t.Context()) == nil && b.Healthy(t.Context()) == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no failover: %v, %v", a.Healthy(t.Context()), b.Healthy(t.Context()))
		}
		<-between.C
	}
	await(t, "messages after the failover", func() bool {
		publish(t, a, "room", "after")
		return box.has("after")
	})
	await(t, "presence after the failover", func() bool {
		all, _, err := b.Members(t.Context(), "room", 10)
		return err == nil && len(all) == 1 && all[0] == "ann"
	})
	if mark, err := b.Mark(t.Context(), "y"); err != nil || mark == "" {
		t.Errorf("mark %q, %v", mark, err)
	}
}
