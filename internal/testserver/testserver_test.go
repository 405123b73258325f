package testserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// childMode makes TestMain of a copy of this test process do something else than run tests under Main.
const (
	childMode    = "TESTSERVER_CHILD"
	childHold    = "hold"
	childNoMain  = "no main"
	childReady   = "ready"
	childTimeout = 2 * time.Minute
)

func TestMain(m *testing.M) {
	switch os.Getenv(childMode) {
	case childHold:
		if err := hold(); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	case childNoMain:
		os.Exit(m.Run())
	}
	os.Exit(Main(m))
}

// hold starts servers, says so, and waits to be killed.
func hold() error {
	folder, _, err := makeFolder(tempDir())
	if err != nil {
		return err
	}
	here.open(folder)
	if _, err := startMariaDB(); err != nil {
		return err
	}
	if _, _, err := startRedisInstance(); err != nil {
		return err
	}
	fmt.Println(childReady)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// shortTempDir is like t.TempDir, but short enough for sockets.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(tempDir(), "ts-") //nolint:usetesting // t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func child(t *testing.T, dir, mode, tests string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+tests, "-test.timeout="+childTimeout.String(), "-test.count=1")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, childMode+"="+mode)
	return cmd
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
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMainLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	out, err := child(t, dir, "", "^(TestMariaDBIsEmptyAndUTF8|TestRedisIsPrivate|TestMinIOTakesFiles)$").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff([]string(nil), processesIn(dir)); diff != "" {
		t.Errorf("processes left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), entries(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestKilledProcessLeavesNoServer(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	cmd := child(t, dir, childHold, "^$")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != childReady+"\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	if got := len(processesIn(dir)); got != 2 {
		t.Errorf("%d servers run, want 2", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // an error, of course
	err = until(10*time.Second, func() error {
		if left := processesIn(dir); len(left) > 0 {
			return fmt.Errorf("still running: %v", left)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(entries(t, dir)); got != 1 {
		t.Fatalf("%d folders left by the killed process, want 1", got)
	}

	// The next test process removes what the killed one couldn't.
	if out, err := child(t, dir, "", "^TestFreePort$").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff([]string(nil), entries(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestSweepLeavesTheLiving(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	folder, unlock, err := makeFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	sweep(dir)
	if diff := cmp.Diff([]string{folder}, entries(t, dir)); diff != "" {
		t.Errorf("while locked (-want +got):\n%s", diff)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	sweep(dir)
	if diff := cmp.Diff([]string(nil), entries(t, dir)); diff != "" {
		t.Errorf("after unlocking (-want +got):\n%s", diff)
	}
}

func TestWithoutMainSaysHow(t *testing.T) {
	t.Parallel()
	out, err := child(t, shortTempDir(t), childNoMain, "^TestRedisIsPrivate$").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "os.Exit(testserver.Main(m))") {
		t.Errorf("without Main: %v\n%s", err, out)
	}
}

func TestMissingServerSaysHow(t *testing.T) {
	t.Parallel()
	_, err := lookPath("no-such-server")
	if err == nil || err.Error() != "no-such-server is not installed: run `make deps`" {
		t.Errorf("lookPath: %v", err)
	}
}

func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	i := &instance{
		kind:  "broken",
		argv:  []string{"/bin/sh", "-c", "echo no such option; exit 3"},
		ready: func(_ context.Context, pid int) error { return fmt.Errorf("process %d is silent", pid) },
	}
	if err := here.add(i); err != nil {
		t.Fatal(err)
	}
	err := i.start()
	if err == nil || !strings.Contains(err.Error(), errDied.Error()) || !strings.Contains(err.Error(), "no such option") {
		t.Errorf("start: %v, want the server's own words", err)
	}
	if err := here.remove(i); err != nil {
		t.Error(err)
	}
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	if !portFree(port) || listens(os.Getpid(), port) {
		t.Errorf("port %d is not free", port)
	}
}
