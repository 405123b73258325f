package check_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tim/internal/check"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever the nodes stand on, and whatever breaks, the promises hold. The nodes run with the race detector.
func TestPromises(t *testing.T) {
	t.Parallel()
	server := sync.OnceValues(func() (string, error) { return build(t) })
	for _, on := range []string{"embedded", "servers", "cluster"} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			binary, err := server()
			if err != nil {
				t.Fatal(err)
			}
			report, err := check.Run(t.Context(), check.Options{
				On: on, Nodes: 2, Duration: time.Minute, Accounts: 8, Rate: 30, Binary: binary, Out: t.Output(),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", report)
			if !report.Passed {
				t.Error("a promise was broken; the seed repeats the run")
			}
		})
	}
}

// build makes a server that looks for data races, and fails on one.
func build(t *testing.T) (string, error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tim")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-race", "-o", binary, "tim/cmd/tim").CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return binary, err
}
