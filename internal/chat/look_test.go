package chat

import (
	"fmt"
	"sync"
	"testing"

	accounts "tim/internal/account"
	"tim/internal/fault"
)

func (h *house) tryRegister(t *testing.T, account string) error {
	t.Helper()
	_, err := h.Register(t.Context(), Registration{Account: account, Password: "123456", Username: "x"})
	return err
}

// An account that could be taken for one that exists isn't registered, whichever of them came first.
func TestLookAlikesAreRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "paypal", "Alice", "дима")
		for account, reason := range map[string]fault.Reason{
			"paypal": fault.AccountTaken, "раураl": fault.AccountTooSimilar, "PayPal": fault.AccountTooSimilar, "ｐａｙｐａｌ": fault.AccountTooSimilar,
			"pаypal": fault.AccountTooSimilar, "alice": fault.AccountTooSimilar, "AIice": fault.AccountTooSimilar, "ДИМА": fault.AccountTooSimilar,
			"Alice": fault.AccountTaken, "Alic\u0435": fault.AccountTooSimilar,
		} {
			refused(t, h.tryRegister(t, account), reason)
		}
		h.register(t, "paypal2", "alicia", "dima")
	})
}

// Of accounts that look alike and are registered at once, one is.
func TestLookAlikesAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		for round := range 5 {
			names := []string{fmt.Sprintf("Bob%d", round), fmt.Sprintf("bob%d", round), fmt.Sprintf("b\u043eb%d", round), fmt.Sprintf("ｂob%d", round)}
			errs := make([]error, len(names))
			var work sync.WaitGroup
			for i, name := range names {
				work.Go(func() { errs[i] = h.tryRegister(t, name) })
			}
			work.Wait()
			made := 0
			for _, err := range errs {
				if err == nil {
					made++
				} else {
					refused(t, err, fault.AccountTooSimilar)
				}
			}
			if made != 1 {
				t.Errorf("%d of %v were made: %v", made, names, errs)
			}
		}
	})
}

func TestReservedAccounts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		some := h.reopened(t, func(o *Options) { o.Reserved = accounts.Reserve([]string{"admin", "客服"}) })
		for _, account := range []string{"admin", "Admin", "аdmin", "ad.min", "客服"} {
			refused(t, some.tryRegister(t, account), fault.AccountReserved)
		}
		h.register(t, "admin") // by an operator's command, which reserves nothing
		refused(t, some.tryRegister(t, "Admin"), fault.AccountReserved)
		refused(t, h.tryRegister(t, "Admin"), fault.AccountTooSimilar)
	})
}

// Users of an old database get their looks in pages. Those among them that look alike stay, and what looks like any of them is
// refused from then on.
func TestFillLooks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		for _, account := range []string{"alice", "Alice", "aIice", "b\u043eb", "bob", "trailing "} {
			h.exec(t, "INSERT INTO `user` (account, username) VALUES (?, 'x')", account)
		}
		for i := range looksPage + 10 {
			h.exec(t, "INSERT INTO `user` (account, username) VALUES (?, 'x')", fmt.Sprintf("old %d.", i))
		}
		h.register(t, "carol")
		must(t, h.tryRegister(t, "BOB")) // nobody has noted what bob looks like
		var work sync.WaitGroup
		for range 2 {
			work.Go(func() {
				if _, err := h.FillLooks(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		same(t, "without a look", nil, h.column(t, "SELECT account FROM `user` WHERE look IS NULL OR look_cased IS NULL"))
		filled, err := h.FillLooks(t.Context())
		if filled != 0 || err != nil {
			t.Errorf("again: %d, %v", filled, err)
		}
		for account, reason := range map[string]fault.Reason{
			"ALICE": fault.AccountTooSimilar, "alice": fault.AccountTaken, "a1ice": fault.AccountTooSimilar, "boB": fault.AccountTooSimilar,
			"carol": fault.AccountTaken,
		} {
			refused(t, h.tryRegister(t, account), reason)
		}
		h.register(t, "dave")
	})
}

// Names are decided once: at registration, in profiles, of groups.
func TestNamesAtEveryEntrance(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		ctx := t.Context()
		for i, tt := range []struct{ given, want string }{
			{"\u200b Bob\u3000", "Bob"}, {"B\u200bo\u00adb 2", "Bob 2"}, {"👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"}, {"می\u200cخواهم", "می\u200cخواهم"},
			{"\u200b\u2060", ""}, {"\u3164", ""}, {"\u202ebob", ""}, {"a\nb", ""}, {"\u2800", ""}, {"\ufe0f", ""},
		} {
			made, err := h.Register(ctx, Registration{Account: fmt.Sprintf("named%c", 'a'+i), Password: "123456", Username: tt.given})
			changed, err2 := h.UpdateProfile(ctx, "alice", Changes{Username: &tt.given})
			_, err3 := h.CreateGroup(ctx, "alice", "alice", tt.given)
			if tt.want == "" {
				refused(t, err, fault.InvalidBody)
				refused(t, err2, fault.InvalidBody)
				refused(t, err3, fault.InvalidParameter)
				continue
			}
			must(t, err)
			must(t, err2)
			must(t, err3)
			same(t, "registered", tt.want, made.Username)
			same(t, "changed", tt.want, changed.Username)
			same(t, "groups", []string{"1"}, h.column(t, "SELECT COUNT(*) FROM `group` WHERE GroupName = ?", tt.want))
			must(t, h.OwnName(ctx, "alice", tt.given))
		}
		long := ""
		for range accounts.MaxGroupName {
			long += "\u0958" // two characters once it is normalised
		}
		_, err := h.CreateGroup(ctx, "alice", "alice", long)
		refused(t, err, fault.InvalidParameter)
	})
}
