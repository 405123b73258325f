package app

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"
)

func TestVersionNamesCommitAndDate(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string][]debug.BuildSetting{
		Release + ", commit unknown, date unknown, go1.26": nil,
		Release + ", commit abc, date 2026-01-31T13:04:05Z, go1.26": {
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-31T13:04:05Z"}, {Key: "vcs.modified", Value: "false"},
		},
		Release + ", commit abc with changes, date unknown, go1.26": {
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
		},
	} {
		if got := describe(&debug.BuildInfo{GoVersion: "go1.26", Settings: settings}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The newest version that the changelog names is the one that the program says.
func TestChangelogHasTheRelease(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\]`).FindSubmatch(text)
	if newest == nil || string(newest[1]) != Release {
		t.Errorf("the changelog begins with %q, the program is %s", newest, Release)
	}
}
