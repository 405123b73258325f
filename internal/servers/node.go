package servers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nodeStopWithin is longer than the default of TIM_DRAIN_TIMEOUT, which is how long a node may take to end.
const nodeStopWithin = 40 * time.Second

// Node is one `tim serve`, as a process of its own on the loopback address. Its data folder survives stops and kills.
type Node struct {
	*Server

	URL   string // http://127.0.0.1:port
	Admin string // host:port of metrics and profiles
}

// NodeOptions of a node.
type NodeOptions struct {
	Binary string   // the program that runs `serve`
	Env    []string // settings, NAME=value. Of this process's environment the node gets PATH and HOME alone
	Log    string   // the file that its log goes to; "" for one in its folder, which goes with the folder
}

// NewNode makes a node that is down. It listens on free ports, which stay the same over restarts.
func (h *Home) NewNode(o NodeOptions) (*Node, error) {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	admin, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{
		kind: "tim", port: port, TCPAddress: loopback(port), argv: []string{binary, "serve"}, log: o.Log, stopWithin: nodeStopWithin,
		ready: func(ctx context.Context, pid int) error { return nodeReady(ctx, pid, port) },
	}
	if err := h.add(s); err != nil {
		return nil, err
	}
	n := &Node{Server: s, URL: "http://" + loopback(port), Admin: loopback(admin)}
	s.Address = n.URL
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"TIM_LISTEN=" + loopback(port), "TIM_ADMIN_LISTEN=" + n.Admin, "TIM_DATA_DIR=" + n.DataDir(), "TIM_BCRYPT_COST=4", "TIM_LIMIT_REGISTRATIONS=0",
	}, o.Env...)
	return n, nil
}

// DataDir is where a node without MySQL keeps its database and files.
func (n *Node) DataDir() string { return n.path("data") }

// StartPatiently is Start for a node whose database or Redis may be away: it starts the node again whenever it ends at its
// start, until ctx ends.
func (n *Node) StartPatiently(ctx context.Context) error {
	for {
		err := n.Start()
		if err == nil || !errors.Is(err, errDied) || ctx.Err() != nil {
			return err
		}
	}
}

// nodeReady asks the process itself whether it serves.
func nodeReady(ctx context.Context, pid, port int) error {
	if !listens(pid, port) {
		return fmt.Errorf("it doesn't listen on port %d", port)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(port)+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: answerWithin}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return response.Body.Close()
}

// Memory returns the resident set of the server's process in bytes, 0 while it is down, and how often it was started,
// which tells one process from the next. It waits while the server starts or stops.
func (s *Server) Memory() (resident int64, starts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0, s.starts
	}
	resident, err := ResidentSet(s.cmd.Process.Pid)
	if err != nil {
		return 0, s.starts
	}
	return resident, s.starts
}

// ResidentSet returns how much memory a process holds, in bytes.
func ResidentSet(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d: %w", pid, syscall.ESRCH) // it has ended
}
