package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tim/internal/apptest"
)

// Registration takes scalars as forms send them.
func TestScalarsOfForms(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-registrations=0")
	for i, tt := range []struct {
		fields map[string]any
		status int
		user   string // what is to be in the answer
	}{
		{map[string]any{"age": "12"}, 200, `"age":12,`},
		{map[string]any{"age": ""}, 200, `"age":0,`},
		{map[string]any{"age": 1.9}, 200, `"age":1,`},
		{map[string]any{"age": "151"}, 422, `age`},
		{map[string]any{"age": "twelve"}, 422, `age`},
		{map[string]any{"age": true}, 422, `age`},
		{map[string]any{"password": 123456}, 200, ``},
		{map[string]any{"username": 42}, 200, `"username":"42"`},
		{map[string]any{"username": true}, 200, `"username":"true"`},
		{map[string]any{"username": []int{1}}, 422, `username`},
		{map[string]any{"username": ""}, 200, `"username":"un.7"`},
		{map[string]any{"username": missing{}}, 200, `"username":"un.8"`},
		{map[string]any{"username": nil}, 200, `"username":"un.9"`},
		{map[string]any{"sex": "男"}, 200, `"sex":"男"`},
		{map[string]any{"sex": ""}, 200, `"sex":null`},
		{map[string]any{"sex": strings.Repeat("男", 100)}, 200, ``},
		{map[string]any{"sex": strings.Repeat("男", 101)}, 422, `sex`},
		{map[string]any{"sex": "a\u0000"}, 422, `sex`},
		{map[string]any{"account": "+8613800138000"}, 200, `"account":"+8613800138000"`},
		{map[string]any{"account": 13800138000}, 200, `"account":"13800138000"`},
		{map[string]any{"account": "+"}, 422, `account`},
		{map[string]any{"account": "++1"}, 422, `account`},
	} {
		account := fmt.Sprint("fo.", i)
		if strings.HasPrefix(tt.user, `"username":"un.`) {
			account = strings.Trim(strings.TrimPrefix(tt.user, `"username":`), `"`)
		}
		got := s.do(t, ask{path: "/Tim/UserRegister", json: registration(t, account, tt.fields)})
		if got.status != tt.status || !strings.Contains(string(got.Data), tt.user) {
			t.Errorf("%v: %d %s, want %d and %s", tt.fields, got.status, got.body, tt.status, tt.user)
		}
	}
	for _, body := range []string{`{"account":13800138000,"password":123456}`, `{"account":"13800138000","password":"123456"}`} {
		if got := s.do(t, ask{path: "/Tim/UserLogin", json: body}); got.status != http.StatusOK {
			t.Errorf("login with %s: %d %s", body, got.status, got.body)
		}
	}
	// What this project added is strict.
	token := s.enter(t, "fo.strict")
	if got := s.do(t, ask{path: "/Tim/updateProfile", token: token, json: `{"age":"12"}`}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("updateProfile took a string for an age: %d %s", got.status, got.body)
	}
}

// Parameters of the routes for groups may come in the query, in a form, or in both.
func TestParametersInForms(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "pf.a")
	post := func(path, kind, body string) answer {
		return s.do(t, ask{path: path, token: token, text: body, header: map[string]string{"Content-Type": kind}, method: http.MethodPost})
	}
	const urlencoded = "application/x-www-form-urlencoded"
	multipart := func(fields ...string) (kind, body string) {
		var text strings.Builder
		for i := 0; i < len(fields); i += 2 {
			fmt.Fprintf(&text, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", fields[i], fields[i+1])
		}
		return "multipart/form-data; boundary=b", text.String() + "--b--\r\n"
	}
	create := func(name string) string {
		return url.Values{"CreateUserAccount": {"pf.a"}, "GroupName": {name}}.Encode()
	}
	kind, body := multipart("CreateUserAccount", "pf.a", "GroupName", "二 groups")
	for _, tt := range []struct {
		path, kind, body string
		status           int
		reason           string
	}{
		{"/Tim/createGroup", urlencoded, create("first group"), 200, ""},
		{"/Tim/createGroup", urlencoded + "; charset=UTF-8", create("群"), 200, ""},
		{"/Tim/createGroup", kind, body, 200, ""},
		{"/Tim/createGroup?CreateUserAccount=pf.a", urlencoded, "GroupName=split", 200, ""},
		{"/Tim/createGroup?CreateUserAccount=pf.a", urlencoded, create("twice the same"), 200, ""},
		{"/Tim/createGroup?CreateUserAccount=pf.b", urlencoded, create("twice"), 400, "invalid_parameter"},
		{"/Tim/createGroup", urlencoded, "GroupName=nobody", 400, "invalid_parameter"},
		{"/Tim/createGroup", urlencoded, "GroupName=%zz&CreateUserAccount=pf.a", 400, "invalid_parameter"},
		{"/Tim/createGroup", urlencoded, "GroupName=%ff&CreateUserAccount=pf.a", 400, "invalid_parameter"},
		{"/Tim/createGroup", "multipart/form-data", "x", 400, "invalid_parameter"},
		{"/Tim/createGroup", "text/plain", create("no form"), 400, "invalid_parameter"},
		{"/Tim/createGroup", urlencoded, create("large") + "&x=" + strings.Repeat("x", 70000), 413, "body_too_large"},
		{"/Tim/leaveGroup", urlencoded, "UserAccount=pf.a&GroupID=1", 200, ""},
		{"/Tim/joinGroup", urlencoded, "UserAccount=pf.a&GroupID=+1+", 200, ""},
		{"/Tim/joinGroup?GroupID=0x2", urlencoded, "UserAccount=pf.a", 200, ""},
		{"/Tim/joinGroup?GroupID=%EF%BC%92", urlencoded, "UserAccount=pf.a", 200, ""},
		{"/Tim/joinGroup?GroupID=two", urlencoded, "UserAccount=pf.a", 400, "invalid_parameter"},
		{"/Tim/joinGroup?GroupID=", urlencoded, "UserAccount=pf.a", 400, "invalid_parameter"},
		{"/Tim/joinGroup/?GroupID=2", urlencoded, "UserAccount=pf.a", 200, ""},
		{"/Tim/joinGroup//?GroupID=2", urlencoded, "UserAccount=pf.a", 404, "unknown_route"},
	} {
		got := post(tt.path, tt.kind, tt.body)
		if got.status != tt.status || got.Reason != tt.reason {
			t.Errorf("%s %s: %d %s, want %d %s", tt.path, tt.body[:min(len(tt.body), 80)], got.status, got.body, tt.status, tt.reason)
		}
	}
	// Routes that this project added take no forms, and have one spelling.
	if got := post("/Tim/dissolveGroup", urlencoded, "UserAccount=pf.a&GroupID=2"); got.status != http.StatusBadRequest {
		t.Errorf("dissolveGroup took a form: %d %s", got.status, got.body)
	}
	if got := s.do(t, ask{path: query("/Tim/getProfile/", "account", "pf.a"), token: token, plain: true}); got.status != http.StatusNotFound {
		t.Errorf("getProfile with a slash: %d %s", got.status, got.body)
	}
}

// An upload is taken by any method that can have a form.
func TestUploadMethods(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "um.a")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet} {
		for _, path := range []string{"/uploadchatpic", "/uploadchatpic/"} {
			got := s.do(t, ask{method: method, path: path, token: token, form: fileForm(jpgBytes(t)), plain: true})
			if got.status != http.StatusOK || got.body == "" {
				t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
			}
		}
		if method == http.MethodPost {
			continue
		}
		got := s.do(t, ask{method: method, path: "/uploadchatpic", token: token, plain: true})
		if got.status != http.StatusMethodNotAllowed || got.Reason != "method_not_allowed" {
			t.Errorf("%s without a form: %d %s", method, got.status, got.body)
		}
		got = s.do(t, ask{method: method, path: "/Tim/sendMessage", token: token, form: fileForm(jpgBytes(t)), plain: true})
		if got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s of a route that is no upload: %d %s", method, got.status, got.body)
		}
	}
}
