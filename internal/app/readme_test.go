package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/internal/app"
)

// readmes returns a folder's README in both languages, by name.
func readmes(t *testing.T, folder string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// settingRow is a row of the tables of settings: name and default, the latter in backticks or – for none.
var settingRow = regexp.MustCompile("(?m)^\\| `(TIM_[A-Z0-9_]+)` \\| (?:`([^`]*)`|–) \\| .+ \\|$")

func TestDeployNamesEverySetting(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&app.Settings{}, kong.Vars{"admin_listen": app.DefaultAdminListen})
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, flag := range parser.Model.Flags {
		if flag.Name == "help" {
			continue
		}
		env := "TIM_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if diff := cmp.Diff([]string{env}, flag.Envs); diff != "" {
			t.Errorf("--%s isn't called as the READMEs say (-want +got):\n%s", flag.Name, diff)
		}
		want[env] = flag.Default
	}
	for name, text := range readmes(t, "../deploy") {
		got := make(map[string]string)
		for _, row := range settingRow.FindAllStringSubmatch(text, -1) {
			got[row[1]] = row[2]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the settings of %s (-program +README):\n%s", name, diff)
		}
	}
}

func TestReadmeNamesEveryRoute(t *testing.T) {
	t.Parallel()
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range readmes(t, "../../api") {
		for path := range spec.Paths.Map() {
			// The start page redirects to /docs, whose files aren't for clients.
			if path != "/" && path != "/docs/{asset}" && !strings.Contains(text, path+"`") {
				t.Errorf("api/%s doesn't name the route %s", name, path)
			}
		}
	}
}

// pages reads every page that has paths or links: the READMEs of the folders in both languages, and the others. The keys are
// the paths from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, folder := range []string{".", "api", "internal", "internal/bench", "internal/deploy"} {
		for name, text := range readmes(t, filepath.Join("../..", folder)) {
			texts[filepath.Join(folder, name)] = text
		}
	}
	for _, name := range []string{"CONTRIBUTING.md", "CHANGELOG.md", "api/clients/README.md"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// pathInTree matches a path of the tree on a page.
var pathInTree = regexp.MustCompile("`((?:api|cmd|gen|internal|sql|\\.ci)/[^` *]*)`")

func TestPagesNameWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, text := range pages(t) {
		for _, path := range pathInTree.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", path[1])); err != nil {
				t.Errorf("%s names what isn't there: %v", name, err)
			}
		}
	}
}

func TestReadmeMapsTheTree(t *testing.T) {
	t.Parallel()
	for name, text := range readmes(t, "../..") {
		for _, parent := range []string{"api", "cmd", "internal", "sql"} {
			entries, err := os.ReadDir(filepath.Join("../..", parent))
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				row := "| `" + parent + "/" + entry.Name() + "/` | "
				if entry.IsDir() && !strings.Contains(text, "\n"+row) {
					t.Errorf("%s has no row that begins with %s", name, row)
				}
			}
		}
	}
}

// step is a row of the tables of internal/README.md: a number, files, functions, and what happens.
var step = regexp.MustCompile(`(?m)^\| [0-9]+ \| ([^|]+) \| ([^|]+) \| .+ \|$`)

// code matches what is written as code on a page.
var code = regexp.MustCompile("`([^`]+)`")

// Every file of a step is there, and every function of a step is declared in one of its files.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, text := range readmes(t, "..") {
		steps := step.FindAllStringSubmatch(text, -1)
		if len(steps) < 30 {
			t.Errorf("internal/%s has only %d steps", name, len(steps))
		}
		for _, row := range steps {
			var sources strings.Builder
			for _, file := range code.FindAllStringSubmatch(row[1], -1) {
				source, err := os.ReadFile(filepath.Join("..", file[1]))
				if err != nil {
					t.Errorf("internal/%s: %v", name, err)
				}
				sources.Write(source)
			}
			for _, function := range code.FindAllStringSubmatch(row[2], -1) {
				if !declares(sources.String(), function[1]) {
					t.Errorf("internal/%s: none of %s declares %s", name, row[1], function[1])
				}
			}
		}
	}
}

// declares tells whether a source declares a function, or a method that is written Type.Method.
func declares(source, name string) bool {
	receiver, method, isMethod := strings.Cut(name, ".")
	if !isMethod {
		return regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + name + `[\[(]`).MatchString(source)
	}
	return regexp.MustCompile(`(?m)^func \([a-z]+ \*?` + receiver + `(\[[^\]]*\])?\) ` + method + `\(`).MatchString(source)
}

// link is a link of Markdown to another file, without the place in it.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestReadmesLinkToFiles(t *testing.T) {
	t.Parallel()
	for name, text := range pages(t) {
		found := link.FindAllStringSubmatch(text, -1)
		if len(found) == 0 && strings.Contains(name, "README") && name != "api/clients/README.md" {
			t.Errorf("%s has no links", name)
		}
		for _, to := range found {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(name), to[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
