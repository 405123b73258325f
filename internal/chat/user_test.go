package chat

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"tim/internal/fault"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		age, sex := int32(20), "female"
		alice, err := h.Register(t.Context(), Registration{Account: "alice", Password: "123456", Username: "Alice", Age: &age, Sex: &sex})
		must(t, err)
		same(t, "what registration answers", User{ID: alice.ID, Account: "alice", Username: "Alice", Sex: &sex, Age: 20}, alice)
		bare, err := h.Register(t.Context(), Registration{Account: "密码٣", Password: "123456", Username: "😀"})
		must(t, err)
		if bare.ID == alice.ID || bare.ID == 0 {
			t.Errorf("ids %d and %d", alice.ID, bare.ID)
		}
		for _, want := range []User{alice, bare} {
			got, err := h.Profile(t.Context(), "alice", want.Account)
			must(t, err)
			same(t, "the profile", want, got)
		}
		same(t, "stored passwords", []string{"hash of 123456", "hash of 123456"}, h.column(t, "SELECT password FROM user"))
	})
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "ren\u00e9")
		for _, tt := range []struct {
			name, account, password string
			want                    fault.Reason
		}{
			{"taken", "ren\u00e9", "123456", fault.AccountTaken},
			{"taken in another spelling", "rene\u0301", "123456", fault.AccountTaken},
			{"empty", "", "123456", fault.InvalidBody},
			{"everybody's", "all", "123456", fault.InvalidBody},
			{"of a character that shows nothing", "bob\u200b", "123456", fault.InvalidBody},
			{"of a symbol", "bob😀", "123456", fault.InvalidBody},
			{"too long", strings.Repeat("x", 65), "123456", fault.InvalidBody},
			{"longer once it is normalised", strings.Repeat("\u0958", 33), "123456", fault.InvalidBody}, // two characters each
		} {
			_, err := h.Register(t.Context(), Registration{Account: tt.account, Password: tt.password, Username: "x"})
			if !fault.Is(err, tt.want) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
		_, err := h.Register(t.Context(), Registration{Account: strings.Repeat("e\u0301", 64), Password: strings.Repeat("密", 24), Username: "x"})
		if err != nil {
			t.Errorf("64 characters, once normalised: %v", err)
		}
		if n := h.column(t, "SELECT COUNT(*) FROM user"); n[0] != "2" {
			t.Errorf("%s users", n[0])
		}
	})
}

func TestOneAccountRegisteredByManyAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		var work sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			work.Go(func() {
				_, errs[i] = h.Register(t.Context(), Registration{Account: "alice", Password: "123456", Username: "x"})
			})
		}
		work.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else {
				refused(t, err, fault.AccountTaken)
			}
		}
		if made != 1 {
			t.Errorf("%d of them have it", made)
		}
	})
}

func TestRegisterWithoutAHash(t *testing.T) {
	t.Parallel()
	h := onSQLite(t)
	why := errors.New("no processor")
	other := h.reopened(t, func(o *Options) {
		o.HashPassword = func(context.Context, string, string, bool) (string, error) { return "", why }
	})
	_, err := other.Register(t.Context(), Registration{Account: "alice", Password: "123456", Username: "x"})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	_, err = h.Profile(t.Context(), "alice", "alice")
	refused(t, err, fault.UnknownAccount)
}

func TestProfile(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "ren\u00e9", "bob")
		h.exec(t, "INSERT INTO `user` (account, username, age, sex) VALUES ('old', 'Old', NULL, 'whatever')")
		h.comeOnline("ren\u00e9")
		rene, err := h.Profile(t.Context(), "ren\u00e9", "rene\u0301")
		must(t, err)
		if !rene.Online || rene.Username != "REN\u00c9" || rene.Sex != nil {
			t.Errorf("got %+v", rene)
		}
		old, err := h.Profile(t.Context(), "alice", "old")
		must(t, err)
		if old.Online || old.Sex == nil || *old.Sex != "whatever" || old.Age != 0 {
			t.Errorf("a row of an old database: %+v", old)
		}
		for _, account := range []string{"nobody", "BOB", "bob ", " bob", "", "ren"} {
			_, err := h.Profile(t.Context(), "alice", account)
			refused(t, err, fault.UnknownAccount)
		}
	})
}

// avatarNames creates users whose accounts and display names overlap.
func avatarNames(t *testing.T, h *house) {
	t.Helper()
	h.exec(t, "INSERT INTO `user` (account, username) VALUES "+
		"('alice', 'Alice'), ('bob', 'Bob'), ('robert', 'Bob'), ('carol', 'carol'), ('dave', 'erin'), ('erin', 'Erin'), ('123', 'lxc'), ('d', 'lxc')")
}

func TestAvatarOwner(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		avatarNames(t, h)
		_, err := h.Register(t.Context(), Registration{Account: "remi", Password: "123456", Username: "re\u0301mi"})
		must(t, err)
		h.exec(t, "INSERT INTO `user` (account, username) VALUES ('eric', 'e\u0301ric')")
		for _, tt := range []struct {
			name string
			want AvatarOwner
		}{
			{"alice", AvatarOwner{"alice", "Alice"}},
			{"Alice", AvatarOwner{"alice", "Alice"}},
			{"bob", AvatarOwner{"bob", ""}}, // the avatar that the original server stored as Bob may belong to either
			{"robert", AvatarOwner{"robert", ""}},
			{"carol", AvatarOwner{"carol", "carol"}},
			{"dave", AvatarOwner{"dave", ""}}, // the avatar that the original server stored as erin may belong to erin by now
			{"erin", AvatarOwner{"erin", "Erin"}},
			{"123", AvatarOwner{"123", ""}},
			{"re\u0301mi", AvatarOwner{"remi", "r\u00e9mi"}},
			{"r\u00e9mi", AvatarOwner{"remi", "r\u00e9mi"}},
			{"e\u0301ric", AvatarOwner{"eric", "e\u0301ric"}}, // an old row
			{"eric", AvatarOwner{"eric", "e\u0301ric"}},
		} {
			got, err := h.AvatarOwner(t.Context(), tt.name)
			if err != nil {
				t.Errorf("%q: %v", tt.name, err)
			}
			same(t, tt.name, tt.want, got)
		}
		for _, name := range []string{"Bob", "lxc", "nobody", "nobod\u0065\u0301", "ALICE", "alice ", ""} {
			_, err := h.AvatarOwner(t.Context(), name)
			refused(t, err, fault.UnknownAccount)
		}
	})
}

func TestOwnName(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		avatarNames(t, h)
		h.register(t, "ren\u00e9")
		for _, own := range [][2]string{{"bob", "bob"}, {"bob", "Bob"}, {"robert", "Bob"}, {"ren\u00e9", "rene\u0301"}} {
			if err := h.OwnName(t.Context(), own[0], own[1]); err != nil {
				t.Errorf("%q: %v", own, err)
			}
		}
		h.exec(t, "INSERT INTO `user` (account, username) VALUES ('old', 'e\u0301ric'), ('new', '\u00e9ric')")
		for _, account := range []string{"old", "new"} {
			for _, name := range []string{"e\u0301ric", "\u00e9ric"} {
				must(t, h.OwnName(t.Context(), account, name))
			}
		}
		for _, others := range [][2]string{{"bob", "robert"}, {"bob", "alice"}, {"bob", "Alice"}, {"bob", ""}, {"bob", "bob "}} {
			refused(t, h.OwnName(t.Context(), others[0], others[1]), fault.NotYourAccount)
		}
	})
}

func TestUsernames(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		got, err := h.Usernames(t.Context(), []string{"bob", "nobody", "alice", "bob", "bob "})
		must(t, err)
		same(t, "names", []string{"BOB", "nobody", "ALICE", "BOB", "bob "}, got)
		if got, err := h.Usernames(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("of nobody: %v, %v", got, err)
		}
	})
}

// An operator's change stands in the history like an owner's, with an empty actor.
func TestSetOwner(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "ren\u00e9", "carol")
		id := h.group(t, "climbers", "alice", "ren\u00e9")
		h.told()
		for range 2 { // the second time changes nothing
			must(t, h.SetOwner(t.Context(), id, "rene\u0301"))
		}
		same(t, "owner", "ren\u00e9", h.owner(t, id))
		same(t, "told", []Event{
			{Kind: MessageStored, Conversation: groupID(id), Group: id},
			{Kind: OwnerChanged, Conversation: groupID(id), Group: id, Account: "ren\u00e9", Seq: 3},
		}, withoutMessages(h.told()))
		if err := h.SetOwner(t.Context(), id, "carol"); !errors.Is(err, ErrGroupOwner) {
			t.Errorf("no member: %v", err)
		}
		refused(t, h.SetOwner(t.Context(), id+1, "carol"), fault.UnknownGroup)
		same(t, "owner after refusals", "ren\u00e9", h.owner(t, id))
		same(t, "notices", []string{"joined alice alice", "joined ren\u00e9 ren\u00e9", "owner  ren\u00e9"}, h.notices(t, id))
	})
}
