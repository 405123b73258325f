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
	for name, text := range readmes(t, "../..") {
		for path := range spec.Paths.Map() {
			// The start page redirects to /docs, whose files aren't for clients.
			if path != "/" && path != "/docs/{asset}" && !strings.Contains(text, path+"`") {
				t.Errorf("%s doesn't name the route %s", name, path)
			}
		}
	}
}

// pathInTree matches a path of the tree in a README.
var pathInTree = regexp.MustCompile("`((?:api|cmd|gen|internal|sql|\\.ci)/[^` ]*)`")

func TestReadmeMapsTheTree(t *testing.T) {
	t.Parallel()
	for name, text := range readmes(t, "../..") {
		for _, path := range pathInTree.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", path[1])); err != nil {
				t.Errorf("%s names what isn't there: %v", name, err)
			}
		}
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

// link is a link of Markdown to another file, without the place in it.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestReadmesLinkToFiles(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"../..", "../bench", "../deploy"} {
		for name, text := range readmes(t, folder) {
			found := link.FindAllStringSubmatch(text, -1)
			if len(found) == 0 {
				t.Errorf("%s/%s has no links", folder, name)
			}
			for _, to := range found {
				if _, err := os.Stat(filepath.Join(folder, to[1])); err != nil {
					t.Errorf("%s/%s: %v", folder, name, err)
				}
			}
		}
	}
}
