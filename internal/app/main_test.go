package app_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tim/internal/fault"
	"tim/internal/testserver"
)

// shared is what all tests of this binary have in common.
//
//nolint:gochecknoglobals // the reasons seen are those of the whole binary, and one build of the server serves all tests
var shared = &struct {
	mu    sync.Mutex
	seen  map[fault.Reason]bool
	build sync.Once
	tim   string // the real binary
	err   error
	dir   string
}{seen: make(map[fault.Reason]bool)}

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run also fails if all tests ran and some reason of the table was never served: the spec promises each of them.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tim-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	code := testserver.Main(m, "TestMigrateCommand", "TestDependenciesAway", "TestLockOutlivesTheDatabase", "TestSecondNodeIsRefused", "TestTwoNodes", "TestDeploymentsSideBySide", "TestOldDatabaseOfOddAccounts", "TestNodesThatDiffer", "TestDatabaseAmiss")
	if code == 0 {
		code = leaked()
	}
	if code != 0 || !allTests() {
		return code
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	missing := slices.DeleteFunc(fault.Reasons(), func(r fault.Reason) bool {
		return shared.seen[r] || r == fault.StorageFull // packages files and rest test it: only root can make a full disk
	})
	unknown := slices.DeleteFunc(slices.Collect(maps.Keys(shared.seen)), func(r fault.Reason) bool {
		return slices.Contains(fault.Reasons(), r)
	})
	if len(missing) > 0 || len(unknown) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: reasons that no answer had: %v; that no table has: %v\n", missing, unknown)
		return 1
	}
	return 0
}

// leaked fails if a server or a client has left a goroutine running.
func leaked() int {
	http.DefaultClient.CloseIdleConnections()
	err := goleak.Find()
	// The Redis client goes on probing for a second where it couldn't connect.
	for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		return 1
	}
	return 0
}

// allTests reports whether the command line left out no test.
func allTests() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}

// saw records a reason that was served.
func saw(reason fault.Reason) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.seen[reason] = true
}

// timBinary builds cmd/tim once, as `make build` does.
func timBinary(t testing.TB) string {
	t.Helper()
	shared.build.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		shared.tim = filepath.Join(shared.dir, "tim")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", shared.tim, "tim/cmd/tim")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			shared.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.tim
}
