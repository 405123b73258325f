package servers

import (
	"cmp"
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
	startWithin = 3 * time.Minute // generous: other test processes may be starting theirs
	stopWithin  = 30 * time.Second
	pollEvery   = 5 * time.Millisecond
	logShown    = 4 << 10 // bytes of a server's log in an error
)

// errDied says that a server ended while its start was awaited.
var errDied = errors.New("the server ended at its start")

// Server is one server. Its folder stays when the process ends. Its methods may be called from any goroutine; one call waits for
// another.
type Server struct {
	// Address is what Tim's settings need. Restarts don't change it. For MariaDB it is the DSN (of go-sql-driver, without
	// parameters) of an empty utf8mb4 database, through a unix socket; for Redis redis://127.0.0.1:port; for a node its URL.
	Address string

	// TCPAddress is 127.0.0.1:port, for proxies. Restarts don't change it. MariaDB admits root there without a password.
	TCPAddress string

	home   *Home
	kind   string // what it is, in messages and in the folder's name
	folder string
	port   int
	argv   []string
	env    []string // nil: this process's own
	log    string   // the file that the process writes to; "" for one in the folder

	owner      *syscall.Credential // whom the process runs as; nil for this process's user
	disguised  bool                // where this process is root's, that one takes itself for nobody's
	stopWithin time.Duration       // 0 for the default

	// install is called once, before the first start; nil when there is nothing to do.
	install func(ctx context.Context) error

	// prepare is called before each start; nil when there is nothing to do.
	prepare func(ctx context.Context) error

	// ready returns nil once the server answers; pid is its process.
	ready func(ctx context.Context, pid int) error

	mu      sync.Mutex
	removed bool
	cmd     *exec.Cmd // nil while it is down
	starts  int
}

func (s *Server) path(elem string) string { return filepath.Join(s.folder, elem) }

func (s *Server) logFile() string { return cmp.Or(s.log, s.path("log")) }

// Start starts the server, on the same address and with the same data as before, and returns when it answers. After an error the
// server is down. It is an error when the server runs, or when it has ended by itself and was not stopped or killed since. The
// constructors of Home return servers that are started, except NewNode.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return fmt.Errorf("%s runs already", s.kind)
	}
	if s.removed {
		return fmt.Errorf("%s is removed", s.kind)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	if s.install != nil {
		if err := s.install(ctx); err != nil {
			return err
		}
		s.install = nil
	}
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return err
		}
	}
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s: %w\n%s", s.kind, err, s.logTail()), s.end(syscall.SIGKILL))
	}
	return nil
}

// launch starts the process. The caller holds mu.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.kind, err)
	}
	defer log.Close()                             //nolint:errcheck // the server writes through its own
	cmd := exec.Command(s.argv[0], s.argv[1:]...) //nolint:noctx // it lives until end
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.env, s.folder, log, log
	// A process group of its own, so that Ctrl-C at the terminal doesn't end the server before its user. The kernel sends the death
	// signal when the thread that started the child ends; Go ends a thread only when a goroutine that has locked it returns, and
	// no code here locks one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: s.owner}
	if s.disguised && os.Geteuid() == 0 {
		disguise(cmd.SysProcAttr)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.kind, err)
	}
	s.cmd = cmd
	s.starts++
	return nil
}

func (s *Server) awaitReady(ctx context.Context) error {
	pid := s.cmd.Process.Pid
	for {
		err := s.ready(ctx, pid)
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

// Kill ends the server at once (SIGKILL). It does nothing when the server is down.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(syscall.SIGKILL)
}

// Remove kills the server and deletes its folder; it can't be started again.
func (s *Server) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
	s.home.forget(s)
	return errors.Join(s.end(syscall.SIGKILL), os.RemoveAll(s.folder))
}

// PID returns the id of the running process, 0 while it is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	pid := s.cmd.Process.Pid
	if state, err := processState(pid); err != nil || state == 'Z' { // it ended by itself
		return 0
	}
	return pid
}

// Stop asks the server to end (SIGTERM) and returns when it has. It does nothing when the server is down.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil { // a paused process hears nothing else
		return fmt.Errorf("stop %s: %w", s.kind, err)
	}
	return s.end(syscall.SIGTERM)
}

// end signals the process and reaps it. The caller holds mu.
func (s *Server) end(signal syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", s.kind, err)
	}
	within := cmp.Or(s.stopWithin, stopWithin)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is not of interest
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(within):
	}
	err := cmd.Process.Kill()
	<-ended
	return errors.Join(fmt.Errorf("%s didn't end within %v of %v\n%s", s.kind, within, signal, s.logTail()), err)
}

// Pause stops the process (SIGSTOP): connections stay open, the kernel accepts new ones, and nothing is answered. It is an error when
// the server is down.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP, 'T') }

// Resume ends a Pause (SIGCONT). The server then answers what it was asked meanwhile.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT, 'S', 'R', 'D') }

// signal sends a signal and waits until the process is in one of the states.
func (s *Server) signal(signal syscall.Signal, states ...byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return fmt.Errorf("%s is down", s.kind)
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", s.kind, err)
	}
	for deadline := time.Now().Add(stopWithin); ; time.Sleep(pollEvery) {
		state, err := processState(s.cmd.Process.Pid)
		if err == nil && slices.Contains(states, state) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is in state %q after %v", s.kind, state, signal)
		}
	}
}

func (s *Server) logTail() string {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logShown):])
}
