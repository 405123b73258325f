package testserver

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

const (
	// modeEnv chooses what tests may use. "embedded" runs those that need no server; anything else runs all.
	modeEnv      = "TIM_TEST_MODE"
	modeEmbedded = "embedded"

	// reportEnv names a file to which each test process appends a line about what it has left out: `go test` shows the
	// output of a package only when it fails.
	reportEnv = "TIM_TEST_LEFT_OUT"
)

// AllTests is for Main: every test of the package needs a server.
const AllTests = ""

var errEmbedded = errors.New("a test asked for a server in the mode without any (" + modeEnv + "=" + modeEmbedded +
	"): name it where TestMain calls testserver.Main")

func embedded() bool { return os.Getenv(modeEnv) == modeEmbedded }

// Available reports whether tests may start servers. A test that runs once for each engine asks before it runs on a
// server; each answer of false counts as one part that was left out.
func Available() bool {
	if !embedded() {
		return true
	}
	here.mu.Lock()
	defer here.mu.Unlock()
	here.parts++
	return false
}

// LookPath returns the path of a server's program, and fails the test when it isn't installed.
func LookPath(t testing.TB, program string) string {
	t.Helper()
	path, err := here.lookPath(t, program)
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	return path
}

// leaveOut keeps the tests that need a server from running in the embedded mode: it adds them to those that -skip names.
func leaveOut(needServer []string) error {
	if !flag.Parsed() {
		flag.Parse()
	}
	skip := flag.Lookup("test.skip")
	patterns := make([]string, 0, len(needServer)+1)
	for _, name := range needServer {
		if name == AllTests {
			patterns = append(patterns, ".")
		} else {
			patterns = append(patterns, "^("+name+")$")
		}
	}
	if named := skip.Value.String(); named != "" {
		patterns = append(patterns, named)
	}
	return skip.Value.Set(strings.Join(patterns, "|"))
}

// report says loudly what the embedded mode has left out, here and in the file that collects it for all packages.
func (p *process) report(needServer []string) error {
	p.mu.Lock()
	parts := p.parts
	p.mu.Unlock()
	if len(needServer) == 0 && parts == 0 {
		return nil
	}
	what := slices.Clone(needServer)
	if slices.Contains(needServer, AllTests) {
		what = []string{"all tests"}
	}
	if parts > 0 {
		what = append(what, fmt.Sprintf("%d runs on servers of tests that ran embedded", parts))
	}
	name := "this package"
	if info, ok := debug.ReadBuildInfo(); ok {
		name = strings.TrimSuffix(path.Base(info.Path), ".test")
	}
	line := fmt.Sprintf("NOT RUN in %s, because %s=%s: %s\n", name, modeEnv, modeEmbedded, strings.Join(what, ", "))
	fmt.Fprint(os.Stderr, line)
	file := os.Getenv(reportEnv)
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("report of what was left out: %w", err)
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

func matches(pattern, name string) bool {
	matched, err := regexp.MatchString("^("+pattern+")$", name)
	return err == nil && matched
}

// asked notes that a test uses a server.
func (p *process) asked(t testing.TB) {
	name, _, _ := strings.Cut(t.Name(), "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == nil {
		p.users = make(map[string]bool)
	}
	p.users[name] = true
}

// idle returns the tests that are named as needing a server and have used none, once all tests have run. The embedded mode would
// leave them out without a reason.
func (p *process) idle(needServer []string) (names []string) {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range needServer {
		used := func(user string) bool { return matches(name, user) }
		if name != AllTests && !slices.ContainsFunc(slices.Collect(maps.Keys(p.users)), used) {
			names = append(names, name)
		}
	}
	return names
}
