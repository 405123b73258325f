package app_test

import (
	"net/http"
	"testing"

	"tim/internal/apptest"
)

// TIM_ALWAYS_200 concerns the routes of the original and paths that are no routes, but no parts of files, handshakes or health.
func TestAlways200(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--always-200", "--limit-picture-bytes=1000", "--limit-login-failures=3")
	token := s.enter(t, "al.a")
	jpg := s.do(t, ask{path: "/uploadchatpic", token: token, form: fileForm(jpgBytes(t))})
	if jpg.status != http.StatusOK {
		t.Fatalf("upload: %d %s", jpg.status, jpg.body)
	}
	download := query("/downloadchatpic", "filename", jpg.body)
	for name, tt := range map[string]struct {
		ask    ask
		status int
		reason string
	}{
		"wrong password":     {ask{path: "/Tim/UserLogin", json: `{"account":"al.nobody","password":"654321"}`}, 200, "wrong_credentials"},
		"taken":              {ask{path: "/Tim/UserRegister", json: registration(t, "al.a", nil)}, 200, "account_taken"},
		"malformed":          {ask{path: "/Tim/UserRegister", json: `{`}, 200, "malformed_json"},
		"invalid":            {ask{path: "/Tim/UserRegister", json: `{}`}, 200, "invalid_body"},
		"no token":           {ask{path: "/Tim/UserLogout"}, 200, "missing_token"},
		"not mine":           {ask{path: query("/Tim/getFriends", "account", "x"), token: token}, 200, "not_your_account"},
		"unknown friend":     {ask{path: query("/Tim/addFriend", "UserAccount", "al.a", "FriendAccount", "x"), token: token}, 200, "unknown_account"},
		"wrong method":       {ask{path: "/Tim/UserLogin"}, 200, "method_not_allowed"},
		"no avatar":          {ask{path: query("/headpicurl", "username", "al.a"), token: token}, 200, "no_avatar"},
		"nothing there":      {ask{path: query("/downloadmp4", "filename", "x"), token: token}, 200, "unknown_file"},
		"wrong type":         {ask{path: "/uploadmp3", token: token, form: fileForm(jpgBytes(t))}, 200, "unsupported_file_type"},
		"too large":          {ask{path: "/uploadchatpic", token: token, form: fileForm(append(jpgBytes(t), make([]byte, 1000)...))}, 200, "file_too_large"},
		"no multipart":       {ask{path: "/uploadmp3", token: token, text: "x", header: map[string]string{"Content-Type": "text/plain"}}, 200, "unsupported_media_type"},
		"file without token": {ask{path: download}, 200, "missing_token"},
		"file parameter":     {ask{path: "/downloadmp3", token: token}, 200, "invalid_parameter"},
		"unknown route":      {ask{path: "/nothing"}, 200, "unknown_route"},
		"a link":             {ask{path: "/avatar/al.a?expires=1&signature=x"}, 403, "invalid_link"},
		"part":               {ask{path: download, token: token, header: map[string]string{"Range": "bytes=0-1"}}, 206, ""},
		"not satisfiable":    {ask{path: download, token: token, header: map[string]string{"Range": "bytes=100000-"}}, 416, "range_not_satisfiable"},
		"handshake":          {ask{path: "/websocket/al.a"}, 401, "missing_token"},
		"upgrade":            {ask{path: "/websocket/al.a", token: token}, 426, "upgrade_required"},
		"health":             {ask{path: "/healthz"}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.ask.plain = true // the spec describes the server without this setting
			got := s.do(t, tt.ask)
			reason := got.Reason
			if reason == "" {
				reason = got.header.Get("Tim-Reason")
			}
			if got.status != tt.status || reason != tt.reason {
				t.Errorf("got %d %s %s, want %d %s", got.status, reason, got.body, tt.status, tt.reason)
			}
			if got.Code == http.StatusOK && tt.reason != "" {
				t.Errorf("a failure says success in its code: %s", got.body)
			}
		})
	}
}

// With TIM_ALWAYS_200, /readyz still reports by its status that the server can't go on.
func TestAlways200Health(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--always-200")
	breakFiles(t, s.Settings)
	if got := s.do(t, ask{path: "/readyz"}); got.status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
}
