package auth

import (
	"database/sql"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"tim/internal/fault"
)

func passwordsOf(t testing.TB, cost int) *Passwords {
	t.Helper()
	p, err := NewPasswords(cost)
	must(t, err)
	return p
}

func TestPasswordMatchesItsHashAlone(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4)
	for _, tt := range []struct{ name, password, other string }{
		{"six letters", "123456", "123457"},
		{"case counts", "secret", "Secret"},
		{"a space at the end counts", "secret ", "secret"},
		{"any script", "密码密码密码", "密码密码密碼"},
		{"72 bytes", strings.Repeat("x", 72), strings.Repeat("x", 71)},
		{"the 72nd byte counts", strings.Repeat("x", 71) + "y", strings.Repeat("x", 72)},
		{"what lies beyond 72 bytes is not overlooked", strings.Repeat("x", 72), strings.Repeat("x", 73)},
		{"nothing", "secret", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hash, err := p.Hash(t.Context(), tt.password)
			must(t, err)
			if matches, _ := p.match(hash, tt.password); !matches {
				t.Error("the password doesn't match its hash")
			}
			if matches, _ := p.match(hash, tt.other); matches {
				t.Errorf("%q matches too", tt.other)
			}
		})
	}
}

func TestHashesOfAnyCostMatch(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4)
	for _, cost := range []int{4, 5, 6} {
		hash, err := passwordsOf(t, cost).Hash(t.Context(), password)
		must(t, err)
		if got, err := bcrypt.Cost([]byte(hash)); err != nil || got != cost {
			t.Errorf("a hash of cost %d has %d, %v", cost, got, err)
		}
		if matches, _ := p.match(hash, password); !matches {
			t.Errorf("a hash of cost %d doesn't match", cost)
		}
	}
}

func TestHashOfTheOriginalMatches(t *testing.T) {
	t.Parallel()
	const seed = "$2a$10$Z1bN7FPY36VUhZQsVXjuT.CmQT91v9B.VBjsCgBV3DvPESQF6iq6e"
	if matches, _ := passwordsOf(t, 4).match(seed, "123456"); !matches {
		t.Error("the original's hash doesn't say what it said there")
	}
}

func TestWhatIsNoHashMatchesNothing(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4)
	good, err := p.Hash(t.Context(), password)
	must(t, err)
	for _, hash := range []string{"", password, good[:30], "$9a$04$" + good[7:], strings.Repeat("x", 60)} {
		for _, offered := range []string{hash, "nobody's password"} {
			if matches, _ := p.match(hash, offered); matches {
				t.Errorf("%q matches %q", hash, offered)
			}
		}
	}
}

// processorTime is how long a processor works for f. Other programs don't make it longer, as they do with the time that passes.
func processorTime(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var at unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
			panic(err)
		}
		return time.Duration(at.Nano())
	}
	start := used()
	f()
	return used() - start
}

// The time of a login doesn't tell which accounts exist.
func TestNoHashTakesAsLongAsOne(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4) // the lowest: nothing is padded
	hash, err := p.Hash(t.Context(), password)
	must(t, err)
	took := map[string]time.Duration{hash: time.Hour, "": time.Hour, "plain": time.Hour}
	alike := func() bool { return min(took[""], took["plain"]) >= took[hash]/2 }
	for n := 0; n < 1 || n < 20 && !alike(); n++ {
		for h, best := range took {
			took[h] = min(best, processorTime(func() { p.match(h, "another") }))
		}
	}
	if !alike() {
		t.Errorf("it takes %s without a hash, %s with a password as the hash, %s with a real hash", took[""], took["plain"], took[hash])
	}
}

func TestCostsAreChecked(t *testing.T) {
	t.Parallel()
	for _, cost := range []int{-1, 0, 3, 32, 100} {
		if _, err := NewPasswords(cost); err == nil {
			t.Errorf("a cost of %d is taken", cost)
		}
	}
}

func TestHashRefusesWhatBcryptWouldCut(t *testing.T) {
	t.Parallel()
	_, err := passwordsOf(t, 4).Hash(t.Context(), strings.Repeat("x", 73))
	refused(t, err, fault.InvalidBody)
}

// decomposed is "é" in two characters, which the profile makes one of.
const decomposed = "e\u0301"

// A password is hashed in one spelling, whichever is sent, and one that was hashed as it was sent matches in that spelling. It is
// then hashed anew.
func TestPasswordsInOneSpelling(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4)
	raw := func(password string, cost int) string {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		must(t, err)
		return string(hash)
	}
	for _, tt := range []struct {
		name, hash, offered string
		matches             bool
		renewed             string // the password of the new hash, "" for none
	}{
		{"composed, offered decomposed", raw("passé1", 4), "pass" + decomposed + "1", true, ""},
		{"decomposed before, offered decomposed", raw("pass"+decomposed+"1", 4), "pass" + decomposed + "1", true, "passé1"},
		{"decomposed before, offered composed", raw("pass"+decomposed+"1", 4), "passé1", false, ""},
		{"an ideographic space is a space", raw("pass word", 4), "pass\u3000word", true, ""},
		{"… and was itself before", raw("pass\u3000word", 4), "pass\u3000word", true, "pass word"},
		{"width isn't folded", raw("ｐassword", 4), "password", false, ""},
		{"the profile refuses it, and it was hashed before", raw("pass\x07word", 4), "pass\x07word", true, ""},
		{"… at another cost", raw("pass\x07word", 5), "pass\x07word", true, "pass\x07word"},
		{"another cost", raw("password", 5), "password", true, "password"},
		{"another cost and spelling", raw("pass"+decomposed+"1", 6), "pass" + decomposed + "1", true, "passé1"},
		{"a composition longer than what it is made of", raw(strings.Repeat("\u0958", 24), 4), strings.Repeat("\u0958", 24), true, strings.Repeat("\u0958", 24)},
		{"wrong", raw("password", 5), "passwort", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			matches, renewed := p.match(tt.hash, tt.offered)
			if matches != tt.matches || (renewed != "") != (tt.renewed != "") {
				t.Fatalf("matches %v, renewed %q", matches, renewed)
			}
			if renewed == "" {
				return
			}
			if cost, err := bcrypt.Cost([]byte(renewed)); err != nil || cost != 4 {
				t.Errorf("renewed at the cost %d, %v", cost, err)
			}
			must(t, bcrypt.CompareHashAndPassword([]byte(renewed), []byte(tt.renewed)))
			if matches, _ := p.match(renewed, tt.offered); !matches {
				t.Error("what was offered doesn't match the new hash")
			}
		})
	}
}

// Whatever the cost of the stored hash, the work of a wrong password is that of the highest cost.
func TestPaddingMakesTheSameWork(t *testing.T) {
	t.Parallel()
	for highest := bcrypt.MinCost; highest <= bcrypt.MaxCost; highest++ {
		for cost := bcrypt.MinCost; cost <= highest; cost++ {
			work := 1 << cost
			for _, more := range padding(cost, highest) {
				work += 1 << more
			}
			if work != 1<<highest {
				t.Errorf("a hash of cost %d makes the work %d, not %d", cost, work, 1<<highest)
			}
		}
	}
}

// A wrong password takes as long whatever the cost of the stored hash, and without one, in one spelling or two. Without the padding
// it would take a quarter of that.
func TestCostsCantBeMeasured(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 5)
	hashes := map[string]string{"none": "", "plain": "123456", "broken": "$2a$05$" + strings.Repeat("=", 53)}
	for _, cost := range []int{4, 6} {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		must(t, err)
		hashes[strconv.Itoa(cost)] = string(hash)
		p.meet(cost)
	}
	for _, offered := range []string{"another", "anoth" + decomposed + "r"} {
		took := make(map[string]time.Duration, len(hashes))
		alike := func() bool {
			all := slices.Collect(maps.Values(took))
			return slices.Min(all)*3 >= slices.Max(all)
		}
		for n := 0; n < 1 || n < 20 && !alike(); n++ {
			for name, hash := range hashes {
				if last := processorTime(func() { p.match(hash, offered) }); n == 0 || last < took[name] {
					took[name] = last
				}
			}
		}
		if !alike() {
			t.Errorf("%q takes %v", offered, took)
		}
	}
}

// An imported hash of an extreme cost doesn't hold a processor for hours, nor make other passwords expensive.
func TestExtremeCosts(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4)
	for _, cost := range []int{18, 31} {
		if matches, _ := p.match(fmt.Sprintf("$2a$%d$%s", cost, p.decoy[7:]), password); matches {
			t.Errorf("a hash of cost %d matches", cost)
		}
	}
	p.meet(17)
	if got := p.highest.Load(); got != 4+maxPadding {
		t.Errorf("wrong passwords take as long as cost %d", got)
	}
}

// A login renews the hash where its cost or spelling is another, and not when the password was changed meanwhile.
func TestLoginRenewsTheHash(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		stored := func() string {
			user, err := n.DB.Read().GetUser(t.Context(), "alice")
			must(t, err)
			return user.Password.String
		}
		first := stored()
		n.login(t, "alice")
		if stored() != first {
			t.Error("a hash of the right cost is renewed")
		}
		old, err := bcrypt.GenerateFromPassword([]byte("pass"+decomposed+"1"), 5)
		must(t, err)
		n.exec(t, "UPDATE user SET password = ?", string(old))
		refused(t, n.from(t, "192.0.2.1", "", "alice", "pass"), fault.WrongCredentials)
		if stored() != string(old) {
			t.Error("a wrong password renews the hash")
		}
		must(t, n.from(t, "192.0.2.1", "", "alice", "pass"+decomposed+"1"))
		if cost, err := bcrypt.Cost([]byte(stored())); err != nil || cost != 4 || stored() == string(old) {
			t.Errorf("after the login: cost %d, %v", cost, err)
		}
		must(t, n.from(t, "192.0.2.1", "", "alice", "passé1"))
		renewed, err := n.DB.Write().RenewPassword(t.Context(), sql.NullString{String: "x", Valid: true}, "alice", sql.NullString{String: string(old), Valid: true})
		if err != nil || renewed != 0 || stored() == "x" {
			t.Errorf("a renewal undoes a change: %d, %v", renewed, err)
		}
	})
}

// What wrong passwords cost is known from the first login on.
func TestCostsOfStoredHashesAreMet(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "bob")
		n.exec(t, "UPDATE user SET password = NULL WHERE account = 'alice'")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), 6)
		must(t, err)
		n.exec(t, "UPDATE user SET password = ? WHERE account = 'bob'", string(hash))
		must(t, MeetHashes(t.Context(), n.DB, n.Passwords))
		if got := n.Passwords.highest.Load(); got != 6 {
			t.Errorf("the highest cost is %d", got)
		}
	})
}

func FuzzPassword(f *testing.F) {
	for _, text := range []string{"123456", "pass" + decomposed, "\u3000\u3000abcd", "\x00", "\xff", "\u0958", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spelling, problem := newPassword(text)
		if problem != "" {
			return
		}
		again, problem := newPassword(spelling)
		if again != spelling || problem != "" || len(spelling) > MaxPasswordBytes {
			t.Errorf("%q becomes %q and then %q, %s", text, spelling, again, problem)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		password string
		good     bool
	}{
		{"", false},
		{"12345", false},
		{"123456", true},
		{"密码密码密", false}, // 15 bytes, 5 characters
		{"密码密码密码", true},
		{strings.Repeat("x", 72), true},
		{strings.Repeat("x", 73), false},
		{strings.Repeat("密", 24), true},
		{strings.Repeat("密", 25), false},       // 75 bytes
		{strings.Repeat(decomposed, 5), false}, // 5 characters, once it is composed
		{strings.Repeat(decomposed, 36), true}, // 72 bytes
		{strings.Repeat(decomposed, 37), false},
		{"pass\x00word", false},
		{"pass\u200bword", false},
		{"pass\ufeffword", false},
		{"pass\nword", false},
		{"pass word", true},
		{"pass\u3000word", true},
		{"pass😀word", true},
		{"\xff\xff\xff\xff\xff\xff", false},
	} {
		switch err := CheckPassword(tt.password); {
		case tt.good:
			if err != nil {
				t.Errorf("%q: %v", tt.password, err)
			}
		default:
			refused(t, err, fault.InvalidBody)
		}
	}
}
