package realtime_test

import (
	"testing"
	"time"
)

// Who has been in a group the longest inherits it, also when the clock went back between two joins, or stood still.
func TestHeirAfterAClockJump(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := mariaDB(t)
			n := startNode(t, setup{dsn: dsn})
			n.users("owner", "zoe", "adam")
			group := n.group("owner", "zoe")
			jump(t, dsn, by)
			must(t, n.service.JoinGroup(t.Context(), "adam", "adam", int32(group)))
			must(t, n.service.LeaveGroup(t.Context(), "owner", "owner", int32(group)))
			if err := n.service.HandOver(t.Context(), "zoe", "zoe", int32(group), "zoe"); err != nil {
				t.Errorf("zoe, the oldest member, is not the owner: %v", err)
			}
		})
	}
}
