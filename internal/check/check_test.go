package check_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tim/internal/check"
	"tim/internal/testserver"
)

// The promises hold on everything that nodes can use, whatever breaks. Where there are servers, the nodes run with the race
// detector, which needs a C compiler.
func TestPromises(t *testing.T) {
	t.Parallel()
	on, race, duration := []string{"embedded"}, "-race=false", 20*time.Second
	if testserver.Available() {
		on, race, duration = append(on, "servers", "cluster", "galera"), "-race=true", time.Minute
	}
	server := sync.OnceValues(func() (string, error) { return build(t, race) })
	for _, on := range on {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			binary, err := server()
			if err != nil {
				t.Fatal(err)
			}
			nodes, duration := 2, duration
			if on == "galera" { // a node for each member; a COMMIT that isn't alone loses messages in half the time
				nodes, duration = 3, 45*time.Second
			}
			report, err := check.Run(t.Context(), check.Options{
				On: on, Nodes: nodes, Duration: duration, Accounts: 8, Rate: 30, Binary: binary, Out: t.Output(),
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

// build makes the server. With -race=true it looks for data races, and fails on one.
func build(t *testing.T, race string) (string, error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tim")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", race, "-o", binary, "tim/cmd/tim").CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return binary, err
}
