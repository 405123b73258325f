package testserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// without is the environment of a process that is to do without servers, and whose Main is told which tests need one.
func without(report string, needs ...string) []string {
	return []string{modeEnv + "=" + modeEmbedded, reportEnv + "=" + report, childNeeds + "=" + strings.Join(needs, " ")}
}

func TestEmbeddedModeLeavesOut(t *testing.T) {
	t.Parallel()
	dir := shortTempDir(t)
	report := filepath.Join(dir, "report")
	out, err := child(t, dir, "", "^(TestMinIOIsShared|TestPartOnAServer)$", without(report, "TestMinIOIsShared")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const want = "NOT RUN in testserver, because TIM_TEST_MODE=embedded: TestMinIOIsShared, 1 runs on servers of tests that ran embedded\n"
	if said, err := os.ReadFile(report); string(said) != want || err != nil || !strings.HasSuffix(out, want) {
		t.Errorf("%v; the report says %q, the process\n%s", err, said, out)
	}
}

// A test that needs a server and isn't named as one fails in the embedded mode, and says what to do.
func TestEmbeddedModeFailsTheUnnamed(t *testing.T) {
	t.Parallel()
	out, err := child(t, shortTempDir(t), "", "^(TestMinIOIsShared|TestPartOnAServer)$", without("", "TestRedisEndsWithItsTest")...)
	if err == nil || !strings.Contains(out, "name it where TestMain calls testserver.Main") || !strings.Contains(out, "--- FAIL: TestMinIOIsShared") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPartOnAServer runs once for each engine, of which the embedded mode has one.
func TestPartOnAServer(t *testing.T) {
	t.Parallel()
	if Available() {
		MinIO(t)
	}
}

func TestNamedTestsMustUseServers(t *testing.T) {
	t.Parallel()
	p := &process{}
	p.asked(t)
	if idle := p.idle([]string{"TestNamedTestsMustUseServers", "TestOther", AllTests}); len(idle) > 0 && idle[0] != "TestOther" || len(idle) > 1 {
		t.Errorf("%v", idle)
	}
}
