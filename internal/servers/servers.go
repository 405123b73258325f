// Package servers runs private instances of MariaDB, MySQL, Galera, Redis, Redis Cluster, MinIO and Tim itself in a temporary folder, for tests,
// the delivery checker and the load tool. They listen on unix sockets and on free ports of the loopback address, so no other
// machine reaches them.
//
//	servers.go   the folder, which ends all servers in it
//	server.go    a process that is started, stopped, killed, paused
//	mariadb.go, mysql.go, galera.go, vitess.go, redis.go, sentinel.go, minio.go   one kind of server each
//	node.go      a node of Tim; stack.go the servers that several nodes share
//	system.go    programs, ports and processes of this machine
//
// A [Home] starts the servers and ends them. They end with the process, even when that is killed. The next NewHome of any process
// then removes the folder. The package keeps no goroutine and no connection between calls, so it does not disturb tests that look
// for leaks. It works on Linux only.
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

	// A unix socket's path may have 107 bytes; what is appended to the folder's path has some 30.
	longestTempDir = 60
)

// Home is a folder with servers in it. They end with the process that made it, even when that is killed. Its methods may be called
// from any goroutine.
type Home struct {
	folder string
	unlock func() error

	mu      sync.Mutex
	closed  bool
	servers map[*Server]struct{}
	names   int
}

// NewHome makes a temporary folder for servers, and removes the folders of processes that were killed. The caller closes it. A process
// may have several.
func NewHome() (*Home, error) { return newHome(tempDir()) }

func newHome(parent string) (*Home, error) {
	sweep(parent)
	folder, unlock, err := makeFolder(parent)
	if err != nil {
		return nil, err
	}
	return &Home{folder: folder, unlock: unlock, servers: make(map[*Server]struct{})}, nil
}

// Folder returns the path of the folder. The caller may keep files there until Close removes it. The servers have folders in it,
// which are named after their kind.
func (h *Home) Folder() string { return h.folder }

// Close kills every server and removes the folder with its data. It waits for a server that is being started. A second call does
// nothing.
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

// startOnFreePort builds servers, each on another port, until one starts.
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

// makeFolder makes the folder of this process and locks it until the process ends. By the lock, sweep tells the folder from one
// whose process was killed.
func makeFolder(parent string) (folder string, unlock func() error, err error) {
	folder, err = os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("temporary folder: %w", err)
	}
	// The file gets its name when the lock is held, so that sweep never sees an unlocked one of a living process.
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

// sweep removes the folders of processes that were killed. It ignores those that it can't remove: they belong to another user.
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
