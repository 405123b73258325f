package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	clusterMasters = 3
	clusterSlots   = 16384
	clusterWithin  = 60 * time.Second
)

// Redis starts a Redis without persistence for this test alone and returns its URL, redis://127.0.0.1:port.
func Redis(t testing.TB) (url string) {
	t.Helper()
	return startRedis(t, "--appendonly", "no").Address
}

// RedisServer starts a Redis for this test alone that the test may hurt. It writes every change to disk before
// it answers, so that Start finds everything that was acknowledged, even after Kill; FLUSHALL makes it the
// Redis that lost its data.
func RedisServer(t testing.TB) *Server {
	t.Helper()
	return startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
}

// RedisCluster starts a Redis Cluster of three masters for this test alone and returns their URLs, with commas
// between them. All three agree that all slots are served. It takes some two seconds, which Redis gives a new
// master to look around.
func RedisCluster(t testing.TB) (urls string) {
	t.Helper()
	var all []string
	var ports []int
	for range clusterMasters {
		s := startRedis(t, "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
		_, p, _ := strings.Cut(strings.TrimPrefix(s.Address, "redis://"), ":")
		port, err := strconv.Atoi(p)
		if err != nil {
			t.Fatalf("testserver: %v", err)
		}
		all, ports = append(all, s.Address), append(ports, port)
	}
	if err := joinCluster(ports); err != nil {
		t.Fatalf("testserver: redis cluster: %v", err)
	}
	return strings.Join(all, ",")
}

func startRedis(t testing.TB, options ...string) *Server {
	t.Helper()
	i, port, err := startRedisInstance(options...)
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	return newServer(t, i, "redis://"+loopback(port))
}

func startRedisInstance(options ...string) (i *instance, port int, err error) {
	binary, err := lookPath("redis-server")
	if err != nil {
		return nil, 0, err
	}
	return startOnFreePort(func(port int) *instance {
		args := []string{binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--dir", "."}
		return &instance{
			kind:  "redis",
			argv:  append(args, options...),
			ready: func(ctx context.Context, pid int) error { return redisReady(ctx, pid, port) },
		}
	})
}

// redisReady tells whether the process itself answers, and not another that was given the same port.
func redisReady(ctx context.Context, pid, port int) error {
	info, err := redisAsk(ctx, port, "INFO server")
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("\r\nprocess_id:%d\r\n", pid)) {
		return fmt.Errorf("another process answers on port %d", port)
	}
	pong, err := redisAsk(ctx, port, "PING") // an error while the data is loaded
	if err == nil && pong != "PONG" {
		err = fmt.Errorf("ping: %q", pong)
	}
	return err
}

func joinCluster(ports []int) error {
	ctx, cancel := context.WithTimeout(context.Background(), clusterWithin)
	defer cancel()
	for n, port := range ports {
		first, last := n*clusterSlots/len(ports), (n+1)*clusterSlots/len(ports)-1
		commands := []string{
			fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last),
			fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", n+1),
		}
		if n > 0 {
			commands = append(commands, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d", ports[0]))
		}
		for _, command := range commands {
			if _, err := redisAsk(ctx, port, command); err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
		}
	}
	return until(clusterWithin, func() error {
		for _, port := range ports {
			if err := clusterReady(ctx, port, len(ports)); err != nil {
				return err
			}
		}
		return nil
	})
}

func clusterReady(ctx context.Context, port, masters int) error {
	info, err := redisAsk(ctx, port, "CLUSTER INFO")
	if err != nil {
		return err
	}
	for _, want := range []string{
		"cluster_state:ok", fmt.Sprintf("cluster_slots_ok:%d", clusterSlots),
		fmt.Sprintf("cluster_known_nodes:%d", masters), fmt.Sprintf("cluster_size:%d", masters),
	} {
		if !strings.Contains("\r\n"+info, "\r\n"+want+"\r\n") {
			return fmt.Errorf("port %d: want %s in\n%s", port, want, info)
		}
	}
	return nil
}

// redisAsk sends one command on a connection of its own and returns the answer, a simple or a bulk string. A
// client library here would bring its pool into the tests of packages that count goroutines.
func redisAsk(ctx context.Context, port int, command string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing depends on it
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	return readAnswer(bufio.NewReader(conn))
}

func readAnswer(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "+"):
		return line[1:], nil
	case strings.HasPrefix(line, "-"):
		return "", errors.New("redis: " + line[1:])
	case strings.HasPrefix(line, "$"):
		size, err := strconv.Atoi(line[1:])
		if err != nil || size < 0 {
			return "", fmt.Errorf("redis: unexpected answer %q", line)
		}
		bulk := make([]byte, size)
		if _, err := io.ReadFull(r, bulk); err != nil {
			return "", fmt.Errorf("redis: %w", err)
		}
		return string(bulk), nil
	}
	return "", fmt.Errorf("redis: unexpected answer %q", line)
}
