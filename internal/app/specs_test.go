package app_test

import (
	"bytes"
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
	heads := map[string]int{} // each GET has a HEAD beside it
	for _, route := range s.Router().Routes() {
		switch route.Method {
		case http.MethodHead:
			heads[route.Path]--
			continue
		case http.MethodGet:
			heads[route.Path]++
		}
		served = append(served, route.Method+" "+route.Path)
	}
	for path, n := range heads {
		if n != 0 {
			t.Errorf("%s: of GET and HEAD it has one alone", path)
		}
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

// The specs are served under their paths in the tree, so that their references resolve. The server's address in them is seen from
// the document; it is relative, so that it holds behind any proxy.
func TestServedSpecs(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	inTree := func(path, body string) string {
		for at, relative := range map[string]string{"/openapi.yaml": ".", "/api/openapi.yaml": ".."} {
			if at == path {
				return strings.Replace(body, "\n  - url: "+relative+"\n", "\n  - url: /\n", 1)
			}
		}
		return body
	}
	for path, file := range map[string]string{
		"/openapi.yaml": "api/openapi.yaml", "/api/openapi.yaml": "api/openapi.yaml", "/api/frames.yaml": "api/frames.yaml", "/asyncapi.yaml": "asyncapi.yaml",
	} {
		got := s.do(t, ask{path: path})
		if got.status != http.StatusOK || inTree(path, got.body) != string(readTree(t, file)) || got.header.Get("Content-Type") != "application/yaml" {
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
	text = bytes.Replace(text, []byte(`"url":"/"`), []byte(`"url":"."`), 1)
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(s.do(t, ask{path: "/openapi.json"}).body), &got); err != nil {
		t.Fatal(err)
	}
	diff(t, "openapi.yaml and openapi.json", want, got)
}

// Where the server has a public address, the specs name it.
func TestServedSpecsNameThePublicAddress(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--public-url=https://example.org:443/chat/")
	spec, err := openapi3.NewLoader().LoadFromData([]byte(s.do(t, ask{path: "/openapi.json"}).body))
	if err != nil {
		t.Fatal(err)
	}
	var servers []string
	for _, server := range spec.Servers {
		servers = append(servers, server.URL)
	}
	diff(t, "servers", []string{".", "https://example.org/chat"}, servers)
	var sockets struct {
		Servers map[string]struct{ Host, Pathname, Protocol string }
	}
	if err := yaml.Unmarshal([]byte(s.do(t, ask{path: "/asyncapi.yaml"}).body), &sockets); err != nil {
		t.Fatal(err)
	}
	diff(t, "the sockets' server", struct{ Host, Pathname, Protocol string }{"example.org", "/chat", "wss"}, sockets.Servers["local"])
}

// The page of Swagger UI, and everything that it loads, comes from the server, whether a proxy keeps the path before it or not.
func TestDocs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ public, kept, index string }{
		{"", "", "docs"}, {"https://example.org", "", "/docs"}, {"https://example.org/chat", "", "/chat/docs"}, {"https://example.org/chat", "/chat", "/chat/docs"},
	} {
		s := start(t, apptest.Embedded, "--public-url="+tt.public)
		if got := s.do(t, ask{path: tt.kept + "/"}); got.status != http.StatusFound || got.header.Get("Location") != tt.index {
			t.Errorf("%s/ of %s: %d to %s", tt.kept, tt.public, got.status, got.header.Get("Location"))
		}
		slash := "../docs"
		if tt.public != "" {
			slash = tt.index
		}
		for _, path := range []string{"/docs/", "/docs/?x"} {
			if got := s.do(t, ask{path: tt.kept + path, plain: true}); got.status != http.StatusFound || got.header.Get("Location") != slash {
				t.Errorf("%s%s of %s: %d to %s", tt.kept, path, tt.public, got.status, got.header.Get("Location"))
			}
		}
		page := s.do(t, ask{path: tt.kept + "/docs", plain: true}) // the check doesn't know text/html and text/css
		if page.status != http.StatusOK || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
			t.Fatalf("/docs: %d %v", page.status, page.header)
		}
		assets := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
		if len(assets) < 3 {
			t.Fatalf("the page refers to %v", assets)
		}
		for _, match := range assets {
			asset, below := strings.CutPrefix(match[1], "docs/")
			if !below {
				t.Errorf("%s doesn't lie below the page", match[1])
			}
			if got := s.do(t, ask{path: tt.kept + "/docs/" + asset, plain: true}); got.status != http.StatusOK || got.body == "" {
				t.Errorf("%s: %d, %d bytes", match[1], got.status, len(got.body))
			}
		}
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("Content-Security-Policy: %q", policy)
		}
	}
}
