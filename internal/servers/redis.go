package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	clusterMasters = 3
	clusterSlots   = 16384
	clusterWithin  = 60 * time.Second
)

// Redis starts a Redis without persistence: a restart loses its data.
func (h *Home) Redis() (*Server, error) { return h.startRedis("--appendonly", "no") }

// DurableRedis starts a Redis that writes every change to disk before it answers, so that Start finds everything
// that was acknowledged, even after Kill. FLUSHALL makes it lose its data.
func (h *Home) DurableRedis() (*Server, error) {
	return h.startRedis("--appendonly", "yes", "--appendfsync", "always")
}

// RedisCluster starts a Redis Cluster of three masters without persistence. All three agree that all slots are
// served. It takes some two seconds, which Redis gives a new master to look around.
func (h *Home) RedisCluster() ([]*Server, error) {
	masters, err := h.startMasters()
	if err == nil {
		err = joinCluster(masters)
	}
	if err != nil {
		for _, master := range masters {
			err = errors.Join(err, master.Remove())
		}
		return nil, fmt.Errorf("redis cluster: %w", err)
	}
	return masters, nil
}

func (h *Home) startMasters() (masters []*Server, err error) {
	for range clusterMasters {
		master, err := h.startRedis("--appendonly", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
		if err != nil {
			return masters, err
		}
		masters = append(masters, master)
	}
	return masters, nil
}

func (h *Home) startRedis(options ...string) (*Server, error) {
	binary, err := LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	return h.startOnFreePort(func(port int) *Server {
		args := []string{binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--dir", "."}
		return &Server{
			Address: "redis://" + loopback(port),
			kind:    "redis",
			argv:    append(args, options...),
			ready:   func(ctx context.Context, pid int) error { return redisReady(ctx, pid, port) },
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

func joinCluster(masters []*Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), clusterWithin)
	defer cancel()
	for n, master := range masters {
		first, last := n*clusterSlots/len(masters), (n+1)*clusterSlots/len(masters)-1
		commands := []string{
			fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last),
			fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", n+1),
		}
		if n > 0 {
			commands = append(commands, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d", masters[0].port))
		}
		for _, command := range commands {
			if _, err := redisAsk(ctx, master.port, command); err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
		}
	}
	return until(clusterWithin, func() error {
		for _, master := range masters {
			if err := clusterReady(ctx, master.port, len(masters)); err != nil {
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

// redisAsk sends one command on a connection of its own and returns the answer, a simple or a bulk string. It uses no client library,
// because a library's pool would have goroutines, which tests count.
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
