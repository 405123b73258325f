package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tim/internal/cluster"
	"tim/internal/fault"
)

func TestSeenIsBoundInMemory(t *testing.T) {
	t.Parallel()
	const most = 1 << 13 // and not 1<<17, for the time that it takes
	s, now := newSeen(), time.Now()
	s.most = most
	for i := range 1000 {
		s.ended(fmt.Sprint("ended ", i), fault.SessionEnded, now)
	}
	for i := range most + most/4 {
		s.note(fmt.Sprint(i), standing{}, now)
		if len(s.sessions) > most {
			t.Fatalf("%d sessions after %d", len(s.sessions), i+1)
		}
	}
	for i := range 1000 {
		if s.look(fmt.Sprint("ended ", i), now).state != ended {
			t.Fatal("an end was forgotten before what the database can tell")
		}
	}
	for id := range s.sessions {
		s.sessions[id] = sighting{state: ended, until: now.Add(time.Minute)}
	}
	for i := range most { // a table of ended sessions alone is bounded too
		if len(s.sessions) == most {
			break
		}
		s.ended(fmt.Sprint("another ", i), fault.SessionEnded, now)
	}
	if s.ended("the last", fault.SessionEnded, now); len(s.sessions) > most {
		t.Errorf("%d sessions", len(s.sessions))
	}
}

func TestSeen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	see := func(at time.Duration) func(*seen) { return func(s *seen) { s.note("x", standing{}, now.Add(at)) } }
	dead := func(at time.Duration) func(*seen) {
		return func(s *seen) { s.ended("x", fault.SessionEnded, now.Add(at)) }
	}
	missing := func(s *seen) { s.missing("x", now) }
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
			if got := s.look("x", now.Add(tt.at)).state; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// slowRefill is longer than any test: a busy machine must not forgive a failure meanwhile.
const slowRefill = time.Hour

// failures returns limits in memory.
func failures(pair, account, address int) Failures {
	node := cluster.NewMemory(cluster.Options{})
	return Failures{
		PerPair: node.Limit("pair", pair, slowRefill), PerAccount: node.Limit("account", account, slowRefill),
		PerAddress: node.Limit("address", address, slowRefill),
	}
}

// limited returns a node with limits on failed logins.
func limited(t *testing.T, n *node, limits Failures) *node {
	t.Helper()
	n.register(t, "alice")
	n.register(t, "bob")
	options := n.Options
	options.Failures = limits
	n.Auth = New(options)
	return n
}

// from tries to log in.
func (n *node) from(t testing.TB, address, device, account, offered string) error {
	t.Helper()
	_, _, err := n.Login(t.Context(), account, offered, address, device)
	return err
}

// guess fails until it is refused, and returns after how many failures.
func (n *node) guess(t testing.TB, address, account string) int {
	t.Helper()
	for i := range 1000 {
		err := n.from(t, address, "a guesser", account, "wrong")
		if fault.Is(err, fault.TooManyAttempts) {
			return i
		}
		refused(t, err, fault.WrongCredentials)
	}
	t.Fatal("nothing stops a guesser")
	return 0
}

func TestFailuresAtOneAddressConcernNoOther(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		limited(t, n, failures(3, 20, 0))
		if tried := n.guess(t, "192.0.2.1", "alice"); tried != 3 {
			t.Errorf("%d guesses", tried)
		}
		err := n.from(t, "192.0.2.1", "", "alice", password)
		refused(t, err, fault.TooManyAttempts)
		if f := fault.From(err); f.RetryAfter <= 0 || f.RetryAfter > slowRefill {
			t.Errorf("try again after %s", f.RetryAfter)
		}
		must(t, n.from(t, "192.0.2.1", "", "bob", password)) // the office isn't locked out by one fool
		must(t, n.from(t, "192.0.2.2", "", "alice", password))
		must(t, n.from(t, "2001:db8::1", "", "alice", password))
	})
}

// Who guesses from many addresses is slowed down, and doesn't shut out who has logged in before: neither from the same device,
// nor from another one at the same address, nor when the fool sits there.
func TestGuessesFromManyAddresses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		limited(t, n, failures(3, 10, 0))
		must(t, n.from(t, "198.51.100.1", "phone", "alice", password))
		tried := 0
		for i := range 20 {
			tried += n.guess(t, fmt.Sprint("192.0.2.", i), "alice")
		}
		if tried != 10 {
			t.Errorf("%d guesses from 20 addresses", tried)
		}
		refused(t, n.from(t, "203.0.113.1", "phone", "alice", password), fault.TooManyAttempts)
		must(t, n.from(t, "198.51.100.1", "phone", "alice", password))
		must(t, n.from(t, "198.51.100.1", "tablet", "alice", password))
		// Another one who guesses at the known address finds the bucket of the address, and leaves the devices theirs.
		if tried := n.guess(t, "198.51.100.1", "alice"); tried != 3 {
			t.Errorf("%d guesses at the known address", tried)
		}
		refused(t, n.from(t, "198.51.100.1", "new", "alice", password), fault.TooManyAttempts)
		must(t, n.from(t, "198.51.100.1", "tablet", "alice", password))
		for range 3 {
			refused(t, n.from(t, "198.51.100.1", "tablet", "alice", "wrong"), fault.WrongCredentials)
		}
		refused(t, n.from(t, "198.51.100.1", "tablet", "alice", password), fault.TooManyAttempts)
		must(t, n.from(t, "198.51.100.1", "phone", "alice", password))
		must(t, n.from(t, "203.0.113.1", "phone", "bob", password))
	})
}

// Who guesses for many accounts from one address shuts out those who haven't logged in from there, and no others.
func TestGuessesForManyAccounts(t *testing.T) {
	t.Parallel()
	n := limited(t, onSQLite(t), failures(3, 10, 5))
	must(t, n.from(t, "192.0.2.1", "desktop", "alice", password))
	for i := range 5 {
		refused(t, n.from(t, "192.0.2.1", "", fmt.Sprint("nobody", i), password), fault.WrongCredentials)
	}
	refused(t, n.from(t, "192.0.2.1", "", "bob", password), fault.TooManyAttempts)
	must(t, n.from(t, "192.0.2.2", "", "bob", password))
	must(t, n.from(t, "192.0.2.1", "desktop", "alice", password))
	refused(t, n.from(t, "192.0.2.1", "laptop", "alice", password), fault.TooManyAttempts)
}

func TestIPv6CountsByNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64", "2001:db8:0:0:ffff::9": "2001:db8::/64",
		"2001:db8:0:1::1": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64", "": "", "nonsense": "nonsense",
	} {
		if got := network(address); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
	n := limited(t, onSQLite(t), failures(3, 0, 0))
	for i := range 3 {
		refused(t, n.from(t, fmt.Sprintf("2001:db8::%x", i), "", "alice", "wrong"), fault.WrongCredentials)
	}
	refused(t, n.from(t, "2001:db8::ffff:1", "", "alice", password), fault.TooManyAttempts)
	must(t, n.from(t, "2001:db8:0:1::1", "", "alice", password))
}

// A change of password forgets the devices: whoever has learned the old one has logged in, too.
func TestKnownDevices(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		limited(t, n, Failures{})
		ctx := t.Context()
		known := func(address, device string) [2]bool {
			k, err := n.known(ctx, n.place("alice", address, device))
			must(t, err)
			return [2]bool{k.address, k.device}
		}
		must(t, n.from(t, "192.0.2.1", "phone", "alice", password))
		must(t, n.from(t, "192.0.2.1", "phone", "alice", password))
		refused(t, n.from(t, "192.0.2.9", "phone", "alice", "wrong"), fault.WrongCredentials)
		for _, tt := range []struct {
			address, device string
			want            [2]bool
		}{
			{"192.0.2.1", "phone", [2]bool{true, true}},
			{"192.0.2.1", "tablet", [2]bool{true, false}},
			{"192.0.2.9", "phone", [2]bool{false, false}},
		} {
			if got := known(tt.address, tt.device); got != tt.want {
				t.Errorf("%s %s: known %v", tt.address, tt.device, got)
			}
		}
		for i := range 2 * maxPlaces { // the newest stay
			must(t, n.from(t, fmt.Sprint("198.51.100.", i), "phone", "alice", password))
		}
		rows, err := n.DB.Read().Places(ctx, "alice")
		must(t, err)
		if len(rows) != maxPlaces || known(fmt.Sprint("198.51.100.", 2*maxPlaces-1), "phone") != [2]bool{true, true} {
			t.Errorf("%d are known", len(rows))
		}
		n.exec(t, "UPDATE place SET used_at = ?", ms(time.Now().Add(-placeLife-time.Hour)))
		if got := known(fmt.Sprint("198.51.100.", 2*maxPlaces-1), "phone"); got[0] || got[1] {
			t.Error("known for ever")
		}
		must(t, n.from(t, "192.0.2.1", "phone", "alice", password))
		if rows, err = n.DB.Read().Places(ctx, "alice"); err != nil || len(rows) != 2 {
			t.Errorf("%d are left after years, %v", len(rows), err)
		}
		must(t, n.SetPassword(ctx, "alice", "another"))
		if got := known("192.0.2.1", "phone"); got[0] || got[1] {
			t.Error("known after the password was set")
		}
	})
}

func TestGoodLoginsAreNotLimited(t *testing.T) {
	t.Parallel()
	n := limited(t, onSQLite(t), failures(1, 1, 1))
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			if err := n.from(t, "192.0.2.1", "", "alice", password); err != nil {
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
	n := limited(t, onSQLite(t), failures(burst, 0, 0))
	leave := n.Passwords.occupy(t) // until all are past the check before the slot
	var tried atomic.Int64
	var work sync.WaitGroup
	for i := range 60 {
		work.Go(func() {
			door := n.door(n.place("alice", "192.0.2.1", ""), acquaintance{})
			_, err := n.try(t.Context(), door, ofLogin, fmt.Sprint(i), "", "wrong")
			if fault.Is(err, fault.WrongCredentials) {
				tried.Add(1)
			} else {
				refused(t, err, fault.TooManyAttempts)
			}
		})
	}
	await(t, "all stand in the line", func() bool { return n.Passwords.line.waiting() >= 60 })
	leave()
	work.Wait()
	if got, most := int(tried.Load()), burst+runtime.GOMAXPROCS(0)-1; got < burst || got > most {
		t.Errorf("%d passwords were tried, want %d to %d", got, burst, most)
	}
}

// occupy takes all slots until the function that it returns is called.
func (p *Passwords) occupy(t testing.TB) (leave func()) {
	t.Helper()
	var all []func()
	for range p.line.slots {
		leave, err := p.line.enter(t.Context(), ofLogin, "")
		must(t, err)
		all = append(all, leave)
	}
	return func() {
		for _, leave := range all {
			leave()
		}
	}
}

func TestRegistrationsAreLimited(t *testing.T) {
	t.Parallel()
	r := Registrations{Passwords: passwordsOf(t, 4), PerAddress: cluster.NewMemory(cluster.Options{}).Limit("r", 3, 20*time.Minute)}
	hash := func(address, offered string) error {
		_, err := r.Hash(t.Context(), offered, address, true)
		return err
	}
	for range 10 { // what isn't hashed doesn't count
		refused(t, hash("192.0.2.1", "short"), fault.InvalidBody)
	}
	for range 3 {
		must(t, hash("192.0.2.1", password))
	}
	err := hash("192.0.2.1", password)
	refused(t, err, fault.TooManyRegistrations)
	if after := fault.From(err).RetryAfter; after < 19*time.Minute || after > 20*time.Minute {
		t.Errorf("try again after %s", after)
	}
	must(t, hash("192.0.2.2", password))
	_, err = r.Hash(t.Context(), password, "192.0.2.1", false) // by invitation
	must(t, err)
	refused(t, hash("192.0.2.1", password), fault.TooManyRegistrations)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	leave := r.Passwords.occupy(t)
	if _, err := r.Hash(ctx, password, "192.0.2.3", true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	leave()
	for range 3 { // who went away from the line hasn't hashed
		must(t, hash("192.0.2.3", password))
	}
}
