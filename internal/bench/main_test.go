package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = 1
	}
	os.Exit(code)
}

// options are those of a command line, as cmd/tim has them.
func options(t *testing.T, args ...string) Options {
	t.Helper()
	var o Options
	parser, err := kong.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	o.Scenario, o.Out = parsed.Command(), t.Output()
	return o
}

// build makes the server that is measured.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tim")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "tim/cmd/tim").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// measured runs a scenario and looks at what every report has.
func measured(t *testing.T, o Options) *Report {
	t.Helper()
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed {
		t.Errorf("a promise was broken:\n%s", report)
	}
	if len(report.Runs) == 0 || report.CPUs == 0 {
		t.Fatalf("the report is empty: %+v", report)
	}
	for _, run := range report.Runs {
		if run.Seconds <= 0 || run.Units <= 0 || run.Tool.CPU <= 0 {
			t.Errorf("nothing was measured: %+v", run)
		}
		for _, l := range run.Latencies {
			if l.P50 < 1 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
				t.Errorf("a histogram that isn't one: %+v", l)
			}
		}
		for _, p := range run.Processes {
			if p.PID <= 0 || p.RSSBefore <= 0 || p.RSSAfter <= 0 || p.RSSPeak < p.RSSAfter {
				t.Errorf("a process without memory: %+v", p)
			}
		}
	}
	return report
}

// latency finds a histogram by what it is of.
func latency(t *testing.T, run Result, k kind) Latency {
	t.Helper()
	for _, l := range run.Latencies {
		if l.What == k.String() {
			return l
		}
	}
	t.Fatalf("no histogram of %s in %+v", k, run.Latencies)
	return Latency{}
}

// names are the processes of a run.
func names(run Result) string {
	var all []string
	for _, p := range run.Processes {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

// lines is a buffer that several goroutines may write to.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
