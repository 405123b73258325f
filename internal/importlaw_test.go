// Package internal holds the law of the house: who may know whom, and why.
package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// room is a package, and what it may import of this module.
type room struct {
	may []string
	why string
}

// rooms lists every package that isn't generated. One that isn't here has no place yet.
func rooms() map[string]room {
	return map[string]room{
		"api":            {nil, "the specs embedded; whoever serves them needs nothing else with them"},
		"api/clients/go": {[]string{"gen/client"}, "a client as a stranger writes it"},
		"sql":            {nil, "statements and migrations embedded; store alone runs them"},

		"internal/fault": {nil, "everybody speaks of faults, so they know nobody"},
		"internal/store": {[]string{"gen/db", "sql"}, "knows the engines and nothing of what is stored"},
		"internal/auth": {
			[]string{"gen/db", "internal/fault", "internal/store"},
			"others are told of ended sessions by a function it is given: with the cluster it could not be tested without one",
		},
		"internal/chat": {
			[]string{"gen/db", "internal/fault", "internal/store"},
			"the rules hold for every face, so they know none, and no JSON, HTTP or bus",
		},
		"internal/cluster": {nil, "carries bytes between nodes and must not know what they mean"},
		"internal/blob":    {nil, "keeps bytes by key; which bytes are good is the business of files"},
		"internal/files":   {[]string{"internal/blob", "internal/fault"}, "whose file it is, its callers have decided"},
		"internal/rest": {
			[]string{"api", "gen/api", "gen/specs", "internal/auth", "internal/blob", "internal/chat", "internal/fault", "internal/files", "internal/wire"},
			"a handler makes one call: statements, the bus and sockets are behind it or beside it",
		},
		"internal/realtime": {
			[]string{"api", "gen/api", "gen/frames", "internal/auth", "internal/chat", "internal/cluster", "internal/fault", "internal/wire"},
			"a socket makes one call: statements and files are behind it; what it shares with rest lies below both",
		},
		"internal/wire": {
			[]string{"gen/api", "internal/chat", "internal/fault"},
			"what both faces say in the same words: messages, conversations; no HTTP and no sockets",
		},
		"internal/web": {nil, "pages that know the server by its routes alone, as a browser does"},
		"internal/app": {
			[]string{
				"internal/auth", "internal/blob", "internal/chat", "internal/cluster", "internal/fault", "internal/files",
				"internal/realtime", "internal/rest", "internal/store", "internal/web",
			},
			"puts everything together and so knows all, but nothing of the tests, and no generated code",
		},
		"cmd/tim": {[]string{"internal/app", "internal/bench", "internal/check"}, "the command line and nothing else, so that tests can start what it starts"},

		"internal/servers":    {nil, "starts MariaDB, Redis and MinIO for tests and commands alike, so it knows none of them"},
		"internal/testserver": {[]string{"internal/servers"}, "serves the tests of every package, so it knows none of them"},
		"internal/apptest": {
			[]string{"api", "gen/api", "gen/client", "gen/frames", "internal/app", "internal/testserver"},
			"tests a server from without: what it knows from within, it could not find wrong",
		},
		"internal/bench": {clients(), clientsWhy},
		"internal/check": {clients(), clientsWhy},
	}
}

func clients() []string {
	return []string{"gen/api", "gen/client", "gen/frames", "internal/check", "internal/servers"}
}

const clientsWhy = "clients like any other: what they share with the server, they could not find wrong in it"

// guest is a package from outside, and the rooms that may know it.
type guest struct {
	path string // with everything below it
	only []string
	why  string
}

func guests() []guest {
	return []guest{
		{"github.com/labstack/echo", []string{"internal/rest", "internal/realtime", "internal/app"}, "the router is a face's business; rules don't know that there is HTTP"},
		{"net/http", []string{
			"internal/rest", "internal/realtime", "internal/app", "internal/web", "internal/blob", "internal/fault",
			"internal/apptest", "internal/servers", "internal/bench", "internal/check", "api/clients/go",
		}, "as echo; blob serves ranges by it and fault names statuses"},
		{"github.com/getkin/kin-openapi", []string{"api", "internal/rest", "internal/realtime", "internal/apptest", "internal/bench", "internal/check"}, "specs are asked at the door, and nowhere behind it"},
		{"github.com/gorilla/websocket", []string{"internal/realtime", "internal/bench", "internal/check"}, "sockets have one owner"},
		{"github.com/redis/go-redis", []string{"internal/cluster"}, "whether there is a Redis is known in one room"},
		{"github.com/minio/minio-go", []string{"internal/blob"}, "whether there is an S3 is known in one room"},
		{"modernc.org/sqlite", []string{"internal/store", "internal/check"}, "which engine it is, nobody outside has to know, but check: it reads the truth behind the server's back"},
		{"github.com/go-sql-driver/mysql", []string{"internal/store", "internal/servers", "internal/check"}, "as sqlite; servers makes databases with it"},
		{"github.com/pressly/goose", []string{"internal/store"}, "migrations are the store's"},
		{"database/sql", []string{"internal/store", "internal/auth", "internal/chat", "internal/servers", "internal/check"}, "rows end where the rules end; check reads the truth behind the server's back"},
		{"github.com/golang-jwt/jwt", []string{"internal/auth"}, "a token is opened in one place"},
		{"golang.org/x/crypto", []string{"internal/auth"}, "passwords are hashed in one place"},
		{"github.com/gabriel-vasile/mimetype", []string{"internal/files"}, "what kind of file it is, is decided in one place"},
		{"github.com/alecthomas/kong", []string{"cmd/tim", "internal/apptest", "internal/bench", "internal/check"}, "settings are a struct; how they are given is the command's business"},
		{"os/exec", []string{"internal/servers", "internal/check", "internal/bench"}, "the server starts no programs"},
		{"testing", []string{"internal/testserver", "internal/apptest"}, "what serves knows nothing of being tested"},
		{"github.com/google/go-cmp", nil, "compares for tests; it panics on what it doesn't like"},
		{"go.uber.org/goleak", nil, "for tests"},
		{"math/rand", []string{"internal/store", "internal/realtime", "internal/cluster", "internal/servers", "internal/bench", "internal/check"}, "spreads what is tried again, and makes nothing that must not be guessed"},
		{"unsafe", nil, "nothing here needs it"},
		{"log", nil, "one log, log/slog, that is handed in"},
		{"io/ioutil", nil, "its functions live in io and os"},
		{"encoding/gob", nil, "bytes that travel or stay are JSON, which others can read"},
	}
}

// source is a Go file that isn't a test.
type source struct {
	room string
	path string
	file *ast.File
}

// tree parses every Go file of this module that is neither a test nor generated.
func tree(t *testing.T, files *token.FileSet) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return outside(path, entry.Name())
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		room, err := filepath.Rel("..", filepath.Dir(path))
		sources = append(sources, source{filepath.ToSlash(room), path, file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 50 {
		t.Fatalf("only %d files were found", len(sources))
	}
	return sources
}

// outside skips folders that are another module's, generated, or no code.
func outside(path, name string) error {
	if path == ".." {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || name == "gen" || name == "testdata" || name == "data" ||
		name == "node_modules" || strings.HasPrefix(name, ".") {
		return fs.SkipDir
	}
	return nil
}

func imports(f *ast.File) []string {
	paths := make([]string, len(f.Imports))
	for i, spec := range f.Imports {
		paths[i], _ = strconv.Unquote(spec.Path.Value)
	}
	return paths
}

func TestImportLaw(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	law := rooms()
	for _, s := range tree(t, files) {
		room, known := law[s.room]
		if !known {
			t.Errorf("%s: the law has no row for %s", s.path, s.room)
			continue
		}
		for _, path := range imports(s.file) {
			if own, ok := strings.CutPrefix(path, "tim/"); ok && !slices.Contains(room.may, own) {
				t.Errorf("%s imports %s, which %s may not: %s", s.path, own, s.room, room.why)
			}
			for _, g := range guests() {
				if (path == g.path || strings.HasPrefix(path, g.path+"/")) && !slices.Contains(g.only, s.room) && path != "log/slog" {
					t.Errorf("%s imports %s, which is for %v: %s", s.path, path, g.only, g.why)
				}
			}
		}
	}
}

// The law is read by people: every row says why.
func TestTheLawSaysWhy(t *testing.T) {
	t.Parallel()
	for name, room := range rooms() {
		if room.why == "" || !slices.IsSorted(room.may) {
			t.Errorf("%s: no reason, or not in order: %v", name, room.may)
		}
	}
	for _, g := range guests() {
		if g.why == "" {
			t.Errorf("%s: no reason", g.path)
		}
	}
}

// Nothing happens before main, and nothing that changes is shared by all.
func TestNoInitAndNoMutableVariables(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	for _, s := range tree(t, files) {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init", s.path)
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR && !excused(d) {
					variables(t, files, d)
				}
			}
		}
	}
}

// constantInAllButName matches what a variable may begin as: an error to compare with, a pattern compiled once.
var constantInAllButName = regexp.MustCompile(`^(errors\.New|regexp\.MustCompile)$`)

func excused(d *ast.GenDecl) bool {
	text := ""
	if d.Doc != nil {
		for _, c := range d.Doc.List {
			text += c.Text + "\n"
		}
	}
	return strings.Contains(text, "nolint:gochecknoglobals // ") || strings.Contains(text, "go:embed ")
}

func variables(t *testing.T, files *token.FileSet, d *ast.GenDecl) {
	t.Helper()
	for _, s := range d.Specs {
		spec, ok := s.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name == "_" || excused(&ast.GenDecl{Doc: spec.Doc}) {
			continue
		}
		if len(spec.Values) == 1 {
			if call, ok := spec.Values[0].(*ast.CallExpr); ok && constantInAllButName.MatchString(text(call.Fun)) {
				continue
			}
		}
		t.Errorf("%s: %s is a variable that all share", files.Position(spec.Pos()), spec.Names[0].Name)
	}
}

// text is a qualified name as it is written, "" for anything else.
func text(e ast.Expr) string {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if of, ok := selector.X.(*ast.Ident); ok {
		return of.Name + "." + selector.Sel.Name
	}
	return ""
}
