package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNodeRunning is LockNode's error when another node runs on the database.
var ErrNodeRunning = errors.New("another node is running on this database")

const (
	nodeName = "node"
	// LockNode waits for one second, so that the end of a node that was just killed is noticed.
	nodeWait = time.Second
	// After nodeIdle a server gives the lock of a machine that has fallen silent to the next node.
	nodeIdle = 30 * time.Second
	nodePoll = 5 * time.Second
)

// NodeLock proves that this node is the only one on its database. Release ends it.
type NodeLock struct {
	held heldLock
	lost chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// LockNode makes this node the only one on its database. It is for nodes that can't hear of each other, without Redis. For a
// second node it returns ErrNodeRunning within a second. On MySQL the lock belongs to one server; it doesn't cover a Galera
// cluster.
func (d *DB) LockNode(ctx context.Context) (*NodeLock, error) {
	return d.lockNode(ctx, nodePoll)
}

func (d *DB) lockNode(ctx context.Context, poll time.Duration) (*NodeLock, error) {
	held, err := d.engine.lock(ctx, lockSpec{name: nodeName, wait: nodeWait, idle: nodeIdle})
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%w: %w", ErrNodeRunning, err)
	}
	if err != nil {
		return nil, err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &NodeLock{held: held, lost: make(chan struct{}), stop: stop, done: make(chan struct{})}
	go l.watch(watch, poll)
	return l, nil
}

// Lost returns a channel that is closed when the lock is lost, some seconds after the connection to the server broke. The node
// must then stop, or call Release and take the lock anew before it goes on, since another node may hold it.
func (l *NodeLock) Lost() <-chan struct{} { return l.lost }

// Release gives the lock back, also one that was lost. It must be called exactly once.
func (l *NodeLock) Release() error {
	l.stop()
	<-l.done
	return l.held.release()
}

func (l *NodeLock) watch(ctx context.Context, poll time.Duration) {
	defer close(l.done)
	ticker := time.NewTicker(poll)
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
