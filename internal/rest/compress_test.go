package rest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// unpack undoes an answer's Content-Encoding.
func unpack(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var r io.Reader = w.Body
	switch coding := w.Header().Get("Content-Encoding"); coding {
	case "":
	case "gzip":
		z, err := gzip.NewReader(r)
		must(t, err)
		r = z
	case "zstd":
		z, err := zstd.NewReader(r)
		must(t, err)
		defer z.Close()
		r = z
	default:
		t.Fatalf("compressed by %s", coding)
	}
	content, err := io.ReadAll(r)
	must(t, err)
	return string(content)
}

// talk makes a history of some kilobytes and returns its reader's token.
func (s *site) talk(t testing.TB, messages int) (token, target string) {
	t.Helper()
	token = s.login(t, "co.a")
	s.login(t, "co.b")
	s.get("/Tim/addFriend?UserAccount=co.a&FriendAccount=co.b", "token", token)
	for i := range messages {
		body := fmt.Sprintf(`{"to": {"user": "co.b"}, "clientId": "%d", "body": {"kind": "text", "text": "message %d, 你好"}}`, i, i)
		if w := s.post("/Tim/sendMessage", body, "token", token); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	return token, "/Tim/getHistory?" + url.Values{"account": {"co.a"}, "FriendAccount": {"co.b"}, "limit": {"200"}}.Encode()
}

func TestCompression(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token, history := s.talk(t, 40)
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "GZIP": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "gzip;q=1, zstd;q=0.5": "gzip", "gzip;q=0": "",
		"zstd;q=0, gzip;q=0.1": "gzip", "identity": "", "br": "", "gzip;q=0.000": "",
	} {
		for _, target := range []string{history, "/openapi.json", "/openapi.yaml", "/asyncapi.yaml"} {
			whole := s.get(target, "token", token)
			w := s.get(target, "token", token, "Accept-Encoding", accept)
			if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != want || !slices.Contains(w.Header().Values("Vary"), "Accept-Encoding") || !slices.Contains(whole.Header().Values("Vary"), "Accept-Encoding") {
				t.Errorf("%s by %q: %d %v", target, accept, w.Code, w.Header())
			}
			if want != "" && (w.Body.Len() > whole.Body.Len()/2 || w.Header().Get("Content-Length") != "") {
				t.Errorf("%s by %q: %d bytes of %d", target, accept, w.Body.Len(), whole.Body.Len())
			}
			if got := unpack(t, w); got != whole.Body.String() {
				t.Errorf("%s by %q: another content, %d bytes", target, accept, len(got))
			}
			if tag := w.Header().Get("ETag"); tag != whole.Header().Get("ETag") || tag != "" && s.get(target, "Accept-Encoding", accept, "If-None-Match", tag).Code != http.StatusNotModified {
				t.Errorf("%s by %q: ETag %s", target, accept, tag)
			}
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/openapi.yaml", nil)
	r.Header["Accept-Encoding"] = []string{"br", "gzip"}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("two lines: %v", w.Header())
	}
}

// What is small, a file, a secret, a part or an error passes as it is.
func TestNotCompressed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "nc.a")
	form, formType := formOf(t, pngFile+strings.Repeat("\x00", 5000))
	name := s.ask(http.MethodPost, "/uploadchatpic", strings.NewReader(form), "Content-Type", formType, "token", token).Body.String()
	download := "/downloadchatpic?" + url.Values{"filename": {name}}.Encode()
	for what, w := range map[string]*httptest.ResponseRecorder{
		"small":  s.get("/healthz", "Accept-Encoding", "gzip, zstd"),
		"file":   s.get(download, "token", token, "Accept-Encoding", "gzip, zstd"),
		"part":   s.get(download, "token", token, "Accept-Encoding", "gzip, zstd", "Range", "bytes=0-4000"),
		"icon":   s.get("/docs/favicon-32x32.png", "Accept-Encoding", "zstd"),
		"error":  s.get("/Tim/getFriends?account="+strings.Repeat("x", 2000), "token", token, "Accept-Encoding", "gzip"),
		"nobody": s.get("/nothing", "Accept-Encoding", "gzip"),
		"login":  s.post("/Tim/UserLogin", `{"account": "nc.a", "password": "123456"}`+strings.Repeat(" ", 2000), "Accept-Encoding", "gzip"),
	} {
		if w.Header().Get("Content-Encoding") != "" || w.Code == http.StatusInternalServerError {
			t.Errorf("%s: %d %v", what, w.Code, w.Header())
		}
	}
	if w := s.get(download, "token", token, "Accept-Encoding", "gzip", "Range", "bytes=0-4"); w.Code != http.StatusPartialContent || w.Body.String() != pngFile[:5] {
		t.Errorf("a part: %d %q", w.Code, w.Body)
	}
	// Each operation that answers a token is marked.
	spec, err := loadSpec()
	must(t, err)
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			for _, answer := range o.Responses.Map() {
				for _, media := range answer.Value.Content {
					text, err := json.Marshal(media.Schema)
					must(t, err)
					if secret := bytes.Contains(text, []byte("TokenDone")) || bytes.Contains(text, []byte("LoginDone")); secret && !traitsOf(o, method).uncompressed {
						t.Errorf("%s %s answers a token and may be compressed", method, path)
					}
				}
			}
		}
	}
}

// BenchmarkHistory measures an answer of 40 messages, some 8 kB, as it is and compressed.
func BenchmarkHistory(b *testing.B) {
	s := newSite(b)
	token, history := s.talk(b, 40)
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		b.Run(coding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := s.get(history, "token", token, "Accept-Encoding", coding)
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}
