package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// More pairs than one statement takes: some exist, some nearly, some don't.
func TestPairs(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		fill(t, d)
		sessions, friends, mates := map[SessionKey]SessionRow{}, map[AccountPair]bool{}, map[AccountPair]bool{}
		members := map[Membership]bool{}
		var keys []SessionKey
		var pairs, groupPairs []AccountPair
		var memberships []Membership
		for i := range 3*MostPairs + 7 {
			account := fmt.Sprint(i)
			for _, other := range []string{"3", "3 ", "7"} { // MySQL ignores the space
				keys = append(keys, SessionKey{account, other})
				pairs = append(pairs, AccountPair{account, other})
			}
			groupPairs = append(groupPairs, AccountPair{account, fmt.Sprint(i + 400)}, AccountPair{account, fmt.Sprint(i + 1)})
			memberships = append(memberships, Membership{int32(i), account}, Membership{int32(i), fmt.Sprint(i + 400)}, Membership{int32(i), fmt.Sprint(i, " ")}, Membership{int32(i), "x"})
			if i < 400 { // fill creates so many rows
				friends[AccountPair{account, "3"}] = true
				sessions[SessionKey{account, "3"}] = SessionRow{CreatedAt: 1, UsedAt: 1, ExpiresAt: int64(5*i + 3)}
				members[Membership{int32(i), account}], members[Membership{int32(i), fmt.Sprint(i + 400)}] = true, true
			}
			if i < 4*400 {
				mates[AccountPair{account, fmt.Sprint(i + 400)}] = true
			}
		}
		got, err := d.SessionRows(t.Context(), keys)
		must(t, err)
		if diff := cmp.Diff(sessions, got); diff != "" {
			t.Errorf("sessions: %s", diff)
		}
		found, err := d.FriendsAmong(t.Context(), pairs)
		must(t, err)
		if diff := cmp.Diff(friends, found); diff != "" {
			t.Errorf("friends: %s", diff)
		}
		taken, err := d.MembersAmong(t.Context(), memberships)
		must(t, err)
		if diff := cmp.Diff(members, taken); diff != "" {
			t.Errorf("members: %s", diff)
		}
		found, err = d.MatesAmong(t.Context(), groupPairs)
		must(t, err)
		if diff := cmp.Diff(mates, found); diff != "" {
			t.Errorf("mates: %s", diff)
		}
		if none, err := d.FriendsAmong(t.Context(), nil); len(none) > 0 || err != nil {
			t.Errorf("no pairs: %v, %v", none, err)
		}
	})
}
