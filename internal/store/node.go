package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNodeRunning is the error of LockNode when another node runs on the database.
var ErrNodeRunning = errors.New("another node is running on this database")

const (
	nodeName = "node"
	// A second node is refused at once; the moment is for the end of one that was killed to be noticed.
	nodeWait = time.Second
	// A server gives the lock of a machine that fell silent to the next node after nodeIdle.
	nodeIdle = 30 * time.Second
	nodePoll = 5 * time.Second
)

// NodeLock says that this node is the only one on its database. Release ends it.
type NodeLock struct {
	held heldLock
	lost chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// LockNode makes this node the only one on its database, for where nodes can't hear of each other: no Redis. A second
// one is refused at once with ErrNodeRunning. On MySQL the lock lives on one server; it doesn't reach over a Galera
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

// Lost is closed when the lock is lost, which is noticed some seconds after the connection to the server broke. This
// node must then stop, or release what is left of the lock and take it again, before it goes on: another may have it.
func (l *NodeLock) Lost() <-chan struct{} { return l.lost }

// Release gives the lock back, also one that was lost. It is called once.
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
