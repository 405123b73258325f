package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/labstack/echo/v4"

	"tim/gen/api"
	"tim/internal/auth"
	"tim/internal/fault"
)

// isClear fails the test if a text tells about the server's inside instead of what would be right.
func isClear(t testing.TB, f api.Failure) {
	t.Helper()
	message := f.Message
	if f.Data != nil {
		message = strings.Replace(message, f.Data.Field, "", 1)
	}
	if len(message) > 300 || regexp.MustCompile(`[\n{}\[\]<>^]|[Ss]chema|regex|pattern|json\.|openapi|strconv|nil`).MatchString(message) {
		t.Errorf("unclear: %s", f.Message)
	}
	if f.Data != nil && strings.Contains(f.Message, "：") && (!strings.HasSuffix(f.Message, "："+f.Data.Field+" "+f.Data.Problem) || english(f.Data.Problem) != "") {
		t.Errorf("no Chinese about %s: %s: %s", f.Data.Field, f.Message, f.Data.Problem)
	}
}

// english returns the words of a Chinese text that aren't names: of fields and values in backquotes, formats and codings.
func english(text string) string {
	names := "`[^`]*`|(JSON|UTF-8|ASCII|HTTP|application/json|multipart/form-data|boundary|identity|base64|seq|leaveGroup|GroupID|after|user|group)\\b"
	text = regexp.MustCompile(names).ReplaceAllString(text, "")
	if _, list, ok := strings.Cut(text, "以下之一："); ok { // values
		text = strings.TrimSuffix(text, list)
	}
	return strings.Join(regexp.MustCompile("[A-Za-z]+").FindAllString(text, -1), " ")
}

// problem fails the test unless an answer is a refusal with a reason that names a field and says what would be right.
func problem(t testing.TB, w *httptest.ResponseRecorder, status int, reason fault.Reason, field, problem string) {
	t.Helper()
	f := envelopeOf(t, w)
	isClear(t, f)
	if f.Data == nil {
		f.Data = &api.Problem{}
	}
	if strings.Contains(f.Message, "：") {
		problem = fault.Invalid(reason, field, problem).ProblemIn(fault.Chinese)
	}
	same(t, "the refusal", [5]any{status, string(reason), fault.CodeFailure, field, problem},
		[5]any{w.Code, f.Reason, int(f.Code), f.Data.Field, f.Data.Problem})
}

func TestParameters(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	s.login(t, "bob")
	const (
		friend  = "/Tim/addFriend?UserAccount=alice&FriendAccount="
		group   = "/Tim/joinGroup?UserAccount=alice&GroupID="
		create  = "/Tim/createGroup?CreateUserAccount=alice&GroupName="
		number  = "must be an integer from 1 to 2147483647"
		control = "must not be empty or hold control characters"
	)
	for _, tt := range []struct{ name, target, field, problem string }{
		{"none", "/Tim/addFriend", "UserAccount", "is missing"},
		{"one of two", "/Tim/addFriend?UserAccount=alice", "FriendAccount", "is missing"},
		{"another spelling", "/Tim/addFriend?useraccount=alice", "UserAccount", "is missing"},
		{"empty", friend, "FriendAccount", "must not be empty"},
		{"twice", friend + "bob&FriendAccount=carol", "FriendAccount", "must be given once"},
		{"NUL", friend + "%00", "FriendAccount", control},
		{"newline", friend + "a%0Ab", "FriendAccount", control},
		{"DEL", friend + "%7F", "FriendAccount", control},
		{"too long", friend + strings.Repeat("x", 101), "FriendAccount", "must have at most 100 characters"},
		{"no UTF-8", friend + "%ff", "FriendAccount", "must be UTF-8"},
		{"half a character", friend + "%E5%AF", "FriendAccount", "must be UTF-8"},
		{"a name that is no UTF-8", friend + "bob&%ff=x", "\uFFFD", "must be UTF-8"},
		{"a broken escape", friend + "%zz", "query", "must be percent-encoded, with & between parameters"},
		{"half an escape", friend + "bob%4", "query", "must be percent-encoded, with & between parameters"},
		{"a semicolon", friend + "a;b", "query", "must be percent-encoded, with & between parameters"},
		{"no group", group, "GroupID", "must not be empty"},
		{"group 0", group + "0", "GroupID", number},
		{"group -1", group + "-1", "GroupID", number},
		{"group abc", group + "abc", "GroupID", number},
		{"group 1.5", group + "1.5", "GroupID", number},
		{"group 1e3", group + "1e3", "GroupID", number},
		{"group 0xg", group + "0xg", "GroupID", number},
		{"group NaN", group + "NaN", "GroupID", number},
		{"a group over 32 bits", group + "2147483648", "GroupID", number},
		{"a group over 64 bits", group + "99999999999999999999", "GroupID", number},
		{"two groups", group + "1&GroupID=2", "GroupID", "must be given once"},
		{"two groups in one", group + "1,2", "GroupID", number},
		{"no group name", create, "GroupName", "must not be empty"},
		{"51 characters", create + strings.Repeat("%F0%9F%98%80", 51), "GroupName", "must have at most 50 characters"},
		{"no link", "/avatar/alice", "expires", "is missing"},
		{"a link that expires never", "/avatar/alice?expires=never&signature=x", "expires", "must be an integer"},
		{"a path that is no UTF-8", "/avatar/%ff?expires=1&signature=x", "account", "must be percent-encoded UTF-8"},
		{"a long path", "/avatar/" + strings.Repeat("x", 101) + "?expires=1&signature=x", "account", "must have at most 100 characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := http.MethodGet
			if strings.Contains(tt.target, "Group") {
				method = http.MethodPost
			}
			problem(t, s.ask(method, tt.target, nil, "token", token), http.StatusBadRequest, fault.InvalidParameter, tt.field, tt.problem)
		})
	}
	for _, target := range []string{friend + "bob", friend + "b%6Fb&unknown=1"} {
		if w := s.get(target, "token", token); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if w := s.ask(http.MethodPost, create+strings.Repeat("%F0%9F%98%80", 50), nil, "token", token); w.Code != http.StatusOK {
		t.Errorf("50 characters: %d %s", w.Code, w.Body)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.login(t, "alice")
	with := func(field, value string) string {
		fields := map[string]string{"account": `"bob"`, "password": `"123456"`, "username": `"Bob"`}
		fields[field] = value
		parts := make([]string, 0, len(fields))
		for name, v := range fields {
			if v != "" {
				parts = append(parts, `"`+name+`": `+v)
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	const (
		account = "must be 1 to 64 letters and digits of any script and `_ . - @`, the first a letter or digit, with or without a `+` before it; not `all`, which addresses everyone"
		age     = "must be an integer from 0 to 150"
		control = "must not be empty or hold control characters"
	)
	good := with("", "")
	for _, tt := range []struct {
		name, body     string
		reason         fault.Reason
		field, problem string
	}{
		{"nothing", "", fault.MalformedJSON, "body", "is no JSON, or ends too early"},
		{"half", good[:20], fault.MalformedJSON, "body", "is no JSON, or ends too early"},
		{"no JSON", "account=bob", fault.MalformedJSON, "body", "is no JSON at byte 1"},
		{"a comma too many", `{"account": "bob",}`, fault.MalformedJSON, "body", "is no JSON at byte 19"},
		{"a second value", good + "{}", fault.MalformedJSON, "body", "must end after one JSON value"},
		{"a word behind", good + " x", fault.MalformedJSON, "body", "must end after one JSON value"},
		{"a NUL behind", good + "\x00", fault.MalformedJSON, "body", "must end after one JSON value"},
		{"no UTF-8", with("account", "\"\xff\""), fault.MalformedJSON, "body", "must be UTF-8"},
		{"UTF-16", "\xff\xfe{\x00}\x00", fault.MalformedJSON, "body", "must be UTF-8"},
		{"a bare NUL in a text", with("username", "\"\x00\""), fault.MalformedJSON, "", ""},
		{"null", "null", fault.InvalidBody, "body", "must not be null"},
		{"an array", "[" + good + "]", fault.InvalidBody, "body", "must be an object"},
		{"a text", `"x"`, fault.InvalidBody, "body", "must be an object"},
		{"a deep one", strings.Repeat("[", 2000) + strings.Repeat("]", 2000), fault.InvalidBody, "body", "must be an object"},
		{"no account", with("account", ""), fault.InvalidBody, "account", "is missing"},
		{"account null", with("account", "null"), fault.InvalidBody, "account", "must not be null"},
		{"account empty", with("account", `""`), fault.InvalidBody, "account", "must not be empty"},
		{"account too long", with("account", `"`+strings.Repeat("x", 65)+`"`), fault.InvalidBody, "account", "must have at most 64 characters"},
		{"account all", with("account", `"all"`), fault.InvalidBody, "account", account},
		{"account all, escaped", with("account", `"\u0061ll"`), fault.InvalidBody, "account", account},
		{"account with a mark first", with("account", `"_bob"`), fault.InvalidBody, "account", account},
		{"account with a space", with("account", `"b ob"`), fault.InvalidBody, "account", account},
		{"account with a NUL", with("account", `"bob\u0000"`), fault.InvalidBody, "account", account},
		{"account with half a character", with("account", `"bob\ud800"`), fault.InvalidBody, "account", "must not hold half of a surrogate pair"},
		{"password short", with("password", `"12345"`), fault.InvalidBody, "password", "must have at least 6 characters"},
		{"password of 5 wide ones", with("password", `"密码密码密"`), fault.InvalidBody, "password", "must have at least 6 characters"},
		{"password long", with("password", `"`+strings.Repeat("x", 73)+`"`), fault.InvalidBody, "password", "must have 6 characters to 72 bytes"},
		{"password of 75 bytes", with("password", `"`+strings.Repeat("密", 25)+`"`), fault.InvalidBody, "password", "must have 6 characters to 72 bytes"},
		{"username an object", with("username", `{"a": 1}`), fault.InvalidBody, "username", "must be a string"},
		{"username with a newline", with("username", `"a\nb"`), fault.InvalidBody, "username", control},
		{"age over", with("age", "151"), fault.InvalidBody, "age", age},
		{"age under", with("age", "-1"), fault.InvalidBody, "age", age},
		{"age a text", with("age", `"twenty"`), fault.InvalidBody, "age", age},
		{"age huge", with("age", "99999999999999999999"), fault.InvalidBody, "age", age},
		{"age beyond every number", with("age", "1e400"), fault.InvalidBody, "age", age},
		{"sex too long", with("sex", `"`+strings.Repeat("x", 101)+`"`), fault.InvalidBody, "sex", "must have at most 100 characters"},
		{"taken", with("account", `"alice"`), fault.AccountTaken, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := s.post("/Tim/UserRegister", tt.body)
			if tt.problem == "" {
				f := envelopeOf(t, w)
				isClear(t, f)
				same(t, "reason", string(tt.reason), f.Reason)
				return
			}
			problem(t, w, fault.New(tt.reason).Status(), tt.reason, tt.field, tt.problem)
		})
	}
}

func TestBodiesThatAreTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for account, rest := range map[string]string{
		"a1":     `"age": null, "sex": null`,
		"a2":     `"age": 0, "sex": "male"`,
		"a3":     `"age": 1.5e1`,
		"a4":     `"age": 150.0`,
		"a5":     `"unknown": {"deep": [1, null, {}]}, "": 1`,
		"b.c-_@": `"unknown": 1e400`,
		"密码":     "\"x\": \"\\ud83d\\ude00\"\n\t\r ",
		"6":      `"account": "6"`,
	} {
		if w := s.post("/Tim/UserRegister", `{"account": "`+account+`", "password": "123456", "username": "x", `+rest+"}"); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", rest, w.Code, w.Body)
		}
	}
}

// Go's decoder overlooks case, and takes ſ for s: a field that the schema doesn't know must not slip by it into one that
// it does.
func TestUnknownFieldsAreIgnoredInEverySpelling(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i, field := range []string{`"AGE": 999`, `"Age": "x"`, `"SEX": "other"`, `"ſex": 1`, `"uſername": "a\u0000b"`, `"paſſword": "1"`, `"ACCOUNT": "all"`} {
		account := "x" + string(rune('a'+i))
		w := s.post("/Tim/UserRegister", `{"account": "`+account+`", "password": "123456", "username": "good", `+field+"}")
		var answer api.UserDone
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", field, w.Code, w.Body)
		}
		if d := answer.Data; d.Account != account || d.Username != "good" || d.Age != 0 || !d.Sex.IsNull() {
			t.Errorf("%s: got in: %s", field, w.Body)
		}
		if w := s.post("/Tim/UserLogin", `{"account": "`+account+`", "password": "123456"}`); w.Code != http.StatusOK {
			t.Errorf("%s: log in: %d %s", field, w.Code, w.Body)
		}
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.login(t, "alice")
	const body = `{"account": "alice", "password": "123456"}`
	for media, taken := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON": true, "application/json;": true,
		"": false, "text/plain": false, "text/json": false, "application/x-www-form-urlencoded": false, "application/jsonp": false,
		"application/problem+json": false, "json": false, ";": false, "application/json, text/plain": false,
	} {
		w := s.ask(http.MethodPost, "/Tim/UserLogin", strings.NewReader(body), "Content-Type", media)
		if taken {
			if w.Code != http.StatusOK {
				t.Errorf("%q: %d %s", media, w.Code, w.Body)
			}
			continue
		}
		problem(t, w, http.StatusUnsupportedMediaType, fault.UnsupportedMediaType, "Content-Type", "must be application/json")
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	body := func(size int) string {
		return `{"account": "alice", "password": "123456"` + strings.Repeat(" ", size-42) + "}"
	}
	s := newSite(t)
	s.login(t, "alice")
	if w := s.post("/Tim/UserLogin", body(bodyLimit)); w.Code != http.StatusOK {
		t.Errorf("at the limit: %d %s", w.Code, w.Body)
	}
	problem(t, s.post("/Tim/UserLogin", body(bodyLimit+1)), http.StatusRequestEntityTooLarge, fault.BodyTooLarge, "body", "must have at most 4096 bytes")
	// Without a token a body is bounded as it is sent, escapes included, however large the limit is.
	large := newSite(t, func(o *Options) { o.BodyLimit = 1 << 20 })
	token := large.login(t, "alice")
	if w := large.post("/Tim/UserLogin", body(openBody)); w.Code != http.StatusOK {
		t.Errorf("at the limit without a token: %d %s", w.Code, w.Body)
	}
	for name, text := range map[string]string{
		"one byte more": body(openBody + 1), "escapes": `{"account": "alice", "password": "123456", "x": "` + strings.Repeat(`\u0061`, openBody/6) + `"}`,
	} {
		if f := envelopeOf(t, large.post("/Tim/UserLogin", text)); f.Reason != api.Reason(fault.BodyTooLarge) {
			t.Errorf("%s: %v", name, f)
		}
	}
	message := `{"to": {"user": "bob"}, "clientId": "1", "body": {"kind": "text", "text": "` + strings.Repeat("x", openBody) + `"}}`
	if f := envelopeOf(t, large.post("/Tim/sendMessage", message, "token", token)); f.Reason == api.Reason(fault.BodyTooLarge) {
		t.Errorf("with a token: %v", f)
	}
	unlimited := newSite(t, func(o *Options) { o.BodyLimit = 0 })
	unlimited.login(t, "alice")
	if w := unlimited.post("/Tim/UserLogin", body(1<<20)); w.Code != http.StatusOK {
		t.Errorf("without a limit: %d %s", w.Code, w.Body)
	}
}

// A body that announces more than is taken is refused before any of it comes.
func TestBodyTooLargeByItsLength(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	for target, media := range map[string]string{
		"/Tim/UserLogin": "application/json", "/Tim/createGroup": "application/x-www-form-urlencoded", "/Tim/joinGroup": "multipart/form-data; boundary=b",
	} {
		r := httptest.NewRequest(http.MethodPost, target, iotest.ErrReader(errors.New("it is read")))
		r.ContentLength = 1 << 30
		r.Header.Set("Content-Type", media)
		r.Header.Set("token", token)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), string(fault.BodyTooLarge)) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// Every operation with a JSON body has a check: a body that passed the gate unchecked would be stored as it came.
func TestEveryJSONBodyIsChecked(t *testing.T) {
	t.Parallel()
	spec, err := loadSpec()
	must(t, err)
	operations := newGate(spec, anybody, bodyLimit, nil).operations
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			isJSON := o.RequestBody != nil && o.RequestBody.Value.Content.Get("application/json") != nil
			if checked := operations[route{method, echoRoute(path)}].body != nil; checked != isJSON {
				t.Errorf("%s: a JSON body: %t, checked: %t", o.OperationID, isJSON, checked)
			}
		}
	}
}

// Without a token the answer says nothing about what is wrong with the rest.
func TestTokenIsAskedForFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	for _, target := range []string{"/Tim/addFriend", "/Tim/addFriend?UserAccount=%zz", "/Tim/UserLogout", "/headpicurl", "/downloadmp3?filename=x"} {
		for bad, reason := range map[string]fault.Reason{"": fault.MissingToken, "x": fault.InvalidToken, token + "x": fault.InvalidToken} {
			w := s.get(target, "token", bad)
			f := envelopeOf(t, w)
			if w.Code != http.StatusUnauthorized || f.Code != fault.CodeNotAuthenticated || f.Reason != api.Reason(reason) || f.Message != "用户认证失败请查询登录" {
				t.Errorf("%s with %q: %d %s", target, bad, w.Code, w.Body)
			}
		}
	}
	for _, target := range []string{"/healthz", "/readyz", "/openapi.yaml", "/docs"} {
		if w := s.get(target, "token", "x"); w.Code != http.StatusOK {
			t.Errorf("%s needs no token: %d", target, w.Code)
		}
	}
	if w := s.post("/Tim/UserLogin", `{"account": "alice", "password": "123456"}`, "token", "x"); w.Code != http.StatusOK {
		t.Errorf("login ignores a token: %d %s", w.Code, w.Body)
	}
}

func TestRoutesAndMethodsThatAreNot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, tt := range []struct {
		method, target string
		reason         fault.Reason
	}{
		{"GET", "/nothing", fault.UnknownRoute},
		{"GET", "/Tim/", fault.UnknownRoute},
		{"GET", "/tim/userlogin", fault.UnknownRoute},
		{"GET", "/Tim/UserLogin//", fault.UnknownRoute},
		{"GET", "/Tim%2FUserLogin", fault.UnknownRoute},
		{"GET", "//Tim/UserLogin", fault.UnknownRoute},
		{"GET", "/docs/..%2f..%2fetc%2fpasswd", fault.UnknownRoute},
		{"GET", "/docs/passwd", fault.UnknownRoute},
		{"GET", "/Tim/UserLogin", fault.MethodNotAllowed},
		{"PUT", "/Tim/UserLogin", fault.MethodNotAllowed},
		{"POST", "/Tim/addFriend", fault.MethodNotAllowed},
		{"GET", "/uploadheadpic", fault.MethodNotAllowed},
		{"DELETE", "/healthz", fault.MethodNotAllowed},
		{"WHATEVER", "/healthz", fault.MethodNotAllowed},
	} {
		w := s.ask(tt.method, tt.target, nil)
		if f := envelopeOf(t, w); f.Reason != api.Reason(tt.reason) || w.Code != fault.New(tt.reason).Status() {
			t.Errorf("%s %s: %d %s", tt.method, tt.target, w.Code, w.Body)
		}
	}
}

func TestUploadsThatBreakOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	body, media := formOf(t, pngFile, "after", "the file")
	upload := func(body string) *httptest.ResponseRecorder {
		return s.ask(http.MethodPost, "/uploadchatpic", strings.NewReader(body), "token", token, "Content-Type", media)
	}
	if w := upload(body); w.Code != http.StatusOK {
		t.Fatalf("the whole form: %d %s", w.Code, w.Body)
	}
	for cut := strings.Index(body, pngFile) + len(pngFile); cut < len(strings.TrimSpace(body)); cut++ {
		if w := upload(body[:cut]); w.Code != http.StatusBadRequest || w.Body.String() != "上传失败" || w.Header().Get("Tim-Reason") != "malformed_upload" {
			t.Errorf("cut behind %q: %d %s", body[max(0, cut-20):cut], w.Code, w.Body)
		}
	}
}

// gateOf returns the gate alone, before a handler.
func gateOf(t testing.TB, route string, handler echo.HandlerFunc) *echo.Echo {
	t.Helper()
	spec, err := loadSpec()
	must(t, err)
	e := echo.New()
	s := &server{isUnavailable: func(error) bool { return false }, language: fault.English}
	e.HTTPErrorHandler = s.handleError
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			attach(c, &request{language: fault.English})
			return next(c)
		}
	}, newGate(spec, anybody, bodyLimit, nil).middleware)
	if handler != nil {
		e.POST(route, handler)
	}
	return e
}

// anybody accepts every token.
func anybody(context.Context, string) (auth.Session, error) {
	return auth.Session{Account: "alice"}, nil
}

// FuzzRegistration looks for a body that makes the gate panic, or say what it must not, or let something through to the
// handler that the spec doesn't allow.
func FuzzRegistration(f *testing.F) {
	for _, body := range []string{
		"", "{}", "null", "[]", `{"account": "bob", "password": "123456", "username": "Bob", "age": 20, "sex": "male"}`,
		`{"account": "bob", "password": "123456", "username": "Bob", "AGE": 999, "uſername": "\u0000"}`,
		`{"account": "bob", "password": "123456", "username": "Bob", "age": 1.50e1, "sex": null} `,
		`{"account": "bob", "account": 1, "password": "密码密码密码", "username": "\ud83d\ude00", "age": 1e400}`,
		"{\"account\": \"\xff\"}", `{"account": "e\u0301", "password": "123456\u0000", "username": "x"}`, `{"a":1}{}`, "\ufeff{}",
	} {
		f.Add([]byte(body))
	}
	var got *api.Registration
	e := gateOf(f, "/Tim/UserRegister", func(c echo.Context) error {
		got = new(api.Registration)
		if err := c.Bind(got); err != nil {
			return err
		}
		return c.NoContent(http.StatusOK)
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		got = nil
		r := httptest.NewRequest(http.MethodPost, "/Tim/UserRegister", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK:
			allowed(t, got)
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			if got != nil {
				t.Errorf("the gate let through what the handler can't read: %s", w.Body)
			}
			isClear(t, envelopeOf(t, w))
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// allowed fails the test unless the spec allows a registration.
func allowed(t *testing.T, r *api.Registration) {
	t.Helper()
	bad := func(s string, least, most int) bool {
		n := len([]rune(s))
		return n < least || n > most || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
	}
	account := []rune(r.Account)
	if bad(r.Account, 1, 64) || r.Account == "all" || !unicode.IsLetter(account[0]) && !unicode.IsNumber(account[0]) {
		t.Errorf("account %q", r.Account)
	}
	if bad(r.Password, 6, 72) || bad(r.Username, 1, 100) {
		t.Errorf("password %q, username %q", r.Password, r.Username)
	}
	if age := pointer(r.Age); age != nil && (*age < 0 || *age > 150) {
		t.Errorf("age %d", *age)
	}
	if sex := pointer(r.Sex); sex != nil && *sex != "male" && *sex != "female" {
		t.Errorf("sex %q", *sex)
	}
}

// FuzzQuery looks for a query that makes the gate panic, or that a handler reads otherwise than the gate.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"", "UserAccount=alice&GroupID=1", "UserAccount=a&GroupID=%31", "UserAccount=%00&GroupID=2147483648", "%zz", "a;b", "GroupID=1&GroupID=2", "UserAccount=%ff", "UserAccount=密&GroupID=+1"} {
		f.Add(query)
	}
	var account string
	var group int32
	e := gateOf(f, "/Tim/joinGroup", nil)
	api.RegisterHandlers(e, joinOnly{join: func(p api.JoinGroupParams) { account, group = p.UserAccount, p.GroupID }})
	f.Fuzz(func(t *testing.T, query string) {
		account, group = "", 0
		r := httptest.NewRequest(http.MethodPost, "/Tim/joinGroup", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK:
			values, err := url.ParseQuery(query)
			if err != nil || values.Get("UserAccount") != account || account == "" || group < 1 {
				t.Errorf("%q is read as %q and %d: %v", query, account, group, err)
			}
		case http.StatusBadRequest:
			if group != 0 {
				t.Error("refused behind the gate")
			}
			isClear(t, envelopeOf(t, w))
		default:
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	})
}

// joinOnly serves one operation of the spec, to show what the generated binding makes of a request.
type joinOnly struct {
	api.ServerInterface

	join func(api.JoinGroupParams)
}

func (j joinOnly) JoinGroup(c echo.Context, params api.JoinGroupParams) error {
	j.join(params)
	return c.NoContent(http.StatusOK)
}
