package check

import (
	"context"
	"fmt"
	"time"
)

const (
	// membersHurt is of how many faults one is a member's, where the database has members. The first always is.
	membersHurt = 3
	// longestAbsence is how long a member of a Galera cluster may be away beyond what other faults last. After 5 s the others go on without
	// it.
	longestAbsence = 15 * time.Second
)

// member kills a member of the Galera cluster, pauses it, or cuts it from the others. All members are one subject: two of them are never
// away at once, as the third doesn't serve alone.
func (tr *faults) member() fault {
	cluster := tr.t.site.stack.Galera
	number := tr.random.IntN(len(cluster.Members))
	m := cluster.Members[number]
	f := fault{subject: "a member", ofDatabase: true}
	if tr.random.IntN(2) == 0 {
		f.longer = time.Duration(tr.random.Int64N(int64(longestAbsence)))
	}
	var how string
	switch tr.random.IntN(3) { //nolint:mnd // as many as there are cases
	case 0:
		how = "is killed (-9)"
		f.inject = func(context.Context) error { return m.Kill() }
		f.repair = func(context.Context) error { return m.Start() }
	case 1:
		how = "is paused"
		f.inject = func(context.Context) error { return m.Pause() }
		f.repair = func(context.Context) error {
			if err := m.Resume(); err != nil {
				return err
			}
			return cluster.AwaitSynced(m)
		}
	default:
		how = "is cut from the others"
		f.inject = func(context.Context) error { return cluster.Isolate(m) }
		f.repair = func(context.Context) error { return cluster.Rejoin(m) }
	}
	f.name = fmt.Sprintf("member %d %s", number+1, how)
	return f
}
