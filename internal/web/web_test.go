package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"tim/internal/web"
)

func get(t *testing.T, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	docs, err := web.Docs()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	docs.ServeHTTP(w, r)
	return w
}

// linked are the addresses that the page loads, as a browser resolves them.
func linked(t *testing.T, page *httptest.ResponseRecorder, at string) []string {
	t.Helper()
	base, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, match := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		link, err := base.Parse(match[1])
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, link.String())
	}
	return links
}

// The page works without the internet and below any path, and its policy says so to the browser: nothing inline, nothing from
// elsewhere.
func TestDocsComeFromThisServerAlone(t *testing.T) {
	t.Parallel()
	page := get(t, "/docs")
	if page.Code != http.StatusOK || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	policy := page.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") ||
		strings.Contains(policy, "http") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	if inline := regexp.MustCompile(`<script>|<script [^s]|<style|style=|\son\w+=`).FindString(page.Body.String()); inline != "" {
		t.Errorf("the page has %s inline", inline)
	}
	links := linked(t, page, "https://example.org/chat/docs")
	if len(links) < 5 {
		t.Errorf("the page links to %v", links)
	}
	for _, link := range links {
		path, ok := strings.CutPrefix(link, "https://example.org/chat")
		if !ok {
			t.Errorf("the page wants %s from elsewhere", link)
			continue
		}
		for _, coding := range []string{"", "gzip"} {
			got := get(t, path, "Accept-Encoding", coding)
			if got.Code != http.StatusOK || got.Body.Len() == 0 || got.Header().Get("ETag") == "" {
				t.Errorf("%s: %d %v", link, got.Code, got.Header())
			}
			if again := get(t, path, "If-None-Match", got.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
				t.Errorf("%s again: %d", link, again.Code)
			}
		}
	}
}

// The files are sent as they are embedded, gzipped, to those alone who take that.
func TestDocsCompressed(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "GZIP": "gzip", "br, gzip;q=0.5": "gzip", "gzip;q=0": "", "gzip; q=0.000": "", "*": "gzip", "*;q=0": "", "identity": "",
		"gzip;q=0, *": "", "*;q=0, gzip": "gzip", "deflate, br": "", "x-gzip": "gzip", "gzipped": "", "gzip;q=x": "", "zstd,,gzip;q=1": "gzip", ";q=1": "",
	} {
		got := get(t, "/docs/swagger-ui.css", "Accept-Encoding", accept)
		if got.Header().Get("Content-Encoding") != want || got.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v", accept, got.Header())
		}
		if text := got.Body.String(); want == "" && !strings.Contains(text, ".swagger-ui") {
			t.Errorf("%q: %.80q", accept, text)
		}
	}
}

func TestDocsHaveNothingElse(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/docs/nothing", "/docs/docs.html", "/docs/swagger-ui.css.gz", "/docs/", "/docs/../docs.js"} {
		if w := get(t, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// What a client accepts may be written in any way; the answer is the file, in one form or the other.
func FuzzAcceptEncoding(f *testing.F) {
	docs, err := web.Docs()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"gzip", "gzip;q=0", "*;q=0.5, gzip ; q=1e-9", ";;q=,", "gzip;q=NaN"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		r := httptest.NewRequest(http.MethodHead, "/docs/swagger-ui.css", nil)
		r.Header["Accept-Encoding"] = []string{accept}
		w := httptest.NewRecorder()
		docs.ServeHTTP(w, r)
		coding := w.Header().Get("Content-Encoding")
		named := strings.Contains(strings.ToLower(accept), "gzip") || strings.Contains(accept, "*")
		if w.Code != http.StatusOK || coding != "" && (coding != "gzip" || !named) {
			t.Errorf("%q: %d %s", accept, w.Code, coding)
		}
	})
}
