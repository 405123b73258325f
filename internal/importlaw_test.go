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

// rooms lists every package that isn't generated, each with the reason why it may import no others. A new package needs a row.
func rooms() map[string]room {
	return map[string]room{
		"api":            {nil, "embeds the specs and does nothing else"},
		"api/clients/go": {[]string{"gen/client"}, "a client as a stranger writes it"},
		"sql":            {nil, "embeds statements and migrations, which only internal/store runs"},

		"internal/account": {nil, "every package may import it, so it imports none"},
		"internal/fault":   {nil, "every package returns faults, so it imports none"},
		"internal/schema": {
			[]string{"internal/fault"},
			"it reads what clients send for REST and the sockets alike, so it knows neither; gen/bodies and gen/sockets read with it",
		},
		"internal/store": {
			[]string{"gen/db", "internal/account", "sql"},
			"knows the engines, and nothing of the meaning of what is stored, except that a takeover writes accounts in their one spelling",
		},
		"internal/auth": {
			[]string{"gen/db", "internal/account", "internal/fault", "internal/store"},
			"it announces ended sessions by a function that it is given, so that it can be tested without a cluster",
		},
		"internal/chat": {
			[]string{"gen/db", "internal/account", "internal/fault", "internal/store"},
			"the rules are the same for REST and the sockets, so they know neither, and no HTTP or bus",
		},
		"internal/cluster": {nil, "it carries bytes between nodes and must not depend on what they mean"},
		"internal/blob":    {nil, "it stores bytes by key; internal/files decides which bytes are accepted"},
		"internal/files":   {[]string{"gen/db", "internal/blob", "internal/fault", "internal/store"}, "its callers have checked whose file it is"},
		"internal/rest": {
			[]string{
				"api", "gen/api", "gen/bodies", "gen/specs", "internal/account", "internal/auth", "internal/blob", "internal/chat", "internal/doors", "internal/fault",
				"internal/files", "internal/pace", "internal/schema", "internal/wire",
			},
			"a handler calls one use case, so it needs no statements, no bus and no sockets",
		},
		"internal/doors":  {nil, "it counts connections and must not depend on what they carry"},
		"internal/pace":   {nil, "REST and the sockets share it, so it knows neither"},
		"internal/socket": {nil, "RFC 6455 and nothing else: it knows no chat, no account and no other room"},
		"internal/feed": {
			[]string{"internal/chat", "internal/cluster", "internal/fault"},
			"says what happened; what a socket makes of it, and how it looks as a frame, the faces know",
		},
		"internal/presence": {
			[]string{"internal/cluster", "internal/feed"},
			"knows rooms and accounts; who may see whom, the rules know",
		},
		"internal/delivery": {
			[]string{"internal/chat", "internal/feed", "internal/socket"},
			"brings messages in order to whatever face; how a message looks as a frame, it is told",
		},
		"internal/classic": {face(), faceWhy},
		"internal/timv1":   {face("internal/wire"), faceWhy},
		"internal/realtime": {
			face("internal/classic", "internal/pace", "internal/timv1"),
			"it admits sockets and ends them; what a socket does, its face says",
		},
		"internal/wire": {
			[]string{"gen/api", "internal/chat", "internal/fault", "internal/schema"},
			"it converts types for REST and the sockets alike, so it knows neither",
		},
		"internal/web": {nil, "its pages use the server by its routes, as a browser does"},
		"internal/app": {
			[]string{
				"internal/account", "internal/auth", "internal/blob", "internal/chat", "internal/cluster", "internal/doors", "internal/fault", "internal/feed", "internal/files",
				"internal/pace", "internal/presence", "internal/realtime", "internal/rest", "internal/store", "internal/web",
			},
			"it puts everything together, so it knows every package but those for tests; it needs no generated code",
		},
		"cmd/tim": {[]string{"internal/app", "internal/bench", "internal/check"}, "reads the command line and calls these; tests can call the same functions"},

		"internal/deploy/vitess": {nil, "embeds what a Vitess must be told; who starts one for tests reads it"},

		"internal/servers": {
			[]string{"internal/deploy/vitess"}, "starts MariaDB, Redis, MinIO and nodes for tests, bench and check, and depends on none of these",
		},
		"internal/testserver": {[]string{"internal/servers"}, "the tests of every package use it, so it depends on none of those packages"},
		"internal/apptest": {
			[]string{"api", "gen/api", "gen/client", "gen/frames", "internal/app", "internal/testserver"},
			"tests a whole server through its specs; code that it shared with the server could hide the same mistake in both",
		},
		"internal/client": {[]string{"gen/api", "gen/client", "gen/frames"}, clientsWhy},
		"internal/bench":  {clients(), clientsWhy},
		"internal/check":  {clients(), clientsWhy},
	}
}

// face is what a face of the sockets may import, and more.
func face(more ...string) []string {
	all := []string{
		"gen/sockets", "internal/account", "internal/auth", "internal/chat", "internal/delivery", "internal/fault", "internal/feed", "internal/presence",
		"internal/schema", "internal/socket",
	}
	return slices.Sorted(slices.Values(append(all, more...)))
}

const faceWhy = "a socket makes one call for each frame: statements, files and the bus are behind it; what it shares with rest lies below both"

func clients() []string {
	return []string{"gen/api", "gen/client", "gen/frames", "internal/client", "internal/servers"}
}

const clientsWhy = "a client is written from the specs alone; code that it shared with the server could hide the same mistake in both"

// guest is a package from outside, and the rooms that may know it.
type guest struct {
	path string // with everything below it
	only []string
	why  string
}

func guests() []guest {
	return []guest{
		{"github.com/labstack/echo", []string{"internal/rest", "internal/realtime", "internal/app"}, "only REST and the sockets have routes; the rules don't know HTTP"},
		{"net/http", []string{
			"internal/rest", "internal/socket", "internal/realtime", "internal/app", "internal/web", "internal/blob", "internal/fault",
			"internal/apptest", "internal/client", "internal/servers", "internal/bench", "internal/check", "api/clients/go",
		}, "as echo; blob serves ranges with it, and fault uses its names of statuses"},
		{"github.com/getkin/kin-openapi", []string{"api", "internal/rest", "internal/apptest", "internal/client"}, "requests are checked against the specs where they arrive, and nowhere else"},
		{"github.com/gorilla/websocket", []string{"internal/socket", "internal/realtime", "internal/client"}, "one package owns the sockets; the hub reads a handshake's header with it"},
		{"github.com/klauspost/compress", []string{"internal/rest"}, "answers are compressed in one place; embedded files are so already"},
		{"github.com/swaggest/swgui", []string{"internal/web"}, "the files of Swagger UI"},
		{"github.com/redis/go-redis", []string{"internal/cluster"}, "one package knows whether there is a Redis"},
		{"github.com/minio/minio-go", []string{"internal/blob"}, "one package knows whether there is an S3"},
		{"modernc.org/sqlite", []string{"internal/store", "internal/check"}, "only store knows the engine; check reads the database directly, to compare it with what the server says"},
		{"github.com/go-sql-driver/mysql", []string{"internal/store", "internal/servers", "internal/check"}, "as sqlite; servers makes databases with it"},
		{"github.com/pressly/goose", []string{"internal/store"}, "only store migrates"},
		{"database/sql", []string{"internal/store", "internal/auth", "internal/chat", "internal/files", "internal/servers", "internal/check"}, "only the rules handle rows; check reads the database directly"},
		{"github.com/golang-jwt/jwt", []string{"internal/auth"}, "tokens are verified in one place"},
		{"golang.org/x/text", []string{"internal/account", "internal/auth"}, "accounts and names are normalised in one place, passwords where they are hashed"},
		{"golang.org/x/term", []string{"cmd/tim"}, "only the command line has a terminal"},
		{"golang.org/x/crypto", []string{"internal/auth"}, "passwords are hashed in one place"},
		{"github.com/gabriel-vasile/mimetype", []string{"internal/files"}, "a file's type is decided in one place"},
		{"github.com/alecthomas/kong", []string{"cmd/tim", "internal/apptest"}, "settings are structs; only the command line, and tests that play one, fill them from flags"},
		{"os/exec", []string{"internal/servers"}, "the server starts no programs; tools and tests start them in one package, which also ends them"},
		{"testing", []string{"internal/testserver", "internal/apptest"}, "the server's code contains no test code"},
		{"github.com/google/go-cmp", nil, "compares for tests; it panics on what it doesn't like"},
		{"go.uber.org/goleak", nil, "for tests"},
		{"math/rand", []string{"internal/store", "internal/timv1", "internal/cluster", "internal/servers", "internal/bench", "internal/check"}, "spreads what is tried again, and makes nothing that must not be guessed"},
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

// The comment of a package of three files or more says what each of them does.
func TestPackageCommentsListFiles(t *testing.T) {
	t.Parallel()
	comments, files := make(map[string]string), make(map[string][]string)
	for _, s := range tree(t, token.NewFileSet()) {
		comments[s.room] += s.file.Doc.Text()
		files[s.room] = append(files[s.room], filepath.Base(s.path))
	}
	for room, names := range files {
		if len(names) < 3 {
			continue
		}
		for _, name := range names {
			if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(comments[room]) {
				t.Errorf("the comment of %s doesn't say what %s does", room, name)
			}
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
