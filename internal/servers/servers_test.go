package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

// See TestMain, which is in main_test.go: a copy of this test process with these in its environment holds servers.
const (
	childMode  = "SERVERS_CHILD"
	childHold  = "hold"
	childReady = "ready"

	patience = 10 * time.Second // for what should come at once
)

// shortTempDir is like t.TempDir, but short enough for sockets.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(tempDir(), "ts-") //nolint:usetesting // t.TempDir is too long
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// processesIn returns the names of the processes whose working directory is in dir.
func processesIn(dir string) []string {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var found []string
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir+"/") {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
			found = append(found, strings.TrimSpace(string(name)))
		}
	}
	return found
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	return found
}

func wantNothingIn(t *testing.T, dir string) {
	t.Helper()
	if diff := cmp.Diff([]string(nil), processesIn(dir)); diff != "" {
		t.Errorf("processes left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), entries(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	home, err := newHome(dir)
	must(t, err)
	_, err = home.MariaDB()
	must(t, err)
	server, err := home.Redis()
	must(t, err)
	if got := len(processesIn(home.Folder())); got != 2 {
		t.Errorf("%d servers run in %s, want 2", got, home.Folder())
	}
	must(t, server.Pause())
	must(t, home.Close())
	wantNothingIn(t, dir)

	must(t, home.Close()) // once more is no error
	if _, err := home.Redis(); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a server in a closed home: %v", err)
	}
	if err := server.Start(); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("Start in a closed home: %v", err)
	}
}

func TestRemoveLeavesTheOthers(t *testing.T) {
	t.Parallel()
	home := newTestHome(t)
	a, err := home.Redis()
	must(t, err)
	b, err := home.Redis()
	must(t, err)
	must(t, openRedis(t, a).Set(t.Context(), "k", "v", 0).Err())
	must(t, a.Remove())
	must(t, a.Remove()) // once more is no error
	if a.PID() != 0 || a.Start() == nil {
		t.Error("a removed server runs")
	}
	if _, err := os.Stat(a.folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a removed server: %v", err)
	}
	if err := openRedis(t, b).Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the other server: %v", err)
	}
}

func TestPID(t *testing.T) {
	t.Parallel()
	server := started(t, (*Home).Redis)
	first := server.PID()
	if err := redisReady(t.Context(), first, server.port); err != nil {
		t.Errorf("process %d: %v", first, err)
	}
	must(t, server.Stop())
	if pid := server.PID(); pid != 0 {
		t.Errorf("process %d of a server that is down", pid)
	}
	must(t, server.Start())
	second := server.PID()
	if err := redisReady(t.Context(), second, server.port); err != nil {
		t.Errorf("process %d: %v", second, err)
	}

	// It can also end without being told to by this package; then it is started as after a Kill.
	must(t, syscall.Kill(second, syscall.SIGKILL))
	must(t, until(patience, func() error {
		if pid := server.PID(); pid != 0 {
			return fmt.Errorf("process %d of a server that ended", pid)
		}
		return nil
	}))
	if err := server.Start(); err == nil {
		t.Error("Start without Kill is no error")
	}
	must(t, server.Kill())
	must(t, server.Start())
}

func TestKilledProcessLeavesNoServer(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, childMode+"="+childHold)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != childReady+"\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	if got := len(processesIn(dir)); got != 2 {
		t.Errorf("%d servers run, want 2", got)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // an error, of course
	must(t, until(patience, func() error {
		if left := processesIn(dir); len(left) > 0 {
			return fmt.Errorf("still running: %v", left)
		}
		return nil
	}))
	if got := len(entries(t, dir)); got != 1 {
		t.Fatalf("%d folders left by the killed process, want 1", got)
	}

	// The next home removes what the killed process couldn't.
	home, err := newHome(dir)
	must(t, err)
	if diff := cmp.Diff([]string{home.Folder()}, entries(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
	must(t, home.Close())
	wantNothingIn(t, dir)
}

func TestSweepLeavesTheLiving(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	folder, unlock, err := makeFolder(dir)
	must(t, err)
	sweep(dir)
	if diff := cmp.Diff([]string{folder}, entries(t, dir)); diff != "" {
		t.Errorf("while locked (-want +got):\n%s", diff)
	}
	must(t, unlock())
	sweep(dir)
	if diff := cmp.Diff([]string(nil), entries(t, dir)); diff != "" {
		t.Errorf("after unlocking (-want +got):\n%s", diff)
	}
}

func TestMissingServerSaysHow(t *testing.T) {
	t.Parallel()
	_, err := LookPath("no-such-server")
	if err == nil || err.Error() != "no-such-server is not installed: run `make deps`" {
		t.Errorf("LookPath: %v", err)
	}
}

func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	home, attempts := newTestHome(t), 0
	_, err := home.startOnFreePort(func(int) *Server {
		attempts++
		return &Server{
			kind:  "broken",
			argv:  []string{"/bin/sh", "-c", "echo no such option; exit 3"},
			ready: func(_ context.Context, pid int) error { return fmt.Errorf("process %d is silent", pid) },
		}
	})
	if !errors.Is(err, errDied) || !strings.Contains(err.Error(), "no such option") || attempts != startAttempts {
		t.Errorf("%d attempts: %v, want the server's own words", attempts, err)
	}
	if diff := cmp.Diff([]string{filepath.Join(home.Folder(), lockName)}, entries(t, home.Folder())); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

// Whoever takes a port between the look and the start costs another attempt, which only errDied gives.
func TestTakenPortEndsTheStart(t *testing.T) {
	t.Parallel()
	mariadbd, err := LookPath("mariadbd")
	must(t, err)
	installer, err := LookPath("mariadb-install-db")
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	var taken int
	_, err = fmt.Sscan(port, &taken)
	must(t, err)
	server := newMariaDB(mariadbd, installer, taken)
	must(t, newTestHome(t).add(server))
	if err := server.Start(); !errors.Is(err, errDied) {
		t.Errorf("on a taken port: %v", err)
	}
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	port, err := FreePort()
	must(t, err)
	if !portFree(port) || listens(os.Getpid(), port) {
		t.Errorf("port %d is not free", port)
	}
}
