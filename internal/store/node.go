package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The reasons for which a node may not run beside those that run on its database.
var (
	// ErrNodeRunning says that neither has a Redis, by which they would hear of each other.
	ErrNodeRunning = errors.New("another node is running on this database")
	// ErrNodesShare says that this node has no Redis, and those that run have one.
	ErrNodesShare = errors.New("nodes with Redis are running on this database")
	// ErrNodeAlone says that this node has a Redis, and the one that runs has none.
	ErrNodeAlone = errors.New("a node without Redis is running on this database")
	// ErrOtherRedis says that the nodes that run use another Redis.
	ErrOtherRedis = errors.New("the nodes that run on this database use another Redis")
	// ErrOtherKey says that the nodes that run sign tokens with another key.
	ErrOtherKey = errors.New("the nodes that run on this database sign tokens with another key")
)

const (
	// nodeBeat is the interval at which a node renews its row, and nodeLease how long others believe in a row that doesn't change.
	nodeBeat  = 2 * time.Second
	nodeLease = 10 * time.Second
	// nodeLook is the interval at which a node that wants to start looks at the rows of others.
	nodeLook = 250 * time.Millisecond
	// nodeGone is how long a lease must have ended, by the database's clock, before a row is dead at the first sight. The clocks of
	// several servers of one database may differ by less.
	nodeGone = time.Minute
	// nodeCall bounds one question about nodes.
	nodeCall = 5 * time.Second

	nodeName = "node" // of the file that an embedded database's node locks
	// An embedded database waits so long for another holder, so that the end of a process that was just killed is noticed.
	nodeWait = time.Second
)

// NodeSpec is what nodes on one database must have in common.
type NodeSpec struct {
	// Alone says that the node hears of no other, so none may run.
	Alone bool
	// Signing is a fingerprint of the key that signs tokens; "" is not compared.
	Signing string
	// Mark returns the id that marks what connects the nodes, their Redis. If that has none, it gets the given one, unless this is
	// "". An error says that it can't be reached now. A node that is alone has no Mark.
	Mark func(ctx context.Context, id string) (string, error)
}

// heldNode is this process's place among the nodes of a database. One goroutine at a time calls its methods.
type heldNode interface {
	// check renews the place. It returns an error when the place is lost, and must then be taken anew.
	check(ctx context.Context) error
	release() error
}

// NodeLock is this node's place among the nodes of its database. Release ends it.
type NodeLock struct {
	held heldNode
	lost chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// CheckNodes returns the error that JoinNodes would return, before anything is migrated. It doesn't compare the Redis.
func (d *DB) CheckNodes(ctx context.Context, spec NodeSpec) error {
	return d.engine.checkNodes(ctx, d.node, spec)
}

// JoinNodes makes this process one of the nodes that run on the database, or the only one. If those that run don't allow it, it
// returns one of the errors above. It waits up to ten seconds, to tell a node that runs from one that was killed.
// On the embedded engine a node is always alone, and the lock ends with the process.
func (d *DB) JoinNodes(ctx context.Context, spec NodeSpec) (*NodeLock, error) {
	return d.joinNodes(ctx, spec, nodeBeat)
}

func (d *DB) joinNodes(ctx context.Context, spec NodeSpec, beat time.Duration) (*NodeLock, error) {
	held, err := d.engine.joinNodes(ctx, d.node, spec)
	if err != nil {
		return nil, err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &NodeLock{held: held, lost: make(chan struct{}), stop: stop, done: make(chan struct{})}
	go l.watch(watch, beat)
	return l, nil
}

// Lost returns a channel that is closed when this node has lost its place: it couldn't renew it for as long as others wait, or
// another node has taken over. The node must then stop, or call Release and JoinNodes before it goes on.
func (l *NodeLock) Lost() <-chan struct{} { return l.lost }

// Release gives the place back, also one that was lost. It must be called exactly once.
func (l *NodeLock) Release() error {
	l.stop()
	<-l.done
	return l.held.release()
}

func (l *NodeLock) watch(ctx context.Context, beat time.Duration) {
	defer close(l.done)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := l.held.check(ctx); err != nil && ctx.Err() == nil {
			close(l.lost)
			return
		}
	}
}

// Identity returns what tells this database from every other. It is made once, after the first migration, at random.
func (d *DB) Identity(ctx context.Context) (string, error) {
	if err := d.Write().MakeDeployment(ctx, randomID()); err != nil {
		return "", fmt.Errorf("identity of the database: %w", err)
	}
	identity, err := d.writes.DeploymentIdentity(ctx)
	if err != nil {
		return "", fmt.Errorf("identity of the database: %w", err)
	}
	return identity, nil
}

// RunningNodes says which nodes run on the database: whether one that is alone, and the mark of the Redis of the others, "" if
// there are none, or it isn't known. A node that was killed within the last ten seconds counts as running. The embedded engine
// answers for a node that is alone.
func (d *DB) RunningNodes(ctx context.Context) (alone, share bool, redis string, err error) {
	return d.engine.runningNodes(ctx, d)
}

func (e sqliteEngine) checkNodes(ctx context.Context, self nodeSelf, spec NodeSpec) error {
	held, err := e.joinNodes(ctx, self, spec)
	if err != nil {
		return err
	}
	return held.release()
}

func (e sqliteEngine) joinNodes(ctx context.Context, _ nodeSelf, _ NodeSpec) (heldNode, error) {
	held, err := lockFile(ctx, e.path+"."+nodeName+".lock", nodeWait)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%w: %w", ErrNodeRunning, err)
	}
	if err != nil {
		return nil, err
	}
	return fileNode{held}, nil
}

func (e sqliteEngine) runningNodes(ctx context.Context, _ *DB) (alone, share bool, redis string, err error) {
	held, err := lockFile(ctx, e.path+"."+nodeName+".lock", 0)
	if errors.Is(err, errLocked) {
		return true, false, "", nil
	}
	if err != nil {
		return false, false, "", err
	}
	return false, false, "", held.release()
}

// fileNode is the place of the only node on an embedded database.
type fileNode struct{ *fileLock }

func (fileNode) check(context.Context) error { return nil }
