package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	"tim/internal/apptest"
)

// root is the tree's root, seen from this package.
const root = "../.."

func readTree(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// promised lists what the specs describe, as method and route in echo's notation.
func promised(t testing.TB) []string {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromData(readTree(t, "api/openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for path, item := range spec.Paths.Map() {
		for method := range item.Operations() {
			routes = append(routes, method+" "+path)
		}
	}
	var sockets struct {
		Channels map[string]struct{ Address string }
	}
	if err := yaml.Unmarshal(readTree(t, "asyncapi.yaml"), &sockets); err != nil || len(sockets.Channels) == 0 {
		t.Fatalf("asyncapi.yaml: %v, %d channels", err, len(sockets.Channels))
	}
	for _, channel := range sockets.Channels {
		routes = append(routes, "GET "+channel.Address)
	}
	for i, route := range routes {
		routes[i] = strings.NewReplacer("{", ":", "}", "").Replace(route)
	}
	slices.Sort(routes)
	return routes
}

// The server has exactly the routes that the specs describe.
func TestRoutesAreTheSpecs(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	var served []string
	for _, route := range s.Router().Routes() {
		served = append(served, route.Method+" "+route.Path)
	}
	slices.Sort(served)
	diff(t, "routes of the specs and of the server", promised(t), served)
	token := s.enter(t, "ro.a")
	for _, route := range promised(t) {
		method, path, _ := strings.Cut(route, " ")
		path = regexp.MustCompile(`:\w+`).ReplaceAllString(path, "swagger-ui.css")
		got := s.do(t, ask{method: method, path: path, token: token, plain: strings.HasPrefix(path, "/docs")})
		if got.Reason == "unknown_route" || got.Reason == "method_not_allowed" {
			t.Errorf("%s is not served: %d %s", route, got.status, got.body)
		}
	}
}

// The specs are served under their paths in the tree, so that their references resolve.
func TestServedSpecs(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	for path, file := range map[string]string{
		"/openapi.yaml": "api/openapi.yaml", "/api/openapi.yaml": "api/openapi.yaml", "/api/frames.yaml": "api/frames.yaml", "/asyncapi.yaml": "asyncapi.yaml",
	} {
		got := s.do(t, ask{path: path})
		if got.status != http.StatusOK || got.body != string(readTree(t, file)) || got.header.Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: %d %s, %d bytes: not %s", path, got.status, got.header.Get("Content-Type"), len(got.body), file)
		}
	}
	var want, got any
	if err := yaml.Unmarshal(readTree(t, "api/openapi.yaml"), &want); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(s.do(t, ask{path: "/openapi.json"}).body), &got); err != nil {
		t.Fatal(err)
	}
	diff(t, "openapi.yaml and openapi.json", want, got)
}

// The page of Swagger UI, and everything that it loads, comes from the server.
func TestDocs(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	if got := s.do(t, ask{path: "/"}); got.status != http.StatusFound || got.header.Get("Location") != "/docs" {
		t.Errorf("/: %d to %s", got.status, got.header.Get("Location"))
	}
	page := s.do(t, ask{path: "/docs", plain: true}) // the check doesn't know text/html and text/css
	if page.status != http.StatusOK || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Fatalf("/docs: %d %v", page.status, page.header)
	}
	assets := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(assets) < 3 {
		t.Fatalf("the page refers to %v", assets)
	}
	for _, match := range assets {
		path := match[1]
		if strings.Contains(path, "//") || strings.HasPrefix(path, "data:") {
			t.Errorf("%s comes from elsewhere", path)
			continue
		}
		if !strings.HasPrefix(path, "/") {
			t.Errorf("%s is relative to a page that is no folder", path)
		}
		if got := s.do(t, ask{path: path, plain: true}); got.status != http.StatusOK || got.body == "" {
			t.Errorf("%s: %d, %d bytes", path, got.status, len(got.body))
		}
	}
	for _, host := range regexp.MustCompile(`https?://[\w.-]+`).FindAllString(page.body, -1) {
		t.Errorf("the page names %s", host)
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self'") {
		t.Errorf("Content-Security-Policy: %q", policy)
	}
	if !strings.Contains(page.body, "/openapi.json") {
		t.Error("the page doesn't show this server's spec")
	}
}
