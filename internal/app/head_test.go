package app_test

import (
	"net/http"
	"strings"
	"testing"
)

// HEAD is answered as GET is, without a body (RFC 9110 section 9.3.2): by every route, in every case.
func TestHead(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "he.a")
		s.setAvatar(t, token, "he.a", jpgBytes(t))
		file := s.do(t, ask{path: "/uploadchatpic", token: token, form: fileForm(pngBytes(t))}).body
		link := s.do(t, ask{path: query("/headpicurl", "username", "he.a"), token: token}).body
		for _, path := range []string{
			"/", "/docs", "/docs/docs.js", "/docs/swagger-ui.css", "/openapi.yaml", "/openapi.json", "/api/frames.yaml", "/healthz", "/readyz",
			query("/Tim/getFriends", "account", "he.a"), query("/Tim/getFriends", "account", "nobody"), "/Tim/getFriends", query("/Tim/getGroups", "account", "he.a"),
			query("/headpicurl", "username", "he.a"), query("/headpicurl", "username", "nobody"), strings.TrimPrefix(link, s.URL),
			query("/downloadchatpic", "filename", file), query("/downloadchatpic", "filename", "nothing"),
			"/websocket", "/websocket/he.a", "/websocket/he.b", "/websocket/1/he.a", "/nothing", "/Tim/UserLogin",
		} {
			for _, asked := range []map[string]string{nil, {"Range": "bytes=0-3"}, {"If-None-Match": "*"}} {
				get := s.do(t, ask{path: path, token: token, header: asked, plain: true})
				head := s.do(t, ask{method: http.MethodHead, path: path, token: token, header: asked, plain: true})
				if ranged := get.status == http.StatusPartialContent; head.body != "" || head.status != get.status && !ranged {
					t.Errorf("%s %v: GET is answered %d, HEAD %d %q", path, asked, get.status, head.status, head.body)
				} else if ranged { // ranges are of GET alone, section 14.2
					if get = s.do(t, ask{path: path, token: token, plain: true}); head.status != http.StatusOK {
						t.Errorf("%s %v: HEAD is answered %d", path, asked, head.status)
					}
				}
				for _, name := range []string{
					"Content-Type", "Cache-Control", "ETag", "Last-Modified", "Content-Disposition", "Accept-Ranges", "Allow", "Content-Range",
					"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Tim-Reason", "Content-Encoding", "Vary",
				} {
					if get.header.Get(name) != head.header.Get(name) {
						t.Errorf("%s %v: %s is %q of GET, %q of HEAD", path, asked, name, get.header.Get(name), head.header.Get(name))
					}
				}
				// A length may be missing from the answer to HEAD, but not be another one.
				if length := head.header.Get("Content-Length"); length != "" && get.header.Get("Content-Length") != "" && length != get.header.Get("Content-Length") {
					t.Errorf("%s %v: Content-Length %s, want %s", path, asked, length, get.header.Get("Content-Length"))
				}
			}
		}
	})
}
