package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tim/internal/auth"
	"tim/internal/cluster"
	"tim/internal/store"
)

// openRedis makes a node of the deployment whose database has this identity. It stands in the name of all that the node keeps in
// Redis and says over it, so deployments that share a Redis hear nothing of each other.
func openRedis(ctx context.Context, s Settings, identity string, log *slog.Logger) (*cluster.Redis, error) {
	node, err := cluster.NewRedis(ctx, s.RedisURL, cluster.Options{Prefix: "tim:" + identity, Log: log})
	if err != nil {
		return nil, fmt.Errorf("TIM_REDIS_URL: %w", err)
	}
	return node, nil
}

// nodeSpec says what the nodes of a database must have in common.
func (s *Server) nodeSpec() (store.NodeSpec, error) {
	fingerprint, err := auth.Derive(s.key, "tim fingerprint of the signing key")
	if err != nil {
		return store.NodeSpec{}, err
	}
	return store.NodeSpec{Alone: s.settings.RedisURL == "", Signing: hex.EncodeToString(fingerprint[:16]), Mark: s.mark}, nil
}

// joinNodes takes this node's place among the nodes of the database, until the stop.
func (s *Server) joinNodes(ctx context.Context) (err error) {
	spec, err := s.nodeSpec()
	if err != nil {
		return err
	}
	if s.lock, err = s.db.JoinNodes(ctx, spec); err != nil {
		return withSetting(err)
	}
	s.onStop(func(context.Context) error {
		if s.lock == nil { // it was lost
			return nil
		}
		return s.lock.Release()
	})
	return nil
}

const rejoinEvery = time.Second

// rejoin takes the lost place among the nodes again when the database is back, and lets the sockets catch up, since another node
// may have run meanwhile. Until then requests that need the database are refused. It returns an error if nodes run that this one
// can't run beside.
func (s *Server) rejoin(ctx context.Context) error {
	s.log.Warn("the lock on the database was lost; it is taken again when the database is back")
	if err := s.lock.Release(); err != nil {
		s.log.Warn("the lost lock", "err", err)
	}
	s.lock = nil
	spec, err := s.nodeSpec()
	if err != nil {
		return err
	}
	again := time.NewTicker(rejoinEvery)
	defer again.Stop()
	for {
		lock, err := s.db.JoinNodes(ctx, spec)
		if err == nil {
			s.lock = lock
			s.log.Info("the lock on the database is taken again")
			s.catchUpSoon()
			return nil
		}
		if settingOf(err) != "" {
			return fmt.Errorf("the lock on the database was lost: %w", withSetting(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-again.C:
		}
	}
}

// settingOf returns what to do about a node that may not run beside those that run; "" for any other error.
func settingOf(err error) string {
	for known, text := range map[error]string{
		store.ErrNodeRunning: "stop it first, or set TIM_REDIS_URL on all nodes",
		store.ErrNodesShare:  "set TIM_REDIS_URL as they have it, or stop all of them first",
		store.ErrNodeAlone:   "stop it first, or leave TIM_REDIS_URL unset on all nodes",
		store.ErrOtherRedis:  "TIM_REDIS_URL must be the same on all nodes; to move to another Redis, stop all nodes first",
		store.ErrOtherKey:    "TIM_JWT_KEY must be the same on all nodes; to change it, stop all nodes first",
	} {
		if errors.Is(err, known) {
			return text
		}
	}
	return ""
}

func withSetting(err error) error {
	if text := settingOf(err); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// checkRedis returns an error if a command with these settings couldn't tell the nodes that run what it has done.
func checkRedis(ctx context.Context, db *store.DB, node *cluster.Redis) error {
	alone, share, redis, err := db.RunningNodes(ctx)
	switch {
	case err != nil:
		return err
	case node == nil && share:
		return withSetting(store.ErrNodesShare)
	case node != nil && alone:
		return withSetting(store.ErrNodeAlone)
	case node == nil || redis == "":
		return nil
	}
	mark, err := node.Mark(ctx, "")
	if err != nil {
		return fmt.Errorf("TIM_REDIS_URL: %w", err)
	}
	if mark != redis {
		return withSetting(store.ErrOtherRedis)
	}
	return nil
}
