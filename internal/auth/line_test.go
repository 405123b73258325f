package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tim/internal/fault"
)

// Who waits gets a slot in this order: logins first, and within a rank the flows in turn.
func TestOrderOfTheLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, waiting, want string }{
		{"in order of arrival", "la lb lc", "la lb lc"},
		{"logins first", "ra rb la rc lb", "la lb ra rb rc"},
		{"known devices before other logins", "ra la kb lb ka", "kb ka la lb ra"},
		{"in turn", "la la la lb lc lb", "la lb lc la lb la"},
		{"each rank for itself", "ra ra rb la la lb", "la lb la ra rb ra"},
		{"who has gone is left out", "la lb! lc la! lb", "la lb lc"},
		{"a flow of nobody", "la! la! lb", "lb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLine(1, time.Millisecond)
				l.registered = time.Now()
				leave, err := l.enter(t.Context(), ofLogin, "")
				must(t, err)
				var mu sync.Mutex
				var got []string
				var gone []context.CancelFunc
				for one := range strings.FieldsSeq(tt.waiting) {
					name, goes := strings.CutSuffix(one, "!")
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if goes {
						gone = append(gone, cancel)
					}
					go func() {
						leave, err := l.enter(ctx, rank(strings.Index("klr", name[:1])), name[1:])
						if err != nil {
							return
						}
						mu.Lock()
						got = append(got, name)
						mu.Unlock()
						leave()
					}()
					synctest.Wait()
				}
				for _, cancel := range gone {
					cancel()
				}
				synctest.Wait()
				leave()
				synctest.Wait()
				if all := strings.Join(got, " "); all != tt.want {
					t.Errorf("got %s, want %s", all, tt.want)
				}
				if l.free != 1 || l.waiting() != 0 || l.queue[ofLogin].turns.Len()+len(l.queue[ofLogin].flows) != 0 {
					t.Errorf("%d slots are free, %d wait, %d turns", l.free, l.waiting(), l.queue[ofLogin].turns.Len())
				}
			})
		})
	}
}

// Who would wait longer than its deadline is refused at once, and so is who finds the line full. Others wait until then.
func TestTheLineIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		waiting  []string // logins
		deadline time.Duration
		waits    time.Duration // 0: refused at once
	}{
		{"nobody waits", nil, time.Hour, 2 * time.Second},
		{"its hash wouldn't be ready", nil, 3 * time.Second, 0},
		{"its hash will be ready", nil, 4500 * time.Millisecond, 2 * time.Second},
		{"two before it", []string{"a", "b"}, time.Hour, 6 * time.Second},
		{"two before it, and a deadline", []string{"a", "b"}, 6 * time.Second, 0},
		{"two of one flow before it", []string{"a", "a"}, 6500 * time.Millisecond, 4 * time.Second},
		{"too many before it", []string{"a", "b", "c", "d", "e"}, time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLine(1, 2*time.Second)
				hold := func(leave func(), err error) {
					must(t, err)
					time.Sleep(2 * time.Second)
					leave()
				}
				leave, err := l.enter(t.Context(), ofLogin, "first")
				must(t, err)
				var work sync.WaitGroup
				for _, flow := range tt.waiting {
					// The wait is so short that the line itself lets them in.
					l.took = time.Millisecond
					work.Go(func() { hold(l.enter(t.Context(), ofLogin, flow)) })
					synctest.Wait()
				}
				l.took = 2 * time.Second
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				work.Go(func() { hold(leave, nil) })
				mine, err := l.enter(ctx, ofLogin, "mine")
				switch waited := time.Since(start); {
				case tt.waits == 0:
					refused(t, err, fault.Busy)
					if waited > 0 || fault.From(err).RetryAfter <= 0 {
						t.Errorf("refused after %s with %+v", waited, fault.From(err))
					}
				case err != nil || waited != tt.waits:
					t.Errorf("waited %s, %v, want %s", waited, err, tt.waits)
				default:
					mine()
				}
				work.Wait()
			})
		})
	}
}

func TestTheLineIsBoundedInNumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(2, time.Nanosecond)
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		refusals := make([]int, ranks)
		var mu sync.Mutex
		for r := range ranks {
			for i := range 3 * maxWaiting {
				work.Go(func() {
					if _, err := l.enter(ctx, r, fmt.Sprint(i%40)); fault.Is(err, fault.Busy) {
						mu.Lock()
						refusals[r]++
						mu.Unlock()
					}
				})
			}
			synctest.Wait()
		}
		if l.waiting() != int(ranks)*maxWaiting || slices.Min(refusals) < 2*maxWaiting-2 {
			t.Errorf("%d wait, %v were refused", l.waiting(), refusals)
		}
		cancel()
		work.Wait()
		if l.waiting() != 0 {
			t.Errorf("%d wait when all have gone", l.waiting())
		}
		one := newLine(1, time.Nanosecond)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		errs := make([]error, 2*maxOfOne)
		for i := range errs {
			work.Go(func() { _, errs[i] = one.enter(ctx, ofRegistration, "one") })
		}
		synctest.Wait()
		if one.waiting() != maxOfOne {
			t.Errorf("%d of one flow wait", one.waiting())
		}
		work.Wait() // until the deadline
		if n := len(slices.DeleteFunc(errs, func(err error) bool { return fault.Is(err, fault.Busy) })); n != 1 || one.waiting() != 0 {
			t.Errorf("%d were not refused, %d wait", n, one.waiting())
		}
	})
}

// However many register, a slot stays free for a login, and none begins while a login has another; but one a second does.
func TestRegistrationsLeaveASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(3, time.Millisecond)
		var mu sync.Mutex
		var registered []func()
		expect := func(what string, n, free int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(registered) != n || l.free != free {
				t.Errorf("%s: %d have registered, %d slots are free, want %d and %d", what, len(registered), l.free, n, free)
			}
		}
		login := func() func() {
			leave, err := l.enter(t.Context(), ofLogin, "")
			must(t, err)
			return leave
		}
		var work sync.WaitGroup
		for range 6 {
			work.Go(func() {
				leave, err := l.enter(t.Context(), ofRegistration, "")
				must(t, err)
				mu.Lock()
				defer mu.Unlock()
				registered = append(registered, leave)
			})
			synctest.Wait()
		}
		l.registered = time.Now()
		expect("six come", 2, 1)
		first := login()
		registered[0]()
		expect("beside a login", 2, 1)
		second := login()
		first()
		expect("beside another", 2, 1)
		third := login()
		time.Sleep(registerEvery)
		third()
		expect("after a second of logins", 3, 0)
		second()
		expect("the login ends", 3, 1)
		for i := 1; i < 6; i++ {
			registered[i]()
			synctest.Wait()
		}
		expect("in the end", 6, 3)
		work.Wait()
	})
}

// The forecast follows what the callers need.
func TestTheLineLearns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(1, time.Millisecond)
		for range 50 {
			leave, err := l.enter(t.Context(), ofLogin, "")
			must(t, err)
			time.Sleep(time.Second)
			leave()
		}
		if l.took < 900*time.Millisecond || l.took > time.Second {
			t.Errorf("it takes %s to wait for a second", l.took)
		}
	})
}

// Beside 300 callers that register in loops a login takes three times as long as alone at most, or less than a second.
func TestLoginsBesideRegistrations(t *testing.T) {
	t.Parallel()
	p := passwordsOf(t, bcrypt.MinCost+1)
	hash, err := p.Hash(t.Context(), password)
	must(t, err)
	login := func() time.Duration {
		start := time.Now()
		leave, err := p.line.enter(t.Context(), ofLogin, "victim")
		must(t, err)
		defer leave()
		if matches, _ := p.match(hash, password); !matches {
			t.Error("the password doesn't match")
		}
		return time.Since(start)
	}
	median := func() time.Duration {
		took := make([]time.Duration, 11)
		for i := range took {
			took[i] = login()
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	idle := median()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for i := range 300 {
		work.Go(func() {
			for ctx.Err() == nil {
				_, err := p.hashNew(ctx, password, ofRegistration, fmt.Sprint(i%30))
				if err != nil && !fault.Is(err, fault.Busy) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if fault.Is(err, fault.Busy) {
					select { // a client's pause, or the refusals alone keep the processors busy
					case <-ctx.Done():
					case <-time.After(10 * time.Millisecond):
					}
				}
			}
		})
	}
	await(t, "a hundred stand in the line", func() bool { return p.line.waiting() >= 100 })
	if busy := median(); busy > max(time.Second, 3*idle) {
		t.Errorf("a login takes %s, and %s alone", busy, idle)
	}
	cancel()
	work.Wait()
}
