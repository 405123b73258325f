package rest

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"tim/internal/fault"
)

// A compressed body is refused, and the answer says so, for JSON and uploads alike.
func TestContentEncoding(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "ce.a")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(`{"age":34}`))
	must(t, err)
	must(t, z.Close())
	form, formType := formOf(t, pngFile)
	for coding, refused := range map[string]bool{
		"gzip": true, "GZIP": true, "zstd": true, "br": true, "deflate": true, "identity, gzip": true, "gzip, identity": true, "x": true, "gzip;q=0": true,
		"": false, "identity": false, "Identity": false, "identity, ,identity": false, ",": false,
	} {
		body := `{"age":34}`
		if strings.EqualFold(coding, "gzip") {
			body = zipped.String()
		}
		w := s.post("/Tim/updateProfile", body, "token", token, "Content-Encoding", coding)
		up := s.ask(http.MethodPost, "/uploadchatpic", strings.NewReader(form), "Content-Type", formType, "token", token, "Content-Encoding", coding)
		if !refused {
			if w.Code != http.StatusOK || up.Code != http.StatusOK {
				t.Errorf("%q: %d %s, %d %s", coding, w.Code, w.Body, up.Code, up.Body)
			}
			continue
		}
		problem(t, w, http.StatusUnsupportedMediaType, fault.UnsupportedEncoding, "Content-Encoding", "must be identity, or missing")
		if up.Code != http.StatusUnsupportedMediaType || up.Header().Get("Tim-Reason") != string(fault.UnsupportedEncoding) || up.Body.String() != "上传失败" {
			t.Errorf("%q: %d %v %s", coding, up.Code, up.Header(), up.Body)
		}
		for _, answer := range []http.Header{w.Header(), up.Header()} {
			if answer.Get("Accept-Encoding") != "identity" {
				t.Errorf("%q: %v", coding, answer)
			}
		}
	}
	// In several lines.
	r := http.Header{"Content-Encoding": {"identity", "gzip"}}
	if err := checkCoding(r, http.Header{}); !fault.Is(err, fault.UnsupportedEncoding) {
		t.Errorf("two lines: %v", err)
	}
}

func TestCharset(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "cs.a")
	for _, media := range []string{
		"application/json", "application/json;charset=utf-8", `application/json; charset="UTF-8"`, "Application/JSON; Charset=Utf8", "application/json; charset=us-ascii",
		"application/json; version=1", "application/json ;", "application/json; charset=utf-8; version=1",
	} {
		if w := s.post("/Tim/updateProfile", `{"age":34}`, "token", token, "Content-Type", media); w.Code != http.StatusOK {
			t.Errorf("%q: %d %s", media, w.Code, w.Body)
		}
	}
	for media, says := range map[string]string{
		"application/json; charset=gbk": "must be application/json in UTF-8", "application/json; charset=UTF-16": "must be application/json in UTF-8",
		`application/json; charset="iso-8859-1"`: "must be application/json in UTF-8", `application/json; charset=""`: "must be application/json in UTF-8",
		"application/json; charset": "must be application/json", "application/json; charset=utf-8; charset=gbk": "must be application/json",
		"text/json": "must be application/json", "application/jsonp": "must be application/json", "text/plain; charset=utf-8": "must be application/json",
	} {
		w := s.post("/Tim/updateProfile", `{"age":34}`, "token", token, "Content-Type", media)
		problem(t, w, http.StatusUnsupportedMediaType, fault.UnsupportedMediaType, "Content-Type", says)
	}
}
