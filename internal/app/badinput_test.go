package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tim/internal/apptest"
	"tim/internal/fault"
)

func malformedJSON() want {
	return want{http.StatusBadRequest, fault.MalformedJSON, "JSON格式错误", "malformed JSON"}
}

func invalidBody() want {
	return want{http.StatusUnprocessableEntity, fault.InvalidBody, "内容不符合要求", "the body is not as it should be"}
}

func invalidParameter() want {
	return want{http.StatusBadRequest, fault.InvalidParameter, "参数有误", "a parameter is not as it should be"}
}

func notJSON() want {
	return want{http.StatusUnsupportedMediaType, fault.UnsupportedMediaType, "不支持的内容类型", "unsupported content type"}
}

// registration returns the JSON of a valid registration with one field replaced; nil omits the field.
func registration(t testing.TB, account string, replace map[string]any) string {
	fields := map[string]any{"account": account, "password": "123456", "username": "name", "age": 20, "sex": "male"}
	for name, value := range replace {
		if value == (missing{}) {
			delete(fields, name)
		} else {
			fields[name] = value
		}
	}
	return encodeJSON(t, fields)
}

type missing struct{}

// A compressed body is refused before it is read.
func TestCompressedBody(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	a := ask{path: "/Tim/UserRegister", json: registration(t, "cb.a", nil), header: map[string]string{"Content-Encoding": "gzip"}}
	s.refused(t, a, want{http.StatusUnsupportedMediaType, fault.UnsupportedEncoding, "不支持的内容编码", "unsupported content encoding"})
	if accepted := s.do(t, a).header.Get("Accept-Encoding"); accepted != "identity" {
		t.Errorf("Accept-Encoding: %q", accepted)
	}
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	const good = `{"account":"bb","password":"123456","username":"x"}`
	deep := strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)
	for name, tt := range map[string]struct {
		body string
		want want
	}{
		"nothing":             {" ", malformedJSON()},
		"text":                {"account=bb", malformedJSON()},
		"half":                {good[:20], malformedJSON()},
		"trailing bytes":      {good + "x", malformedJSON()},
		"a second value":      {good + good, malformedJSON()},
		"a trailing bracket":  {good + "}", malformedJSON()},
		"trailing comma":      {good[:len(good)-1] + ",}", malformedJSON()},
		"single quotes":       {strings.ReplaceAll(good, `"`, `'`), malformedJSON()},
		"a comment":           {good + "// bye", malformedJSON()},
		"byte order mark":     {"\ufeff" + good, malformedJSON()},
		"a bare control":      {strings.Replace(good, "bb", "b\x01b", 1), malformedJSON()},
		"a bare NUL":          {strings.Replace(good, "bb", "b\x00b", 1), malformedJSON()},
		"invalid UTF-8":       {strings.Replace(good, "bb", "b\xffb", 1), malformedJSON()},
		"overlong UTF-8":      {strings.Replace(good, "bb", "b\xc0\xafb", 1), malformedJSON()},
		"a bad escape":        {strings.Replace(good, "bb", `b\xb`, 1), malformedJSON()},
		"UTF-16":              {"\xff\xfe{\x00}\x00", malformedJSON()},
		"too deep":            {strings.Replace(good, `"x"`, `"x","more":`+deep, 1), invalidBody()},
		"unbalanced and deep": {strings.Repeat("[", 15000), invalidBody()}, // nobody reads on to see whether it is JSON
		"NaN":                 {strings.Replace(good, `"x"`, `"x","age":NaN`, 1), malformedJSON()},
		"null":                {"null", invalidBody()},
		"an array":            {"[" + good + "]", invalidBody()},
		"a string":            {`"account"`, invalidBody()},
		"an empty object":     {"{}", invalidBody()},
	} {
		for _, route := range []string{"/Tim/UserRegister", "/Tim/UserLogin"} {
			t.Run(name+route, func(t *testing.T) {
				t.Parallel()
				s.refused(t, ask{path: route, json: tt.body}, tt.want)
			})
		}
	}
	if s.tryLogin(t, "bb", "123456").status == http.StatusOK {
		t.Error("a refused body made an account")
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	s.register(t, "ct.a")
	const body = `{"account":"ct.a","password":"123456"}`
	for _, kind := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json-patch+json",
		"multipart/form-data; boundary=x", "application/json; charset", "garbage;;",
	} {
		for _, route := range []string{"/Tim/UserRegister", "/Tim/UserLogin"} {
			s.refused(t, ask{path: route, text: body, header: map[string]string{"Content-Type": kind}}, notJSON())
		}
	}
	for _, kind := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", `application/json;charset="UTF-8"`} {
		got := s.do(t, ask{path: "/Tim/UserLogin", body: strings.NewReader(body), header: map[string]string{"Content-Type": kind}})
		if got.status != http.StatusOK {
			t.Errorf("%s: %d %s", kind, got.status, got.body)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--limit-body-bytes=1000")
	over := registration(t, "bl.a", map[string]any{"more": strings.Repeat("x", 1000)})
	s.refused(t, ask{path: "/Tim/UserRegister", json: over},
		want{http.StatusRequestEntityTooLarge, fault.BodyTooLarge, "请求内容过大", "the request body is too large"})
	fits := registration(t, "bl.a", nil)
	fits += strings.Repeat(" ", 1000-len(fits))
	if got := s.do(t, ask{path: "/Tim/UserRegister", json: fits}); got.status != http.StatusOK {
		t.Errorf("a body at the limit: %d %s", got.status, got.body)
	}
	// The limit holds only for JSON bodies.
	token := s.login(t, "bl.a")
	if got := s.do(t, ask{path: "/uploadmp4", token: token, form: fileForm(mp4Bytes("isom", 5000))}); got.status != http.StatusOK {
		t.Errorf("an upload over the limit of bodies: %d %s", got.status, got.body)
	}
	for body, status := range map[string]int{over: http.StatusRequestEntityTooLarge, registration(t, "bl.b", nil): http.StatusOK} {
		unsized := io.MultiReader(strings.NewReader(body)) // is sent in chunks, without its length
		got := s.do(t, ask{path: "/Tim/UserRegister", body: unsized, header: map[string]string{"Content-Type": "application/json"}})
		if got.status != status {
			t.Errorf("%d bytes in chunks: %d %s", len(body), got.status, got.body)
		}
	}
	none := start(t, apptest.Embedded, "--limit-body-bytes=0")
	if got := none.do(t, ask{path: "/Tim/UserRegister", json: over + strings.Repeat(" ", 100_000)}); got.status != http.StatusOK {
		t.Errorf("a large body without a limit: %d %s", got.status, got.body)
	}
}

// Values that the schema refuses, and similar ones that it accepts.
func TestRegistrationFields(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		refused := map[string][]any{
			"account": {
				missing{}, nil, "", []string{"a"}, strings.Repeat("a", 65), strings.Repeat("𠀀", 65), "a b", " a", "a ", "a\t", "a\n", "a\x00", "a\x7f",
				"a\u0085", "a\u200b", "_a", ".a", "-a", "@a", "a/b", "a%b", "a:b", "a,b", "a'b", "a\"b", "a<b", "all", "😀", "\u0301a", "a\u202eb", "\ufffd",
			},
			"password": {missing{}, nil, "", 12345, "12345", "五个字的密", strings.Repeat("a", 73), strings.Repeat("密", 24) + "a", "12345\x00", "123456\n", "123456\x7f"},
			"username": {[]int{5}, strings.Repeat("a", 101), "a\x00b", "a\nb", "\x1b[31m", " ", "\u200b", "\u3164", "\u2800", "a\u202eb"},
			"age":      {"twenty", "20.5", -1, 151, 1e9, true, []int{1}, 2147483648},
			"sex":      {strings.Repeat("x", 101), "a\x00b", []string{"male"}},
		}
		for name, values := range refused {
			for _, value := range values {
				s.refused(t, ask{path: "/Tim/UserRegister", json: registration(t, "rf.refused", map[string]any{name: value})}, invalidBody())
			}
		}
		accepted := map[string][]any{
			"account": {
				"a", strings.Repeat("a", 64), strings.Repeat("𠀀", 64), "ALL", "all1", "1", "中文", "a_b", "a.b", "a-b", "a@b", "ü", "٣", "rf" + strings.Repeat("e\u0301", 30),
			},
			"password": {strings.Repeat("a", 72), strings.Repeat("密", 24), "六个字的密码", "      ", "😀😀😀😀😀😀"},
			"username": {"x", strings.Repeat("名", 100), strings.Repeat("😀", 100), "<b>&\"'", "a b", "null"},
			"age":      {missing{}, nil, 0, 150, 20.0},
			"sex":      {missing{}, nil, "male", "female", "男", "other"},
		}
		n := 0
		for name, values := range accepted {
			for _, value := range values {
				n++
				account := "rf." + name + string(rune('a'+n%26)) + encodeJSON(t, n)
				if name == "account" {
					account = value.(string)
				}
				s.acceptsRegistration(t, account, registration(t, account, map[string]any{name: value}))
			}
		}
	})
}

// acceptsRegistration registers and logs in with the same fields.
func (s *site) acceptsRegistration(t *testing.T, account, body string) {
	t.Helper()
	got := s.do(t, ask{path: "/Tim/UserRegister", json: body})
	if got.status != http.StatusOK {
		t.Errorf("%s: %d %s", body, got.status, got.body)
		return
	}
	var fields struct {
		Password string `json:"password"`
		Username string `json:"username"`
	}
	var made user
	if json.Unmarshal([]byte(body), &fields) != nil || json.Unmarshal(got.Data, &made) != nil || made.Username != fields.Username {
		t.Errorf("%s: made %s", body, got.Data)
	}
	if in := s.tryLogin(t, account, fields.Password); in.status != http.StatusOK {
		t.Errorf("%s: registered, but login says %d %s", body, in.status, in.body)
	}
}

// Numbers as JSON may write them, and unknown fields.
func TestNumbersAndUnknownFields(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	with := func(account, more string) string {
		return `{"account":"` + account + `","password":"123456","username":"x"` + more + `}`
	}
	for account, tt := range map[string]struct {
		more string
		age  int
	}{
		"nu.a": {`,"age":20.0`, 20},
		"nu.b": {`,"age":2e1`, 20},
		"nu.c": {`,"age":2.0E+1`, 20},
		"nu.d": {`,"age":200e-1`, 20},
		"nu.e": {`,"age":-0`, 0},
		"nu.f": {`,"age":0.0`, 0},
		"nu.g": {`,"unknown":1e400,"another":{"deep":[[[["x"]]]]},"id":7,"onlineStatus":1`, 0},
		"nu.h": {`,"Age":150,"AGE":"x","ſex":"neither"`, 0}, // names are exact
		"nu.k": {`,"age":1e-400`, 0},                        // as near as numbers of 64 bits come, RFC 8259 section 6
		"nu.i": {`,"age":1,"age":2`, 2},
		"nu.j": {`,"Password":"another","PASSWORD":5,"paſſword":"abcdef"`, 0},
	} {
		got := s.do(t, ask{path: "/Tim/UserRegister", json: with(account, tt.more)})
		var made user
		if got.status != http.StatusOK || json.Unmarshal(got.Data, &made) != nil || made.Age != tt.age || made.Sex != nil {
			t.Errorf("%s: %d %s, want age %d", tt.more, got.status, got.body, tt.age)
		}
		s.login(t, account)
	}
	for _, more := range []string{
		`,"age":1e400`, `,"age":-1e400`, `,"age":99999999999999999999`, `,"age":1e19`, `,"age":2147483648`,
	} {
		s.refused(t, ask{path: "/Tim/UserRegister", json: with("nu.x", more)}, invalidBody())
	}
}

// The parameters of every route that has some.
func TestParameters(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "pa.a")
		type route struct {
			method, path string
			good         []string // name, value …
		}
		routes := []route{
			{http.MethodGet, "/Tim/addFriend", []string{"UserAccount", "pa.a", "FriendAccount", "pa.b"}},
			{http.MethodGet, "/Tim/deleteFriend", []string{"UserAccount", "pa.a", "FriendAccount", "pa.b"}},
			{http.MethodGet, "/Tim/getFriends", []string{"account", "pa.a"}},
			{http.MethodPost, "/Tim/joinGroup", []string{"UserAccount", "pa.a", "GroupID", "1"}},
			{http.MethodPost, "/Tim/leaveGroup", []string{"UserAccount", "pa.a", "GroupID", "1"}},
			{http.MethodPost, "/Tim/createGroup", []string{"CreateUserAccount", "pa.a", "GroupName", "pa"}},
			{http.MethodGet, "/headpicurl", []string{"username", "pa.a"}},
			{http.MethodGet, "/downloadchatpic", []string{"filename", "x"}},
			{http.MethodGet, "/downloadmp3", []string{"filename", "x"}},
			{http.MethodGet, "/downloadmp4", []string{"filename", "x"}},
		}
		bad := map[string][]string{
			"GroupID":   {"", "0", "-1", "x", "1.5", "1e3x", "2147483648", "99999999999999999999", "1\x00", "true"},
			"GroupName": {"", strings.Repeat("a", 51), strings.Repeat("群", 51), "a\x00", "a\n", "\x7f", "a\xff"},
			"filename":  {"\xff"},
			"username":  {"", strings.Repeat("a", 101), "\xc3\x28"},
			"":          {"", strings.Repeat("a", 101), "a\x00", "a\x1f", "\x7f", "\xff"}, // accounts
		}
		for _, r := range routes {
			for i := 0; i < len(r.good); i += 2 {
				values, ok := bad[r.good[i]]
				if !ok {
					values = bad[""]
				}
				for _, value := range values {
					parameters := slices.Clone(r.good)
					parameters[i+1] = value
					s.refused(t, ask{method: r.method, path: query(r.path, parameters...), token: token}, invalidParameter())
				}
				left := append(slices.Clone(r.good[:i]), r.good[i+2:]...)
				s.refused(t, ask{method: r.method, path: query(r.path, left...), token: token}, invalidParameter())
			}
			s.refused(t, ask{method: r.method, path: r.path + "?" + r.good[0] + "=%zz", token: token}, invalidParameter())
		}
		// A name that is never valid is treated like one that doesn't exist.
		for _, name := range []string{strings.Repeat("a", 100), "pa nobody", "😀", "' OR 1=1 --", "%", "all"} {
			got := s.do(t, ask{path: query("/Tim/addFriend", "UserAccount", "pa.a", "FriendAccount", name), token: token})
			if got.status != http.StatusNotFound {
				t.Errorf("befriend %q: %d %s", name, got.status, got.body)
			}
		}
	})
}

// Unknown routes, and methods that a route doesn't have.
func TestUnknownRoutesAndMethods(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	unknown := want{http.StatusNotFound, fault.UnknownRoute, "接口不存在", "no such route"}
	for _, path := range []string{
		"/nothing", "/Tim", "/Tim/", "/Tim/UserLogin//", "/Tim/getProfile/", "/tim/userlogin", "/Tim/addfriend", "/docs/nothing.js", "/docs/..%2fopenapi.yaml",
		"//", "/Tim//UserLogin", "/avatar", "/websocket/", "/api/", "/api/../jwt.key", "/..%2f..%2fetc/passwd", "/metrics", "/debug/pprof/",
	} {
		s.refused(t, ask{path: path}, unknown)
		if !strings.HasPrefix(path, "/docs/") {
			s.refused(t, ask{path: path, method: http.MethodPost}, unknown)
		}
	}
	notAllowed := want{http.StatusMethodNotAllowed, fault.MethodNotAllowed, "请求方法不支持", "method not allowed"}
	for path, allowed := range map[string]string{
		"/Tim/UserLogin": http.MethodPost, "/Tim/UserRegister": http.MethodPost, "/Tim/UserLogout": http.MethodGet, "/Tim/addFriend": http.MethodGet,
		"/Tim/deleteFriend": http.MethodGet, "/Tim/getFriends": http.MethodGet, "/Tim/joinGroup": http.MethodPost, "/Tim/leaveGroup": http.MethodPost,
		"/Tim/createGroup": http.MethodPost, "/uploadheadpic": http.MethodPost, "/headpicurl": http.MethodGet, "/uploadchatpic": http.MethodPost,
		"/downloadchatpic": http.MethodGet, "/uploadmp3": http.MethodPost, "/downloadmp3": http.MethodGet, "/uploadmp4": http.MethodPost,
		"/downloadmp4": http.MethodGet, "/docs": http.MethodGet, "/openapi.json": http.MethodGet, "/healthz": http.MethodGet, "/websocket/x": http.MethodGet,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, "BREW"} {
			if method == allowed {
				continue
			}
			s.refused(t, ask{method: method, path: path}, notAllowed)
			allow := strings.Split(s.do(t, ask{method: method, path: path}).header.Get("Allow"), ", ")
			head := slices.Contains(allow, http.MethodHead) == (allowed == http.MethodGet)
			if !head || !slices.Contains(allow, allowed) || slices.Contains(allow, method) {
				t.Errorf("%s %s: Allow is %v, want %s", method, path, allow, allowed)
			}
		}
	}
}
