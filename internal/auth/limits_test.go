package auth

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tim/internal/fault"
)

func TestAttempts(t *testing.T) {
	t.Parallel()
	const s = time.Second
	type step struct {
		at   time.Duration
		key  string
		fail bool          // the step is a failed attempt
		wait time.Duration // otherwise the step asks for the wait, which must be this
	}
	fails := func(n int, at time.Duration, key string) []step {
		steps := make([]step, n)
		for i := range steps {
			steps[i] = step{at: at, key: key, fail: true}
		}
		return steps
	}
	for _, tt := range []struct {
		name  string
		burst int
		steps []step
	}{
		{"nobody waits at first", 3, []step{{key: "a"}}},
		{"two of three", 3, append(fails(2, 0, "a"), step{key: "a"})},
		{"three of three", 3, append(fails(3, 0, "a"), step{key: "a", wait: 10 * s})},
		{"others don't wait", 3, append(fails(3, 0, "a"), step{key: "b"})},
		{"half of the time has passed", 3, append(fails(3, 0, "a"), step{at: 5 * s, key: "a", wait: 5 * s})},
		{"all of it", 3, append(fails(3, 0, "a"), step{at: 10 * s, key: "a"})},
		{"then one more, not three", 3, append(fails(3, 0, "a"),
			step{at: 10 * s, key: "a", fail: true}, step{at: 10 * s, key: "a", wait: 10 * s})},
		{"after a long time three again", 3, append(append(fails(3, 0, "a"), fails(2, 3600*s, "a")...), step{at: 3600 * s, key: "a"})},
		{"more failures than the burst cost no more", 3, append(fails(50, 0, "a"), step{key: "a", wait: 10 * s})},
		{"a burst of one", 1, append(fails(1, 0, "a"), step{at: s, key: "a", wait: 9 * s})},
		{"no limit", 0, append(fails(50, 0, "a"), step{key: "a"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, start := newAttempts(tt.burst, 10*s), time.Now()
			for i, step := range tt.steps {
				if step.fail {
					a.fail(step.key, start.Add(step.at))
					continue
				}
				if got := a.wait(step.key, start.Add(step.at)).Round(time.Millisecond); got != step.wait {
					t.Errorf("step %d: wait %s, want %s", i, got, step.wait)
				}
			}
		})
	}
}

// A client that sends ever new keys makes the table neither grow beyond its bound nor forget the key under attack for long.
func TestAttemptsAreBoundInMemory(t *testing.T) {
	t.Parallel()
	a, now := newAttempts(3, time.Second), time.Now()
	for i := range maxAttemptKeys + maxAttemptKeys/4 {
		a.fail(fmt.Sprint(i), now)
		if len(a.buckets) > maxAttemptKeys {
			t.Fatalf("%d keys after %d failures", len(a.buckets), i+1)
		}
	}
	// Keys without outstanding failures are deleted first.
	later := now.Add(time.Hour)
	a.fail("late", later)
	for i := range maxAttemptKeys {
		a.fail(fmt.Sprint("later ", i), later)
	}
	if _, kept := a.buckets["late"]; !kept && len(a.buckets) == maxAttemptKeys {
		t.Error("the table dropped one that owes before those that don't")
	}
}

func TestSeenIsBoundInMemory(t *testing.T) {
	t.Parallel()
	s, now := newSeen(), time.Now()
	for i := range 1000 {
		s.ended(fmt.Sprint("ended ", i), now)
	}
	for i := range maxSeen + maxSeen/4 {
		s.note(fmt.Sprint(i), true, now)
		if len(s.sessions) > maxSeen {
			t.Fatalf("%d sessions after %d", len(s.sessions), i+1)
		}
	}
	for i := range 1000 {
		if s.state(fmt.Sprint("ended ", i), now) != ended {
			t.Fatal("an end was forgotten before what the database can tell")
		}
	}
	for id := range s.sessions {
		s.sessions[id] = sighting{ended, now.Add(time.Minute)}
	}
	for i := range maxSeen { // a table of ended sessions alone is bounded too
		if len(s.sessions) == maxSeen {
			break
		}
		s.ended(fmt.Sprint("another ", i), now)
	}
	if s.ended("the last", now); len(s.sessions) > maxSeen {
		t.Errorf("%d sessions", len(s.sessions))
	}
}

func TestSeen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	see := func(at time.Duration) func(*seen) { return func(s *seen) { s.note("x", true, now.Add(at)) } }
	dead := func(at time.Duration) func(*seen) { return func(s *seen) { s.ended("x", now.Add(at)) } }
	missing := func(s *seen) { s.note("x", false, now) }
	forget := (*seen).clear
	type do = []func(*seen)
	for _, tt := range []struct {
		name string
		do   do
		at   time.Duration
		want state
	}{
		{"never seen", nil, 0, unknown},
		{"seen", do{see(0)}, rememberFor - 1, alive},
		{"seen too long ago", do{see(0)}, rememberFor, unknown},
		{"ended", do{dead(0)}, time.Second, ended},
		{"ended after it was seen", do{see(0), dead(0)}, time.Second, ended},
		{"an end is not revived by an answer from before it", do{dead(0), see(0)}, time.Second, ended},
		{"not even long after", do{dead(0), see(50 * time.Second)}, 51 * time.Second, ended},
		{"an end is forgotten when the database knows it", do{dead(0)}, time.Minute, unknown},
		{"everybody is forgotten", do{see(0), forget}, 0, unknown},
		{"but not ends", do{dead(0), forget}, time.Second, ended},
		{"not there any more", do{see(0), missing}, 0, unknown},
		{"an end stays though", do{dead(0), missing}, time.Second, ended},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSeen()
			for _, do := range tt.do {
				do(s)
			}
			if got := s.state("x", now.Add(tt.at)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// limited returns a node with limits on failed logins.
func limited(t *testing.T, perAccount, perAddress int) *node {
	t.Helper()
	n := onSQLite(t)
	n.register(t, "alice")
	n.register(t, "bob")
	options := n.Options
	options.FailuresPerAccount, options.FailuresPerAddress = perAccount, perAddress
	n.Auth = New(options)
	return n
}

func TestFailedLoginsAreLimitedPerAccount(t *testing.T) {
	t.Parallel()
	n := limited(t, 3, 0)
	for i := range 3 {
		_, _, err := n.Login(t.Context(), "alice", "wrong", fmt.Sprint("192.0.2.", i), "")
		refused(t, err, fault.WrongCredentials)
	}
	_, _, err := n.Login(t.Context(), "alice", password, "198.51.100.1", "")
	refused(t, err, fault.TooManyAttempts)
	if f := fault.From(err); f.RetryAfter <= 0 || f.RetryAfter > accountRefill {
		t.Errorf("try again after %s", f.RetryAfter)
	}
	n.login(t, "bob")
}

func TestFailedLoginsAreLimitedPerAddress(t *testing.T) {
	t.Parallel()
	n := limited(t, 0, 3)
	for i := range 3 {
		_, _, err := n.Login(t.Context(), fmt.Sprint("nobody", i), password, "192.0.2.1", "")
		refused(t, err, fault.WrongCredentials)
	}
	_, _, err := n.Login(t.Context(), "alice", password, "192.0.2.1", "")
	refused(t, err, fault.TooManyAttempts)
	_, _, err = n.Login(t.Context(), "alice", password, "192.0.2.2", "")
	must(t, err)
}

func TestGoodLoginsAreNotLimited(t *testing.T) {
	t.Parallel()
	n := limited(t, 1, 1)
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			if _, _, err := n.Login(t.Context(), "alice", password, "192.0.2.1", ""); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
}

// Many attempts at once don't get around the limit, but for those that already hold a slot.
func TestAttemptsAtOnceAreLimitedToo(t *testing.T) {
	t.Parallel()
	const burst = 3
	n := limited(t, burst, 0)
	for range cap(n.Passwords.slots) { // until all are past the check before the slot
		must(t, n.Passwords.enter(t.Context()))
	}
	var tried atomic.Int64
	var work sync.WaitGroup
	for range 60 {
		work.Go(func() {
			err := n.try(t.Context(), "alice", "192.0.2.1", "", "wrong")
			if fault.Is(err, fault.WrongCredentials) {
				tried.Add(1)
			} else {
				refused(t, err, fault.TooManyAttempts)
			}
		})
	}
	for range cap(n.Passwords.slots) {
		n.Passwords.leave()
	}
	work.Wait()
	if got, most := int(tried.Load()), burst+runtime.GOMAXPROCS(0)-1; got < burst || got > most {
		t.Errorf("%d passwords were tried, want %d to %d", got, burst, most)
	}
}
