package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/store"
)

// An operator's command that ends sessions runs in a process of its own. It tells nodes with Redis over the bus. A single node
// without Redis looks once a second at a file in the data folder, which the command writes.
const (
	endedFile = "sessions-ended"
	lookEvery = time.Second
)

func endedPath(s Settings) string { return filepath.Join(s.DataDir, endedFile) }

// sessionNews returns the function by which a command tells the running nodes of an ended session, and one to call when the
// command is done.
func sessionNews(ctx context.Context, s Settings, db *store.DB) (tell func(ctx context.Context, account, session string, why fault.Reason) error, done func() error, err error) {
	if s.RedisURL == "" {
		if err := checkRedis(ctx, db, nil); err != nil {
			return nil, nil, err
		}
		tell = func(context.Context, string, string, fault.Reason) error {
			if err := os.WriteFile(endedPath(s), []byte(time.Now().Format(time.RFC3339Nano)), 0o600); err != nil {
				return fmt.Errorf("tell the running server: %w", err)
			}
			return nil
		}
		return tell, func() error { return nil }, nil
	}
	identity, err := db.Identity(ctx)
	if err != nil {
		return nil, nil, err
	}
	node, err := openRedis(ctx, s, identity, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	if err := checkRedis(ctx, db, node); err != nil {
		return nil, nil, errors.Join(err, node.Close())
	}
	node.Start(nil)
	return feed.New(node, slog.New(slog.DiscardHandler)).SessionEnded, node.Close, nil
}

// watchEnded lets the sockets check their sessions again whenever a command has ended some, until ctx ends.
func (s *Server) watchEnded(ctx context.Context) {
	last := modified(endedPath(s.settings))
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if now := modified(endedPath(s.settings)); now != last {
			last = now
			s.catchUpSoon()
		}
	}
}

// modified returns the time of a file's last change, the zero time if there is no such file.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// sweepEvery is how often a node deletes sessions that have expired.
const sweepEvery = time.Minute

// sweepSessions deletes sessions that have expired, until ctx ends.
func (s *Server) sweepSessions(ctx context.Context) {
	again := time.NewTicker(sweepEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		deleted, err := s.auth.Sweep(ctx)
		if deleted > 0 {
			s.log.Debug("expired sessions deleted", "sessions", deleted)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("expired sessions stay a little longer", "err", err)
		}
	}
}
