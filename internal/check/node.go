package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	nodeStartTimeout = 60 * time.Second
	nodeStopTimeout  = 40 * time.Second // above the default of TIM_DRAIN_TIMEOUT
	lookEvery        = 20 * time.Millisecond
)

// node is one `tim serve`, a process that is killed and started again. Its methods are called one at a time, but url,
// name and memory from anywhere.
type node struct {
	name     string
	binary   string
	url      string
	env      []string
	log      string // a file
	database *gate  // nil on the embedded default
	redis    *gate  // nil there and on a Redis Cluster

	mu    sync.Mutex
	cmd   *exec.Cmd // nil while it is down
	ended chan struct{}
	lives int // how often it was started
}

// start starts the process and returns when it serves.
func (n *node) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeStartTimeout)
	defer cancel()
	for {
		err := n.launch()
		if err != nil {
			return err
		}
		if err = n.awaitHealth(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil { // else it ended at its start: what it needs may be away still
			return errors.Join(fmt.Errorf("%s doesn't serve; its log is %s: %w", n.name, n.log, err), n.kill())
		}
	}
}

func (n *node) launch() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", n.name, err)
	}
	defer log.Close()                      //nolint:errcheck // the process has its own
	cmd := exec.Command(n.binary, "serve") //nolint:noctx // this very program; it lives until kill or stop
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process, which close ends
		defer close(ended)
		_ = cmd.Wait() // most of them are killed
	}()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd, n.ended = cmd, ended
	n.lives++
	return nil
}

func (n *node) awaitHealth(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/healthz", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			return answer.Body.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-n.ended:
			return fmt.Errorf("it ended: %w", err)
		case <-look.C:
		}
	}
}

// kill ends the process as a power cut would; it does nothing when it is down.
func (n *node) kill() error { return n.end(syscall.SIGKILL) }

// stop ends it in peace.
func (n *node) stop() error { return n.end(syscall.SIGTERM) }

func (n *node) end(signal syscall.Signal) error {
	n.mu.Lock()
	cmd, ended := n.cmd, n.ended
	n.cmd = nil
	n.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", n.name, err)
	}
	select {
	case <-ended:
		return nil
	case <-time.After(nodeStopTimeout):
	}
	err := cmd.Process.Kill()
	<-ended
	return errors.Join(fmt.Errorf("%s didn't end within %v of %v", n.name, nodeStopTimeout, signal), err)
}

// signal sends one that doesn't end the process.
func (n *node) signal(signal syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return fmt.Errorf("%s is down", n.name)
	}
	return n.cmd.Process.Signal(signal)
}

// gates are those that the node has.
func (n *node) gates() (gates []*gate) {
	for _, g := range []*gate{n.database, n.redis} {
		if g != nil {
			gates = append(gates, g)
		}
	}
	return gates
}

func (n *node) close() error {
	errs := []error{n.kill()}
	for _, g := range n.gates() {
		errs = append(errs, g.close())
	}
	return errors.Join(errs...)
}

// memory is the resident set of the process, in bytes, and which of its lives it is; 0 while it is down.
func (n *node) memory() (bytes int64, life int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0, n.lives
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return 0, n.lives
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err == nil {
				bytes = kb << 10
			}
		}
	}
	return bytes, n.lives
}
