package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// More pairs than one statement names, each of them there, nearly there, or not at all.
func TestPairs(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		fill(t, d)
		sessions, friends, mates := map[SessionKey]int64{}, map[AccountPair]bool{}, map[AccountPair]bool{}
		members := map[Seat]bool{}
		var keys []SessionKey
		var pairs, groupPairs []AccountPair
		var seats []Seat
		for i := range 3*mostPairs + 7 {
			account := fmt.Sprint(i)
			for _, other := range []string{"3", "3 ", "7"} { // MySQL overlooks the space
				keys = append(keys, SessionKey{account, other})
				pairs = append(pairs, AccountPair{account, other})
			}
			groupPairs = append(groupPairs, AccountPair{account, fmt.Sprint(i + 400)}, AccountPair{account, fmt.Sprint(i + 1)})
			seats = append(seats, Seat{int32(i), account}, Seat{int32(i), fmt.Sprint(i + 400)}, Seat{int32(i), fmt.Sprint(i, " ")}, Seat{int32(i), "x"})
			if i < 400 { // so many rows fill makes
				sessions[SessionKey{account, "3"}], friends[AccountPair{account, "3"}] = 1, true
				members[Seat{int32(i), account}], members[Seat{int32(i), fmt.Sprint(i + 400)}] = true, true
			}
			if i < 4*400 {
				mates[AccountPair{account, fmt.Sprint(i + 400)}] = true
			}
		}
		got, err := d.SessionsUntil(t.Context(), keys)
		must(t, err)
		if diff := cmp.Diff(sessions, got); diff != "" {
			t.Errorf("sessions: %s", diff)
		}
		found, err := d.FriendsAmong(t.Context(), pairs)
		must(t, err)
		if diff := cmp.Diff(friends, found); diff != "" {
			t.Errorf("friends: %s", diff)
		}
		taken, err := d.MembersAmong(t.Context(), seats)
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
