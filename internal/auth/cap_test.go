package auth

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/fault"
)

// capped returns another node on the same database that allows so many sessions of an account. It shares the announcements.
func (n *node) capped(sessions int) *Auth {
	options := n.Options
	options.MaxSessions = sessions
	return New(options)
}

// The session that was used longest ago ends when an account has too many, whatever its age. Other accounts aren't touched.
func TestOldestSessionEnds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "bob")
		bobs, _ := n.login(t, "bob")
		var ids []string
		for i := range 4 {
			_, s := n.login(t, "alice")
			n.exec(t, "UPDATE session SET used_at = ? WHERE id = ?", 1000-[]int{5, 9, 7, 3}[i], s.ID)
			ids = append(ids, s.ID)
		}
		limited := n.capped(3)
		token, _, err := limited.Login(t.Context(), "alice", password, "192.0.2.1", "")
		must(t, err)
		last := good(t, limited, token)
		left, err := n.DB.Read().SessionIDs(t.Context(), "alice")
		must(t, err)
		slices.Sort(left)
		if diff := cmp.Diff(slices.Sorted(slices.Values([]string{ids[0], ids[3], last.ID})), left); diff != "" {
			t.Errorf("sessions left (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values([]string{ids[1], ids[2]})), n.toldOf()); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
		good(t, n.Auth, bobs)
		_, err = limited.Authenticate(t.Context(), n.aged(t, Session{Account: "alice", ID: ids[1], Ends: last.Ends}, 0))
		refused(t, err, fault.SessionEnded)
	})
}

// Logins at once keep to the limit, and an account that has far too many sessions is brought to it.
func TestLoginsAtOnceKeepToTheLimit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		for i := range 250 {
			n.exec(t, "INSERT INTO session (account, id, device, created_at, used_at, expires_at) VALUES ('alice', ?, '', 1, ?, ?)",
				fmt.Sprint("old", i), i, ms(time.Now().Add(time.Hour)))
		}
		limited := n.capped(5)
		var work sync.WaitGroup
		for range 12 {
			work.Go(func() {
				_, _, err := limited.Login(t.Context(), "alice", password, "192.0.2.1", "")
				must(t, err)
			})
		}
		work.Wait()
		left, err := n.DB.Read().SessionIDs(t.Context(), "alice")
		if must(t, err); len(left) != 5 {
			t.Errorf("%d sessions are left", len(left))
		}
	})
}

// A sweep deletes what has expired, of whatever account, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, _ := n.login(t, "alice")
		for i := range sweepBatch + 30 {
			n.exec(t, "INSERT INTO session (account, id, device, created_at, used_at, expires_at) VALUES (?, 'x', '', 0, 0, ?)",
				fmt.Sprint("gone", i), ms(time.Now())-int64(i))
		}
		other := n.beside()
		var deleted [2]int64
		var work sync.WaitGroup
		for i, a := range []*Auth{n.Auth, other} {
			work.Go(func() {
				var err error
				deleted[i], err = a.Sweep(t.Context())
				must(t, err)
			})
		}
		work.Wait()
		again, err := n.Sweep(t.Context())
		must(t, err)
		if sum := deleted[0] + deleted[1]; sum != sweepBatch+30 || again != 0 {
			t.Errorf("deleted %v, and then %d", deleted, again)
		}
		good(t, other, token)
	})
}
