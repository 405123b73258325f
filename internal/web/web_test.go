package web_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"tim/internal/web"
)

func get(target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	web.Docs().ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	w := get("/docs")
	page := w.Body.String()
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for _, want := range []string{"/openapi.json", "persistAuthorization: true", "tryItOutEnabled: true", "<title>Tim"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

// The page works without the internet, and its policy says so to the browser.
func TestDocsComeFromThisServerAlone(t *testing.T) {
	t.Parallel()
	w := get("/docs")
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %q", policy)
	}
	linked := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(linked) < 3 {
		t.Errorf("the page links to %v", linked)
	}
	for _, link := range linked {
		if !strings.HasPrefix(link[1], "/docs/") {
			t.Errorf("the page wants %s from elsewhere", link[1])
			continue
		}
		if asset := get(link[1]); asset.Code != http.StatusOK || asset.Body.Len() == 0 {
			t.Errorf("%s: %d", link[1], asset.Code)
		}
	}
}

func TestDocsHaveNothingElse(t *testing.T) {
	t.Parallel()
	if w := get("/docs/nothing"); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
