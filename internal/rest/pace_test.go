package rest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tim/internal/fault"
)

func TestPace(t *testing.T) {
	t.Parallel()
	p, now := newPace(2, 3), time.Now()
	for _, step := range []struct {
		session string
		after   time.Duration
		wait    time.Duration // 0 if it may send
	}{
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, time.Second / 2},
		{"a", 0, time.Second / 2}, // a refusal doesn't count
		{"b", 0, 0},
		{"a", 400 * time.Millisecond, 100 * time.Millisecond},
		{"a", 100 * time.Millisecond, 0},
		{"a", 0, time.Second / 2},
		{"a", time.Hour, 0},
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, time.Second / 2},
	} {
		now = now.Add(step.after)
		err := p.take(step.session, now)
		if step.wait == 0 {
			must(t, err)
			continue
		}
		got := fault.From(err)
		same(t, "refused for", fault.RateLimited, got.Reason)
		if off := (got.RetryAfter - step.wait).Abs(); off > time.Millisecond {
			t.Errorf("%s must wait %s, want %s", step.session, got.RetryAfter, step.wait)
		}
	}
}

func TestNoPace(t *testing.T) {
	t.Parallel()
	for _, p := range []*pace{newPace(0, 5), newPace(5, 0), newPace(0, 0)} {
		for range 10 {
			must(t, p.take("a", time.Now()))
		}
	}
}

// However many sessions send, the number of those remembered is bounded. Idle ones are forgotten before busy ones.
func TestPaceIsBounded(t *testing.T) {
	t.Parallel()
	p, now := newPace(1, 2), time.Now()
	for i := range maxPaced - 1 {
		must(t, p.take(fmt.Sprint("quiet", i), now))
	}
	now = now.Add(time.Minute)
	for range 2 {
		must(t, p.take("busy", now))
	}
	must(t, p.take("one more", now))
	if len(p.limiters) != 2 {
		t.Errorf("%d are remembered", len(p.limiters))
	}
	if err := p.take("busy", now); !fault.Is(err, fault.RateLimited) {
		t.Errorf("the busy one: %v", err)
	}
	for i := range 3 * maxPaced { // each of them has just sent
		must(t, p.take(fmt.Sprint("flood", i), now))
	}
	if len(p.limiters) > maxPaced {
		t.Errorf("%d are remembered", len(p.limiters))
	}
}

// Messages that come at once are counted one by one.
func TestPaceAtOnce(t *testing.T) {
	t.Parallel()
	p, now := newPace(1, 50), time.Now()
	var sent atomic.Int64
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 20 {
				if p.take("a", now) == nil {
					sent.Add(1)
				}
			}
		})
	}
	work.Wait()
	same(t, "sent", 50, sent.Load())
}

// The limit holds only for sending, for each session by itself, and the refusal says when to try again.
func TestSendingTooFast(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Options) { o.SendRate, o.SendBurst = 0.001, 2 })
	alice, bob := s.login(t, "alice"), s.login(t, "bob")
	send := func(token string) *httptest.ResponseRecorder {
		return s.post("/Tim/sendMessage", `{"to": {"user": "carol"}, "clientId": "1", "body": {"kind": "text", "text": "x"}}`, "token", token)
	}
	for i, want := range []fault.Reason{fault.UnknownAccount, fault.UnknownAccount, fault.RateLimited, fault.RateLimited} {
		w := send(alice)
		same(t, fmt.Sprint("alice's ", i), want, fault.Reason(envelopeOf(t, w).Reason))
		if want != fault.RateLimited {
			continue
		}
		after, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if w.Code != http.StatusTooManyRequests || err != nil || after < 500 || after > 1000 {
			t.Errorf("%d, Retry-After %d, %v", w.Code, after, err)
		}
	}
	same(t, "bob's", fault.UnknownAccount, fault.Reason(envelopeOf(t, send(bob)).Reason))
	if w := s.get("/Tim/getFriends?account=alice", "token", alice); w.Code != http.StatusOK {
		t.Errorf("another route: %d %s", w.Code, w.Body)
	}
	if w := s.post("/Tim/sendMessage", "{}", "token", "x"); w.Code != http.StatusUnauthorized {
		t.Errorf("without a session: %d %s", w.Code, w.Body)
	}
}
