package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	startWithin = 90 * time.Second // generous: other test processes may be starting theirs
	stopWithin  = 30 * time.Second
	pollEvery   = 5 * time.Millisecond
	logShown    = 4 << 10 // bytes of a server's log in an error
)

// errDied says that a server ended while its start was awaited.
var errDied = errors.New("the server ended at its start")

// instance is one server: its folder survives stops, its process does not.
type instance struct {
	kind   string // what it is, in messages and in the folder's name
	folder string
	argv   []string
	env    []string // nil: the test's own

	// ready returns nil once the server answers; pid is its process.
	ready func(ctx context.Context, pid int) error

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it is down
}

func (i *instance) path(elem string) string { return filepath.Join(i.folder, elem) }

// start starts the server and returns when it is ready, or else leaves it down.
func (i *instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd != nil {
		return fmt.Errorf("%s runs already", i.kind)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()

	log, err := os.OpenFile(i.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", i.kind, err)
	}
	cmd := exec.Command(i.argv[0], i.argv[1:]...) //nolint:noctx // it lives until end
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = i.env, i.folder, log, log
	// A group of its own, so that Ctrl-C at the terminal doesn't take the server away from running tests. The
	// death signal follows the thread that started the child; Go ends a thread only when a goroutine that locked
	// it returns, which no code here does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	if closing := log.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", i.kind, err)
	}
	i.cmd = cmd
	if err := i.awaitReady(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s: %w\n%s", i.kind, err, i.logTail()), i.end(syscall.SIGKILL))
	}
	return nil
}

func (i *instance) awaitReady(ctx context.Context) error {
	pid := i.cmd.Process.Pid
	for {
		err := i.ready(ctx, pid)
		if err == nil {
			return nil
		}
		if state, _ := processState(pid); state == 'Z' {
			return errDied
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(pollEvery):
		}
	}
}

// kill ends the server the hard way; it is no error when it is down.
func (i *instance) kill() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.end(syscall.SIGKILL)
}

// stop asks the server to end and waits until it did.
func (i *instance) stop() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd == nil {
		return nil
	}
	if err := i.cmd.Process.Signal(syscall.SIGCONT); err != nil { // a paused process hears nothing else
		return fmt.Errorf("stop %s: %w", i.kind, err)
	}
	return i.end(syscall.SIGTERM)
}

// end signals the process and reaps it. The caller holds mu.
func (i *instance) end(signal syscall.Signal) error {
	if i.cmd == nil {
		return nil
	}
	cmd := i.cmd
	i.cmd = nil
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", i.kind, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is not of interest
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(stopWithin):
	}
	err := cmd.Process.Kill()
	<-ended
	return errors.Join(fmt.Errorf("%s didn't end within %v of %v\n%s", i.kind, stopWithin, signal, i.logTail()), err)
}

// pause stops the process without ending it; the kernel goes on accepting connections for it.
func (i *instance) pause() error { return i.signal(syscall.SIGSTOP, 'T') }

// resume undoes pause.
func (i *instance) resume() error { return i.signal(syscall.SIGCONT, 'S', 'R', 'D') }

// signal sends a signal and waits until the process is in one of the states.
func (i *instance) signal(signal syscall.Signal, states ...byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd == nil {
		return fmt.Errorf("%s is down", i.kind)
	}
	if err := i.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", i.kind, err)
	}
	for deadline := time.Now().Add(stopWithin); ; time.Sleep(pollEvery) {
		state, err := processState(i.cmd.Process.Pid)
		if err == nil && slices.Contains(states, state) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is in state %q after %v", i.kind, state, signal)
		}
	}
}

func (i *instance) logTail() string {
	log, err := os.ReadFile(i.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logShown):])
}
