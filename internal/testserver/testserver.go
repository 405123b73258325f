// Package testserver starts real servers for tests: MariaDB or MySQL, Galera, Redis, Redis Cluster and MinIO, each a private
// instance of package servers in a temporary folder. A server that can't be started fails the test.
//
//	testserver.go  Main, and the servers that a test process shares
//	database.go    databases, and TIM_TEST_DATABASE
//	server.go      a server of a test's own
//	galera.go      a cluster of MariaDB servers
//	mode.go        TIM_TEST_MODE
//
// A package whose tests use it calls Main once, and names the tests that can't run without a server:
//
//	func TestMain(m *testing.M) { os.Exit(testserver.Main(m, "TestRedisAway", "TestTwoNodes")) }
//
// With TIM_TEST_MODE=embedded in the environment those tests don't run, and tests that run once for each engine (see
// [Available]) run on the embedded one alone. Main then says in capitals what was left out. A machine without the servers
// can test this way; without that variable every test runs.
//
// Servers start when the first test asks and are gone when Main returns. They die with the test process even when that is
// killed; the next test process removes the folder that is then left. All functions may be called from parallel tests.
// The package keeps no goroutine and no connection between calls, so it does not disturb tests that look for leaks. It
// is made for Linux.
package testserver

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"tim/internal/servers"
)

// process holds the servers of this test process.
type process struct {
	mu    sync.Mutex
	home  *servers.Home // nil outside Main
	names int
	users map[string]bool // the tests that asked for a server
	parts int             // how often Available has answered false

	// Shared by all tests of the process; the first one that asks starts them.
	database struct {
		once   sync.Once
		server *servers.Server
		err    error
	}
	galera struct {
		once    sync.Once
		cluster *servers.Galera
		err     error
	}
	behindVitess struct {
		once   sync.Once
		server *servers.Server
		err    error
	}
	minio struct {
		once sync.Once
		s3   S3
		err  error
	}
}

// here holds the servers that all tests of the process share.
//
//nolint:gochecknoglobals // there is one for each process, and tests have nothing else in common
var here = &process{}

// Main runs the tests of m and then ends every server they started. It returns the exit code for os.Exit. Only TestMain
// calls it, once. needServer names the tests that can't run without a server, each by its name or several by a regular expression;
// [AllTests] is for a package whose tests all need one. It is an error when a named test runs and uses no server.
func Main(m *testing.M, needServer ...string) int {
	err := here.run(m, needServer)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errFailed) {
		fmt.Fprintln(os.Stderr, "testserver:", err)
	}
	return 1
}

// errFailed says that a test has failed, which the testing package has told.
var errFailed = errors.New("a test failed")

func (p *process) run(m *testing.M, needServer []string) error {
	home, err := servers.NewHome()
	if err != nil {
		return err
	}
	p.open(home)
	if embedded() {
		err = leaveOut(needServer)
	}
	if err == nil && m.Run() != 0 {
		err = errFailed
	}
	err = errors.Join(err, home.Close())
	switch {
	case err != nil:
	case embedded():
		err = p.report(needServer)
	default:
		if idle := p.idle(needServer); idle != nil {
			err = fmt.Errorf("TestMain says that these tests need a server, and they have used none: %v", idle)
		}
	}
	return err
}

func (p *process) open(home *servers.Home) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.home = home
}

// opened returns the home of the servers, for a test that uses one.
func (p *process) opened(t testing.TB) (*servers.Home, error) {
	if embedded() {
		return nil, errEmbedded
	}
	p.asked(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.home == nil {
		return nil, errors.New("the package's tests need: func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }")
	}
	return p.home, nil
}

// name returns a name that no other call in this process gets.
func (p *process) name(prefix string) string { return fmt.Sprintf("%s%d", prefix, p.number()) }

// number returns a number that no other call in this process gets.
func (p *process) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names++
	return p.names
}

func (p *process) lookPath(t testing.TB, program string) (string, error) {
	if _, err := p.opened(t); err != nil {
		return "", err
	}
	return servers.LookPath(program)
}

// start calls one of the constructors of Home.
func start[T any](t testing.TB, constructor func(*servers.Home) (T, error)) (server T, err error) {
	home, err := here.opened(t)
	if err != nil {
		return server, err
	}
	return constructor(home)
}

// Redis starts a Redis without persistence for this test alone and returns its URL, redis://127.0.0.1:port.
func Redis(t testing.TB) (url string) {
	t.Helper()
	return newServer(t, (*servers.Home).Redis).Address
}

// RedisServer starts a Redis for this test alone, which may stop or kill it. It writes every change to disk before it answers, so that
// Start finds everything that was acknowledged, even after Kill. FLUSHALL makes it lose its data.
func RedisServer(t testing.TB) *Server {
	t.Helper()
	return newServer(t, (*servers.Home).DurableRedis)
}

// RedisCluster starts a Redis Cluster of three masters for this test alone and returns their URLs, with commas
// between them. All three agree that all slots are served. It takes some two seconds, which Redis gives a new
// master to look around.
func RedisCluster(t testing.TB) (urls string) {
	t.Helper()
	masters, err := start(t, (*servers.Home).RedisCluster)
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	all := make([]string, len(masters))
	for i, master := range masters {
		removeAfter(t, master)
		all[i] = master.Address
	}
	return strings.Join(all, ",")
}

// RedisSentinel starts a Redis, a replica and three Sentinels for this test alone. It returns the URL for Tim's settings, and the
// master, which the test may kill.
func RedisSentinel(t testing.TB) (url string, master *Server) {
	t.Helper()
	var all []*servers.Server
	_, err := start(t, func(h *servers.Home) (_ *servers.Server, err error) {
		url, all, err = h.RedisSentinel()
		return nil, err
	})
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	for _, server := range all {
		removeAfter(t, server)
	}
	return url, ofTest(t, all[0])
}

// S3 is the address of an S3 server, and the name of a bucket that doesn't exist yet.
type S3 = servers.S3

// MinIO returns a new bucket's name in a MinIO that all tests of this process share.
func MinIO(t testing.TB) S3 {
	t.Helper()
	minio := &here.minio
	here.asked(t)
	minio.once.Do(func() { minio.s3, minio.err = start(t, (*servers.Home).MinIO) })
	if minio.err != nil {
		t.Fatalf("testserver: %v", minio.err)
	}
	s3 := minio.s3
	s3.Bucket = here.name("tim-test-")
	return s3
}
