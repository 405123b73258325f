package servers

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// timBinary builds the server.
func timBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tim")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "tim/cmd/tim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// ping tells how a node answers.
func ping(t *testing.T, n *Node, path string) (status int, err error) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get(n.URL + path)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

func TestNode(t *testing.T) {
	t.Parallel()
	binary := timBinary(t)
	t.Run("embedded", func(t *testing.T) { t.Parallel(); testEmbeddedNode(t, binary) })
	t.Run("on a stack", func(t *testing.T) { t.Parallel(); testNodeOnStack(t, binary) })
	t.Run("that fails", func(t *testing.T) { t.Parallel(); testNodeThatFails(t, binary) })
}

// A node keeps its address and its data over kills and stops.
func testEmbeddedNode(t *testing.T, binary string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	n, err := newTestHome(t).NewNode(NodeOptions{Binary: binary, Log: log})
	must(t, err)
	if bytes, starts := n.Memory(); bytes != 0 || starts != 0 || n.PID() != 0 {
		t.Errorf("before the start: %d bytes, %d starts, process %d", bytes, starts, n.PID())
	}
	url := n.URL
	for i, end := range []func() error{n.Kill, n.Stop} {
		must(t, n.Start())
		if status, err := ping(t, n, "/readyz"); err != nil || status != http.StatusOK || n.URL != url {
			t.Errorf("at %s: %d, %v", n.URL, status, err)
		}
		if bytes, starts := n.Memory(); bytes < 1<<20 || starts != i+1 {
			t.Errorf("%d bytes, %d starts", bytes, starts)
		}
		must(t, end())
		if _, err := ping(t, n, "/healthz"); err == nil || n.PID() != 0 {
			t.Error("it still answers")
		}
	}
	if _, err := os.Stat(filepath.Join(n.DataDir(), "tim.db")); err != nil {
		t.Error(err)
	}
	if said, err := os.ReadFile(log); err != nil || strings.Count(string(said), "msg=listening") != 2 {
		t.Errorf("%v; the log says\n%s", err, said)
	}
}

// A node on a stack is ready when all that it uses answers, and waits for a database that comes late.
func testNodeOnStack(t *testing.T, binary string) {
	t.Helper()
	home := newTestHome(t)
	stack, err := home.StartStack(StackOptions{})
	must(t, err)
	n, err := home.NewNode(NodeOptions{Binary: binary, Env: stack.Env(stack.Database[0].Address, stack.RedisURL())})
	must(t, err)
	must(t, stack.Database[0].Stop())
	started := make(chan error, 1)
	go func() { started <- n.StartPatiently(t.Context()) }()
	// Its log says when it has tried: Memory would wait for the start to end.
	if err := until(startWithin, func() error {
		said, err := os.ReadFile(n.logFile())
		if err == nil && !strings.Contains(string(said), "TIM_MYSQL_DSN") {
			err = os.ErrNotExist
		}
		return err
	}); err != nil {
		t.Error("it didn't miss its database")
	}
	must(t, stack.Database[0].Start())
	must(t, <-started)
	if status, err := ping(t, n, "/readyz"); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v", status, err)
	}
	must(t, n.Stop())
}

// A node that doesn't start says why.
func testNodeThatFails(t *testing.T, binary string) {
	t.Helper()
	n, err := newTestHome(t).NewNode(NodeOptions{Binary: binary, Env: []string{"TIM_LANGUAGE=xx"}})
	must(t, err)
	if err := n.Start(); err == nil || !strings.Contains(err.Error(), "language") && !strings.Contains(err.Error(), "TIM_LANGUAGE") {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.StartPatiently(ended); err == nil {
		t.Error("it started")
	}
}
