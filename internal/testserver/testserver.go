// Package testserver starts real servers for tests: MariaDB, Redis, Redis Cluster and MinIO, each a private
// instance in a temporary folder, reachable through a unix socket or a free port of the loopback address.
//
// A package whose tests use it says so once:
//
//	func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
//
// Servers start when the first test asks and are gone when Main returns. They die with the test process even
// when that is killed; the folder it then leaves is removed by the next test process. All functions may be
// called from parallel tests. The package keeps no goroutine and no connection between calls, so it does not
// disturb tests that look for leaks. It is made for Linux.
package testserver

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

const (
	folderPrefix = "tim-test-"
	lockName     = "lock"

	// A unix socket's path has room for 107 bytes; the longest that is put behind the folder takes some 30.
	longestTempDir = 60
)

// process is what this test process has started.
type process struct {
	mu        sync.Mutex
	folder    string // "" outside Main
	instances map[*instance]struct{}
	names     int

	// Shared by all tests of the process; the first one that asks starts them.
	mariadb struct {
		once     sync.Once
		instance *instance
		err      error
	}
	minio struct {
		once sync.Once
		s3   S3
		err  error
	}
}

// here is the one thing that outlives a test: servers shared by all tests of the process.
//
//nolint:gochecknoglobals // one per process is its meaning, and tests have no other common place
var here = &process{instances: map[*instance]struct{}{}}

// Main runs the tests of m and then ends every server they started. It returns the exit code for os.Exit.
// Only TestMain calls it, once.
func Main(m *testing.M) int {
	sweep(tempDir())
	folder, unlock, err := makeFolder(tempDir())
	if err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		return 1
	}
	here.open(folder)
	code := m.Run()
	err = errors.Join(here.close(), os.RemoveAll(folder), unlock())
	if err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		return max(code, 1)
	}
	return code
}

func (p *process) open(folder string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.folder = folder
}

// close kills everything that still runs; nobody needs its data any more.
func (p *process) close() error {
	p.mu.Lock()
	running := slices.Collect(maps.Keys(p.instances))
	p.folder = ""
	p.mu.Unlock()

	var errs []error
	for _, i := range running {
		errs = append(errs, i.kill())
	}
	return errors.Join(errs...)
}

// add gives the instance a folder of its own and remembers it for close.
func (p *process) add(i *instance) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.folder == "" {
		return errors.New("the package's tests need: func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }")
	}
	p.names++
	i.folder = filepath.Join(p.folder, fmt.Sprintf("%s%d", i.kind, p.names))
	if err := os.Mkdir(i.folder, 0o700); err != nil {
		return fmt.Errorf("folder for a server: %w", err)
	}
	p.instances[i] = struct{}{}
	return nil
}

// remove kills the instance and deletes its folder.
func (p *process) remove(i *instance) error {
	p.mu.Lock()
	delete(p.instances, i)
	p.mu.Unlock()
	return errors.Join(i.kill(), os.RemoveAll(i.folder))
}

// name returns a name that no other call in this process gets.
func (p *process) name(prefix string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names++
	return fmt.Sprintf("%s%d", prefix, p.names)
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

// sweep removes the folders of test processes that were killed. What it can't remove belongs to somebody else.
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
