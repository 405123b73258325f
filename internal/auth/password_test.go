package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

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
			if !p.match(hash, tt.password) {
				t.Error("the password doesn't match its hash")
			}
			if p.match(hash, tt.other) {
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
		if !p.match(hash, password) {
			t.Errorf("a hash of cost %d doesn't match", cost)
		}
	}
}

func TestHashOfTheOriginalMatches(t *testing.T) {
	t.Parallel()
	const seed = "$2a$10$Z1bN7FPY36VUhZQsVXjuT.CmQT91v9B.VBjsCgBV3DvPESQF6iq6e"
	if p := passwordsOf(t, 4); !p.match(seed, "123456") {
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
			if p.match(hash, offered) {
				t.Errorf("%q matches %q", hash, offered)
			}
		}
	}
}

// The time of a login doesn't tell which accounts exist.
func TestNoHashTakesAsLongAsOne(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 6) // 2^6 rounds take long enough to be measured
	hash, err := p.Hash(t.Context(), password)
	must(t, err)
	took := map[string]time.Duration{hash: time.Hour, "": time.Hour, "plain": time.Hour}
	// The shortest of many times is what it takes without other programs; on a busy machine that needs more of them.
	alike := func() bool { return min(took[""], took["plain"]) >= took[hash]/2 }
	for n := 0; n < 4 || n < 400 && !alike(); n++ {
		for h, best := range took {
			start := time.Now()
			p.match(h, "another")
			took[h] = min(best, time.Since(start))
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
	if _, err := passwordsOf(t, 4).Hash(t.Context(), strings.Repeat("x", 73)); !errors.Is(err, bcrypt.ErrPasswordTooLong) {
		t.Errorf("73 bytes: %v", err)
	}
}

func TestHashWaitsForAProcessorNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, 4)
	for range cap(p.slots) {
		must(t, p.enter(t.Context()))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Hash(ctx, password); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("all processors are busy: %v", err)
	}
	p.leave()
	if _, err := p.Hash(t.Context(), password); err != nil {
		t.Errorf("one is free again: %v", err)
	}
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
		{strings.Repeat("密", 25), false}, // 75 bytes
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
