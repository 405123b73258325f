package chat

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// An account is found by the beginning of its name or its display name, compared byte by byte.
func TestFindUsers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		for account, name := range map[string]string{
			"al": "x", "alice": "100%", "al_ice": "under_score", "alX": "back\\slash", "Alice": "😀😀 smile", "bob": "al capone",
			"ren\u00e9": "密码", "rene": "😀", "\U0010FFFD": "1000", "al%": "Ünder", "a'l": "''; --", "spaces": "a b",
		} {
			must(t, h.DB.Tx(t.Context(), func(tx *store.Tx) error { // old rows may have accounts that can't be registered
				_, err := tx.CreateUser(t.Context(), db.CreateUserParams{Account: account, Username: name})
				return err
			}))
		}
		h.comeOnline("bob")
		for keyword, want := range map[string][]string{
			"al":         {"al", "al%", "alX", "al_ice", "alice", "bob"}, // accounts first
			"al_":        {"al_ice"},
			"al%":        {"al%"},
			"%":          nil,
			"_":          nil,
			"100%":       {"alice"},
			"100":        {"alice", "\U0010FFFD"},
			"back\\":     {"alX"},
			"\\":         nil,
			"😀":          {"rene", "Alice"},
			"😀😀":         {"Alice"},
			"\U0010FFFD": {"\U0010FFFD"},
			"A":          {"Alice"},
			"rene\u0301": {"ren\u00e9"},
			"rene":       {"rene"},
			"密":          {"ren\u00e9"},
			"under":      {"al_ice"},
			"'":          {"a'l"},
			"a'":         {"a'l"},
			"al ":        {"bob"}, // not al: MySQL's columns ignore spaces at the end
			"a ":         {"spaces"},
			"alicea":     nil,
		} {
			users, err := h.FindUsers(t.Context(), "bob", keyword, 20)
			must(t, err)
			same(t, fmt.Sprintf("%q", keyword), append([]string{}, want...), accountsOf(users))
			for _, u := range users {
				if u.Online != (u.Account == "bob") {
					t.Errorf("%+v", u)
				}
			}
		}
		for limit := range 8 {
			users, err := h.FindUsers(t.Context(), "alice", "al", limit)
			must(t, err)
			if len(users) != min(limit, 6) {
				t.Errorf("limit %d: %v", limit, accountsOf(users))
			}
		}
	})
}

func TestUpdateProfile(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		was, err := h.Profile(t.Context(), "alice", "alice")
		must(t, err)
		name, age, sex := "爱丽丝😀", int32(20), "female"
		for _, step := range []struct {
			change Changes
			want   User
		}{
			{Changes{}, was},
			{Changes{Username: &name}, User{ID: was.ID, Account: "alice", Username: name}},
			{Changes{Age: &age}, User{ID: was.ID, Account: "alice", Username: name, Age: age}},
			{Changes{Sex: &sex}, User{ID: was.ID, Account: "alice", Username: name, Age: age, Sex: &sex}},
			{Changes{Username: &was.Username, Age: new(int32)}, User{ID: was.ID, Account: "alice", Username: "ALICE", Sex: &sex}},
			{Changes{Username: &was.Username}, User{ID: was.ID, Account: "alice", Username: "ALICE", Sex: &sex}}, // no change
		} {
			got, err := h.UpdateProfile(t.Context(), "alice", step.change)
			must(t, err)
			same(t, "answered", step.want, got)
			got, err = h.Profile(t.Context(), "alice", "alice")
			must(t, err)
			same(t, "stored", step.want, got)
		}
		same(t, "passwords", []string{"hash of 123456", "hash of 123456"}, h.column(t, "SELECT password FROM `user`"))
		bob, err := h.Profile(t.Context(), "alice", "bob")
		must(t, err)
		same(t, "somebody else's", "BOB", bob.Username)
		_, err = h.UpdateProfile(t.Context(), "nobody", Changes{Username: &name})
		refused(t, err, fault.UnknownAccount)
	})
}

// Two devices that change different fields at once don't undo each other's change.
func TestProfileChangedAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		for i := range 20 {
			name, age := strings.Repeat("x", i+1), int32(i+1)
			var work sync.WaitGroup
			for _, c := range []Changes{{Username: &name}, {Age: &age}} {
				work.Go(func() {
					if _, err := h.UpdateProfile(t.Context(), "alice", c); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
			got, err := h.Profile(t.Context(), "alice", "alice")
			must(t, err)
			if got.Username != name || got.Age != age {
				t.Fatalf("round %d: %+v", i, got)
			}
		}
	})
}

// Display names are stored normalised and looked up so. Old rows are found as they are.
func TestDisplayNamesAreNormalised(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		const nfc, nfd = "Ren\u00e9e", "Rene\u0301e"
		got, err := h.Register(t.Context(), Registration{Account: "a", Password: "123456", Username: nfd})
		must(t, err)
		same(t, "registered", nfc, got.Username)
		h.register(t, "b", "c")
		name := nfd
		got, err = h.UpdateProfile(t.Context(), "b", Changes{Username: &name})
		must(t, err)
		same(t, "changed", nfc, got.Username)
		same(t, "the caller's own", nfd, name)
		h.exec(t, "INSERT INTO `user` (account, username) VALUES ('old', '"+nfd+"')")
		age := int32(7)
		got, err = h.UpdateProfile(t.Context(), "old", Changes{Age: &age}) // the change leaves the old name
		must(t, err)
		same(t, "an old row's", nfd, got.Username)
		for keyword, want := range map[string][]string{nfc: {"a", "b"}, nfd: {"a", "b"}, "Ren\u00e9": {"a", "b"}, "Rene": {"old"}, "Ren": {"old", "a", "b"}} {
			users, err := h.FindUsers(t.Context(), "bob", keyword, 20)
			must(t, err)
			same(t, keyword, want, accountsOf(users))
		}
		long := strings.Repeat("\U0001D160", 34) // three characters each
		_, err = h.Register(t.Context(), Registration{Account: "d", Password: "123456", Username: long})
		refused(t, err, fault.InvalidBody)
		_, err = h.UpdateProfile(t.Context(), "c", Changes{Username: &long})
		refused(t, err, fault.InvalidBody)
		fits := strings.Repeat("e\u0301", 100)
		_, err = h.UpdateProfile(t.Context(), "c", Changes{Username: &fits})
		must(t, err)
	})
}
