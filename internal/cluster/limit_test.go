package cluster

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tim/internal/testserver"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	const s = time.Second
	type step struct {
		at    time.Duration
		key   string
		spend int           // so many tokens are spent, or given back
		take  bool          // a token is taken, with this wait
		wait  time.Duration // otherwise the step asks for the wait, which must be this
	}
	spend := func(n int, at time.Duration) []step { return []step{{at: at, key: "a", spend: n}} }
	for _, tt := range []struct {
		name  string
		burst int
		steps []step
	}{
		{"nobody waits at first", 3, []step{{key: "a"}}},
		{"two of three", 3, append(spend(2, 0), step{key: "a"})},
		{"three of three", 3, append(spend(3, 0), step{key: "a", wait: 10 * s})},
		{"others don't wait", 3, append(spend(3, 0), step{key: "b"})},
		{"half of the time has passed", 3, append(spend(3, 0), step{at: 5 * s, key: "a", wait: 5 * s})},
		{"all of it", 3, append(spend(3, 0), step{at: 10 * s, key: "a"})},
		{"then one more, not three", 3, append(spend(3, 0), step{at: 10 * s, key: "a", spend: 1}, step{at: 10 * s, key: "a", wait: 10 * s})},
		{"after a long time three again", 3, append(append(spend(3, 0), spend(2, 3600*s)...), step{at: 3600 * s, key: "a"})},
		{"spending more than there is costs no more", 3, append(spend(50, 0), step{key: "a", wait: 10 * s})},
		{"a burst of one", 1, append(spend(1, 0), step{at: s, key: "a", wait: 9 * s})},
		{"taken until there is none", 2, []step{{key: "a", take: true}, {key: "a", take: true}, {key: "a", take: true, wait: 10 * s}, {at: 10 * s, key: "a", take: true}}},
		{"what isn't taken isn't spent", 1, []step{{key: "a", take: true}, {key: "a", take: true, wait: 10 * s}, {at: 10 * s, key: "a"}}},
		{"given back", 1, append(spend(1, 0), step{key: "a", spend: -1}, step{key: "a"}, step{key: "a", take: true})},
		{"given back more than there was", 1, append(spend(-5, 0), step{key: "a", take: true}, step{key: "a", wait: 10 * s})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, start := newMemoryLimit(), time.Now()
			for i, step := range tt.steps {
				do := func(s spending) time.Duration {
					return m.do(keyOf(step.key), tt.burst, 10*time.Second, s, start.Add(step.at))
				}
				switch {
				case step.spend > 0:
					for range step.spend {
						do(spending{tokens: 1, anyway: true})
					}
				case step.spend < 0:
					for range -step.spend {
						do(spending{tokens: -1, anyway: true})
					}
				default:
					what := spending{}
					if step.take {
						what.tokens = 1
					}
					if got := do(what).Round(time.Millisecond); got != step.wait {
						t.Errorf("step %d: wait %s, want %s", i, got, step.wait)
					}
				}
			}
		})
	}
}

func keyOf(text string) limitKey {
	sum := sha256.Sum256([]byte(text))
	return limitKey(sum[:])
}

// A client that sends ever new keys makes the table neither grow beyond its bound nor forget buckets that were spent while there
// are full ones.
func TestBucketsAreBoundInMemory(t *testing.T) {
	t.Parallel()
	m, now, one := newMemoryLimit(), time.Now(), spending{tokens: 1, anyway: true}
	for i := range maxLimitKeys + maxLimitKeys/4 {
		m.do(keyOf(fmt.Sprint(i)), 3, time.Second, one, now)
		if len(m.full) > maxLimitKeys {
			t.Fatalf("%d keys after %d", len(m.full), i+1)
		}
	}
	later := now.Add(time.Hour)
	m.do(keyOf("late"), 3, time.Second, one, later)
	for i := range maxLimitKeys {
		if len(m.full) == maxLimitKeys {
			break
		}
		m.do(keyOf(fmt.Sprint("later ", i)), 3, time.Second, one, later)
	}
	m.do(keyOf("one more"), 3, time.Second, one, later)
	if _, kept := m.full[keyOf("late")]; !kept {
		t.Error("the table dropped one that was spent before those that are full again")
	}
}

// In Redis, too, a bucket that is spent the most is dropped last, and nothing stays for ever.
func TestRedisLimitsAreBounded(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(testserver.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	ctx, script, key := t.Context(), newScripts().limit, t.Name()
	spend := func(bucket string, times int) {
		for range times {
			if err := script.Run(ctx, client, []string{key}, bucket, 1, 1, 5, time.Minute.Microseconds(), 3).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	spend("most", 4)
	for i := range 10 {
		spend(fmt.Sprint(i), 1)
	}
	buckets, err := client.ZRange(ctx, key, 0, -1).Result()
	if err != nil || len(buckets) != 3 || buckets[2] != "most" {
		t.Errorf("%q, %v", buckets, err)
	}
	if life, err := client.PTTL(ctx, key).Result(); err != nil || life <= 0 || life > 6*time.Minute {
		t.Errorf("the key lives %s, %v", life, err)
	}
}
