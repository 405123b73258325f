package app

import (
	"fmt"
	"runtime/debug"
)

// Release is the version of this tree, as CHANGELOG.md has it.
const Release = "0.2.0"

// Version says in one line what was built: the release, the commit and its date, and Go's version. The commit is unknown
// when the program was built outside of a clone, or with -buildvcs=false.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Release
	}
	return describe(info)
}

func describe(info *debug.BuildInfo) string {
	const unknown = "unknown"
	commit, date, changed := unknown, unknown, ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			commit = setting.Value
		case "vcs.time":
			date = setting.Value
		case "vcs.modified":
			if setting.Value == "true" {
				changed = " with changes"
			}
		}
	}
	return fmt.Sprintf("%s, commit %s%s, date %s, %s", Release, commit, changed, date, info.GoVersion)
}
