// Package servers runs private instances of MariaDB, Redis, Redis Cluster and MinIO in a folder: for tests, the
// delivery checker and the load tool. Each is reachable through a unix socket or a free port of the loopback
// address, and by nobody from another machine.
//
// A [Home] starts the servers and ends them. They die with the process even when that is killed; the folder it
// then leaves is removed by the next NewHome of any process. The package keeps no goroutine and no connection
// between calls, so it does not disturb tests that look for leaks. It is made for Linux.
package servers

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

const (
	folderPrefix = "tim-test-"
	lockName     = "lock"

	// A unix socket's path has room for 107 bytes; the longest that is put behind the folder takes some 30.
	longestTempDir = 60
)

// Home is a folder with servers in it; they end with the process that made it, even when that is killed. Its
// methods may be called from any goroutine.
type Home struct {
	folder string
	unlock func() error

	mu      sync.Mutex
	closed  bool
	servers map[*Server]struct{}
	names   int
}

// NewHome makes a temporary folder for servers, and removes those of processes that were killed. The caller
// closes it; a process may have several.
func NewHome() (*Home, error) { return newHome(tempDir()) }

func newHome(parent string) (*Home, error) {
	sweep(parent)
	folder, unlock, err := makeFolder(parent)
	if err != nil {
		return nil, err
	}
	return &Home{folder: folder, unlock: unlock, servers: make(map[*Server]struct{})}, nil
}

// Folder returns the path of the folder. The caller may keep files of its own there until Close removes it; the
// servers have theirs in folders named after what they are.
func (h *Home) Folder() string { return h.folder }

// Close kills every server and removes the folder; nobody needs its data any more. A server whose start is under
// way is waited for. Closing again does nothing.
func (h *Home) Close() error {
	h.mu.Lock()
	closed, running := h.closed, slices.Collect(maps.Keys(h.servers))
	h.closed = true
	h.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, s := range running {
		errs = append(errs, s.Remove())
	}
	return errors.Join(append(errs, os.RemoveAll(h.folder), h.unlock())...)
}

// add gives the server a folder of its own and remembers it for Close.
func (h *Home) add(s *Server) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("the home of the servers is closed")
	}
	h.names++
	s.home, s.folder = h, filepath.Join(h.folder, fmt.Sprintf("%s%d", s.kind, h.names))
	if err := os.Mkdir(s.folder, 0o700); err != nil {
		return fmt.Errorf("folder for a server: %w", err)
	}
	h.servers[s] = struct{}{}
	return nil
}

func (h *Home) forget(s *Server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.servers, s)
}

// startOnFreePort builds servers until one starts: each gets another port.
func (h *Home) startOnFreePort(build func(port int) *Server) (*Server, error) {
	for attempt := 1; ; attempt++ {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		s := build(port)
		s.port, s.TCPAddress = port, loopback(port)
		if err := h.add(s); err != nil {
			return nil, err
		}
		if err = s.Start(); err == nil {
			return s, nil
		}
		err = errors.Join(err, s.Remove())
		if !errors.Is(err, errDied) || attempt == startAttempts {
			return nil, err
		}
	}
}

func tempDir() string {
	if dir := os.TempDir(); len(dir) <= longestTempDir {
		return dir
	}
	return "/tmp"
}

// makeFolder makes the folder of this process and locks it for as long as the process lives, which is how
// sweep tells it from one whose process was killed.
func makeFolder(parent string) (folder string, unlock func() error, err error) {
	folder, err = os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("temporary folder: %w", err)
	}
	// The lock gets its name only once it is held: sweep never sees one that is not held yet.
	unnamed := filepath.Join(folder, "unnamed")
	file, err := os.OpenFile(unnamed, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("temporary folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock %s: %w", unnamed, err), file.Close())
	}
	if err := os.Rename(unnamed, filepath.Join(folder, lockName)); err != nil {
		return "", nil, errors.Join(fmt.Errorf("temporary folder: %w", err), file.Close())
	}
	return folder, file.Close, nil
}

// sweep removes the folders of processes that were killed. What it can't remove belongs to somebody else.
func sweep(parent string) {
	locks, err := filepath.Glob(filepath.Join(parent, folderPrefix+"*", lockName))
	if err != nil {
		return
	}
	for _, lock := range locks {
		file, err := os.Open(lock)
		if err != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(lock))
		}
		_ = file.Close()
	}
}
