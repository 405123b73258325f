package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"tim/gen/db"
)

// On a server each node has a row in the table node, and renews it. Whether a row's node lives is told by its beat: a beat that grows
// is a life, and a beat that stands still for the length of a lease, by the clock of who looks, is a death. No clocks are
// compared, except for a row that is long overdue.

// nodeRow is the place of a node on a server's database. It has a connection of its own, so that no load delays a beat.
type nodeRow struct {
	db      *DB
	id      string
	spec    NodeSpec
	redis   string    // the mark of its Redis; "" while that couldn't be reached
	renewed time.Time // when it last renewed its row
	begun   time.Time
	seen    map[string]sighting
}

// nodeSelf is this process among the nodes: its id, and what it has seen of the others, so that nobody is watched twice.
type nodeSelf struct {
	id   string
	seen map[string]sighting // by id
}

// sighting is what is known of another node's row.
type sighting struct {
	beat  int64
	since time.Time // since when the row has this beat
	alive bool      // the beat has grown
}

func randomID() string {
	id := make([]byte, 16) //nolint:mnd // 128 bits
	_, _ = rand.Read(id)   // never fails
	return hex.EncodeToString(id)
}

func (e mysqlEngine) nodeRow(self nodeSelf, spec NodeSpec) (*nodeRow, error) {
	pool, err := e.pool(e.config)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	for id, known := range self.seen { // it may have died since
		known.alive = false
		self.seen[id] = known
	}
	return &nodeRow{db: newDB(pool, pool, nil, mysqlBulk(), e), id: self.id, spec: spec, begun: time.Now(), seen: self.seen}, nil
}

func (e mysqlEngine) joinNodes(ctx context.Context, self nodeSelf, spec NodeSpec) (heldNode, error) {
	r, err := e.nodeRow(self, spec)
	if err != nil {
		return nil, err
	}
	if err := r.until(ctx, r.join); err != nil {
		return nil, errors.Join(fmt.Errorf("join the nodes of the database: %w", err), r.db.Close())
	}
	return r, nil
}

func (e mysqlEngine) checkNodes(ctx context.Context, self nodeSelf, spec NodeSpec) error {
	r, err := e.nodeRow(self, spec)
	if err != nil {
		return err
	}
	err = r.until(ctx, func(ctx context.Context) (conflict, error) {
		rows, err := r.db.Read().Nodes(ctx)
		if isMissingTable(err) {
			return conflict{}, nil
		}
		return r.compare(rows, r.fits), err
	})
	return errors.Join(err, r.db.Close())
}

func (e mysqlEngine) runningNodes(ctx context.Context, d *DB) (alone, share bool, redis string, err error) {
	rows, err := d.writes.Nodes(ctx)
	if isMissingTable(err) {
		return false, false, "", nil
	}
	if err != nil {
		return false, false, "", fmt.Errorf("running nodes: %w", err)
	}
	for _, row := range rows {
		if row.Overdue >= 0 {
			continue
		}
		alone, share = alone || row.Alone == 1, share || row.Alone == 0
		if row.Redis != "" {
			redis = row.Redis
		}
	}
	return alone, share, redis, nil
}

// conflict is why the node may not run now; the zero value is none. If it isn't certain, the other node may be dead.
type conflict struct {
	err     error
	certain bool
}

// until calls attempt until there is no conflict, or one that is certain.
func (r *nodeRow) until(ctx context.Context, attempt func(context.Context) (conflict, error)) error {
	for {
		asked, cancel := context.WithTimeout(ctx, 2*nodeCall)
		c, err := attempt(asked)
		cancel()
		switch {
		case err != nil:
			return err
		case c.err == nil:
			return nil
		case c.certain:
			return c.err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", c.err, ctx.Err())
		case <-time.After(nodeLook):
		}
	}
}

// join takes the place, in one transaction that excludes all others, if the nodes that run allow it. It deletes the rows of dead
// nodes.
func (r *nodeRow) join(ctx context.Context) (conflict, error) {
	marked, err := r.readMark(ctx)
	if err != nil {
		return conflict{}, err
	}
	var c conflict
	err = r.db.Tx(ctx, func(tx *Tx) error {
		if n, err := tx.LockNodes(ctx); err != nil || n != 1 {
			return fmt.Errorf("lock the list of nodes (%d rows): %w", n, err)
		}
		rows, err := tx.Nodes(ctx)
		if err != nil {
			return err
		}
		if c = r.compare(rows, func(row db.NodesRow) error { return errors.Join(r.fits(row), r.sameRedis(row, marked)) }); c.err != nil {
			return nil //nolint:nilerr // it is the result; there is nothing to undo
		}
		for _, row := range rows {
			if row.ID == r.id || r.dead(row) {
				if err := tx.DeleteNode(ctx, row.ID); err != nil {
					return err
				}
			}
		}
		return tx.AddNode(ctx, r.row())
	})
	if err == nil {
		r.renewed = time.Now()
	}
	return c, err
}

func (r *nodeRow) row() db.AddNodeParams {
	row := db.AddNodeParams{ID: r.id, Redis: r.redis, Signing: r.spec.Signing, Lease: nodeLease.Milliseconds()}
	if r.spec.Alone {
		row.Alone = 1
	}
	return row
}

// readMark reads the mark of this node's Redis, and makes it if no node runs that has made one. A node that runs makes sure with
// each beat that the mark is there, so a Redis that was emptied isn't another Redis for long. marked is false if there is no Redis,
// or it can't be reached.
func (r *nodeRow) readMark(ctx context.Context) (marked bool, err error) {
	r.redis = ""
	if r.spec.Mark == nil {
		return false, nil
	}
	rows, err := r.db.Read().Nodes(ctx)
	if err != nil {
		return false, err
	}
	mark := randomID()
	for _, row := range rows {
		if row.ID != r.id && row.Redis != "" && !r.dead(row) {
			mark = ""
		}
	}
	r.redis, err = r.spec.Mark(ctx, mark)
	return err == nil, nil
}

// compare returns the first conflict with a node that may run; those with a node that certainly runs come first.
func (r *nodeRow) compare(rows []db.NodesRow, fits func(db.NodesRow) error) (found conflict) {
	for _, row := range rows {
		if row.ID == r.id || r.dead(row) {
			continue
		}
		err := fits(row)
		if err == nil {
			continue
		}
		// A Redis that was emptied gets its mark back with the next beat of a node that runs.
		certain := r.seen[row.ID].alive && (!errors.Is(err, ErrOtherRedis) || time.Since(r.begun) > nodeLease/2)
		if found.err == nil || certain {
			found = conflict{err: err, certain: certain}
		}
		if certain {
			break
		}
	}
	return found
}

func (r *nodeRow) fits(row db.NodesRow) error {
	switch {
	case r.spec.Alone && row.Alone == 1:
		return ErrNodeRunning
	case r.spec.Alone:
		return ErrNodesShare
	case row.Alone == 1:
		return ErrNodeAlone
	case r.spec.Signing != "" && row.Signing != "" && r.spec.Signing != row.Signing:
		return ErrOtherKey
	}
	return nil
}

func (r *nodeRow) sameRedis(row db.NodesRow, marked bool) error {
	if marked && row.Redis != "" && row.Redis != r.redis {
		return ErrOtherRedis
	}
	return nil
}

// dead takes a look at a row and reports whether its node is dead.
func (r *nodeRow) dead(row db.NodesRow) bool {
	now, known := time.Now(), r.seen[row.ID]
	if known.beat != row.Beat {
		known = sighting{beat: row.Beat, since: now, alive: known.beat != 0}
		r.seen[row.ID] = known
	}
	return row.Overdue > nodeGone.Milliseconds() || now.Sub(known.since) > nodeLease
}

// check implements heldNode. A Redis that couldn't be reached when the node joined, and can be now, is compared by joining anew.
func (r *nodeRow) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeCall)
	defer cancel()
	n, err := r.db.Write().RenewNode(ctx, nodeLease.Milliseconds(), r.id)
	switch {
	case err == nil && n == 0:
		return errors.New("another node has taken over")
	case err == nil:
		r.renewed = time.Now()
	case time.Since(r.renewed) > nodeLease:
		return err
	}
	if r.spec.Mark == nil {
		return nil
	}
	if _, err := r.spec.Mark(ctx, r.redis); err == nil && r.redis == "" {
		return errors.New("redis has come back")
	}
	return nil
}

// release implements heldNode. If the row can't be deleted, it ends with its lease.
func (r *nodeRow) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), nodeCall)
	defer cancel()
	_ = r.db.Write().DeleteNode(ctx, r.id)
	return r.db.Close()
}
