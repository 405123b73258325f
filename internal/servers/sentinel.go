package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	sentinels      = 3
	sentinelMaster = "tim"
)

// RedisSentinel starts a Redis with a replica, and three Sentinels that make the replica the master a second after the master is gone.
// The first of the servers is the master. The URL is for Tim's settings.
func (h *Home) RedisSentinel() (url string, all []*Server, err error) {
	defer func() {
		if err != nil {
			for _, s := range all {
				err = errors.Join(err, s.Remove())
			}
			err = fmt.Errorf("redis sentinel: %w", err)
		}
	}()
	master, err := h.Redis()
	if err != nil {
		return "", nil, err
	}
	all = append(all, master)
	replica, err := h.startRedis("--appendonly", "no", "--replicaof", "127.0.0.1", strconv.Itoa(master.port), "--repl-diskless-sync-delay", "0")
	if err != nil {
		return "", all, err
	}
	all = append(all, replica)
	var addresses []string
	for range sentinels {
		s, err := h.startSentinel(master.port)
		if err != nil {
			return "", all, err
		}
		all, addresses = append(all, s), append(addresses, s.TCPAddress)
	}
	err = until(clusterWithin, func() error {
		for _, s := range all[2:] {
			info, err := redisAsk(context.Background(), s.port, "INFO sentinel")
			if want := fmt.Sprintf(",slaves=1,sentinels=%d", sentinels); err != nil || !strings.Contains(info, want) {
				return fmt.Errorf("want %s in %s: %w", want, info, err)
			}
		}
		info, err := redisAsk(context.Background(), replica.port, "INFO replication")
		if err != nil || !strings.Contains(info, "master_link_status:up") {
			return fmt.Errorf("the replica: %s: %w", info, err)
		}
		return nil
	})
	return "redis+sentinel://" + strings.Join(addresses, ",") + "/" + sentinelMaster, all, err
}

func (h *Home) startSentinel(master int) (*Server, error) {
	binary, err := LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	return h.startOnFreePort(func(port int) *Server {
		s := &Server{
			Address: loopback(port),
			kind:    "sentinel",
			ready:   func(ctx context.Context, pid int) error { return redisReady(ctx, pid, port) },
		}
		s.install = func(context.Context) error { // a Sentinel keeps what it knows in this file
			s.argv = []string{binary, s.path("sentinel.conf"), "--sentinel"}
			config := fmt.Sprintf("port %[1]d\nbind 127.0.0.1\ndir %[2]s\nsentinel monitor %[3]s 127.0.0.1 %[4]d 2\n"+
				"sentinel down-after-milliseconds %[3]s 1000\nsentinel failover-timeout %[3]s 5000\n", port, s.folder, sentinelMaster, master)
			if err := os.WriteFile(s.path("sentinel.conf"), []byte(config), 0o600); err != nil {
				return fmt.Errorf("settings of a Sentinel: %w", err)
			}
			return nil
		}
		return s
	})
}
