package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/client"
	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/fault"
)

// site is a running server with the clients that its tests share.
type site struct {
	*apptest.Server
	Settings app.Settings
	checked  *http.Client // each answer is compared with the spec
	plain    *http.Client // for answers that intentionally differ from the spec, as with TIM_ALWAYS_200
}

// start runs a server until the test ends.
func start(t testing.TB, mode apptest.Mode, flags ...string) *site {
	t.Helper()
	return serve(t, apptest.Settings(t, mode, flags...))
}

func serve(t testing.TB, settings app.Settings) *site {
	t.Helper()
	return prepare(t, apptest.Start(t, settings), settings)
}

// attach returns the site of a server that runs elsewhere.
func attach(t testing.TB, settings app.Settings, url string, log *apptest.Log) *site {
	t.Helper()
	return prepare(t, &apptest.Server{URL: url, Log: log}, settings)
}

func prepare(t testing.TB, server *apptest.Server, settings app.Settings) *site {
	t.Helper()
	s := &site{Server: server, Settings: settings}
	s.checked = s.HTTP(t)
	s.checked.Transport = noting{s.checked.Transport}
	s.plain = &http.Client{Transport: noting{http.DefaultTransport}, CheckRedirect: s.checked.CheckRedirect}
	return s
}

// inModes runs a group of tests on a server in each mode.
func inModes(t *testing.T, group func(t *testing.T, s *site), flags ...string) {
	t.Helper()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			group(t, start(t, mode, flags...))
		})
	}
}

// noting is a transport that records the reasons in the answers.
type noting struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := n.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if reason := response.Header.Get("Tim-Reason"); reason != "" {
		saw(fault.Reason(reason))
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	var failure struct {
		Reason fault.Reason `json:"reason"`
	}
	if json.Unmarshal(body, &failure) == nil && failure.Reason != "" {
		saw(failure.Reason)
	}
	return response, nil
}

// ask is a request. The method is GET unless there is a body; path includes the query.
type ask struct {
	method string
	path   string
	token  string
	header map[string]string
	json   string // a JSON body
	text   string // a body without a type, or with that of the header
	form   *form
	body   io.Reader // for one request only
	plain  bool      // don't check the answer against the spec
}

// answer is the answer to an ask.
type answer struct {
	status  int
	header  http.Header
	body    string
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Reason  string          `json:"reason"`
	Data    json.RawMessage `json:"data"`
}

// do sends a request and reads the answer.
func (s *site) do(t testing.TB, a ask) answer {
	t.Helper()
	response, err := s.send(t, a)
	if err != nil {
		t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	out := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") && strings.HasPrefix(out.body, "{") {
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatalf("%s %s: %v\n%s", a.method, a.path, err, body)
		}
	}
	return out
}

func (s *site) send(t testing.TB, a ask) (*http.Response, error) {
	t.Helper()
	body, kind := a.body, ""
	switch {
	case a.json != "":
		body, kind = strings.NewReader(a.json), "application/json"
	case a.text != "":
		body = strings.NewReader(a.text)
	case a.form != nil:
		body, kind = a.form.encode(t)
	}
	if a.method == "" {
		a.method = http.MethodGet
		if body != nil {
			a.method = http.MethodPost
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), a.method, s.URL+a.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if a.token != "" {
		r.Header.Set("token", a.token)
	}
	for name, value := range a.header {
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	if a.plain {
		return s.plain.Do(r)
	}
	return s.checked.Do(r)
}

// want is an expected refusal: its text in both languages, without what it says of a field.
type want struct {
	status int
	reason fault.Reason
	zh, en string
}

// refused sends a request in both languages and compares the answers.
func (s *site) refused(t *testing.T, a ask, w want) {
	t.Helper()
	for language, text := range map[string]string{"zh": w.zh, "en": w.en} {
		a.header = with(a.header, "Tim-Language", language)
		got := s.do(t, a)
		wantCode := fault.CodeFailure
		if w.status == http.StatusUnauthorized {
			wantCode = fault.CodeNotAuthenticated
		}
		if got.status != w.status || got.Code != wantCode || got.Reason != string(w.reason) {
			t.Errorf("%s %s: got %d %s, want %d, code %d, %s", a.method, a.path, got.status, got.body, w.status, wantCode, w.reason)
		}
		if wantText := text + about(t, got.Data, language); got.Message != wantText {
			t.Errorf("%s %s: %s: message %q, want %q", a.method, a.path, language, got.Message, wantText)
		}
		if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
			t.Errorf("%s %s: Content-Type %q", a.method, a.path, kind)
		}
	}
}

// about returns what a message says of the field that data names.
func about(t *testing.T, data json.RawMessage, language string) string {
	t.Helper()
	if data == nil {
		return ""
	}
	var problem struct {
		Field   string `json:"field"`
		Problem string `json:"problem"`
	}
	if err := json.Unmarshal(data, &problem); err != nil || problem.Field == "" || problem.Problem == "" {
		t.Errorf("data %s names no field or no problem", data)
	}
	colon := "："
	if language == "en" {
		colon = ": "
	}
	return colon + problem.Field + " " + problem.Problem
}

// succeeds sends a request in both languages, compares the answers' texts and returns the first answer. The request must bear
// repetition.
func (s *site) succeeds(t *testing.T, a ask, zh, en string) answer {
	t.Helper()
	first := s.succeedsOnce(t, a, zh)
	a.header = with(a.header, "Tim-Language", "en")
	s.succeedsOnce(t, a, en)
	return first
}

func (s *site) succeedsOnce(t *testing.T, a ask, text string) answer {
	t.Helper()
	got := s.do(t, a)
	if got.status != http.StatusOK || got.Code != http.StatusOK || got.Message != text || got.Reason != "" {
		t.Errorf("%s %s: got %d %s, want 200 %s", a.method, a.path, got.status, got.body, text)
	}
	return got
}

// refusedText is refused for the plain texts of the file routes.
func (s *site) refusedText(t *testing.T, a ask, w want) {
	t.Helper()
	for language, text := range map[string]string{"zh": w.zh, "en": w.en} {
		a.header = with(a.header, "Tim-Language", language)
		got := s.do(t, a)
		kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
		if got.status != w.status || got.body != text || kind != "text/plain" || got.header.Get("Tim-Reason") != string(w.reason) {
			t.Errorf("%s %s: got %d %q (%s, %s), want %d %q (%s)", a.method, a.path,
				got.status, got.body, kind, got.header.Get("Tim-Reason"), w.status, text, w.reason)
		}
	}
}

func with(header map[string]string, name, value string) map[string]string {
	out := make(map[string]string, len(header)+1)
	maps.Copy(out, header)
	out[name] = value
	return out
}

// client returns the generated client for a token.
func (s *site) client(t testing.TB, token string) *client.ClientWithResponses {
	t.Helper()
	c, err := client.NewClientWithResponses(s.URL, client.WithHTTPClient(tokenClient{s.checked, token}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type tokenClient struct {
	*http.Client
	token string
}

// Do sends the request with the token.
func (c tokenClient) Do(r *http.Request) (*http.Response, error) {
	if c.token != "" {
		r.Header.Set("token", c.token)
	}
	return c.Client.Do(r)
}

// query builds a path with parameters, given as names and values by turns.
func query(path string, parameters ...string) string {
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Add(parameters[i], parameters[i+1])
	}
	return path + "?" + values.Encode()
}

func encodeJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// user is a user as answers have it.
type user struct {
	ID           int64   `json:"id"`
	Username     string  `json:"username"`
	Account      string  `json:"account"`
	Sex          *string `json:"sex"`
	Age          int     `json:"age"`
	OnlineStatus int     `json:"onlineStatus"`
}

// register creates an account with apptest's password. Its display name is the account in capitals.
func (s *site) register(t testing.TB, account string) {
	t.Helper()
	s.registerAs(t, account, strings.ToUpper(account))
}

func (s *site) registerAs(t testing.TB, account, username string) {
	t.Helper()
	got := s.do(t, ask{path: "/Tim/UserRegister", json: encodeJSON(t, map[string]any{
		"account": account, "password": apptest.Password, "username": username,
	})})
	if got.status != http.StatusOK {
		t.Fatalf("register %q: %d %s", account, got.status, got.body)
	}
}

// login returns a new session's token.
func (s *site) login(t testing.TB, account string) string {
	t.Helper()
	return tokenOf(t, s.tryLogin(t, account, apptest.Password))
}

func (s *site) tryLogin(t testing.TB, account, password string) answer {
	t.Helper()
	return s.do(t, ask{path: "/Tim/UserLogin", json: encodeJSON(t, map[string]string{"account": account, "password": password})})
}

func tokenOf(t testing.TB, login answer) string {
	t.Helper()
	var data []struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(login.Data, &data); err != nil || len(data) != 2 || data[1].Token == "" {
		t.Fatalf("no token: %d %s", login.status, login.body)
	}
	return data[1].Token
}

// enter registers an account and logs it in.
func (s *site) enter(t testing.TB, account string) (token string) {
	t.Helper()
	s.register(t, account)
	return s.login(t, account)
}

// friends lists an account's friends.
func (s *site) friends(t testing.TB, token, account string) []user {
	t.Helper()
	got := s.do(t, ask{path: query("/Tim/getFriends", "account", account), token: token})
	var list []user
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != http.StatusOK || list == nil {
		t.Fatalf("friends of %s: %d %s, want an array", account, got.status, got.body)
	}
	return list
}

func (s *site) befriend(t testing.TB, token, account, friend string) {
	t.Helper()
	got := s.do(t, ask{path: query("/Tim/addFriend", "UserAccount", account, "FriendAccount", friend), token: token})
	if got.status != http.StatusOK {
		t.Fatalf("befriend %s and %s: %d %s", account, friend, got.status, got.body)
	}
}

// createGroup returns the new group's id.
func (s *site) createGroup(t testing.TB, token, account, name string) int32 {
	t.Helper()
	got := s.do(t, ask{method: http.MethodPost, path: query("/Tim/createGroup", "CreateUserAccount", account, "GroupName", name), token: token})
	var data struct {
		GroupID int32 `json:"GroupID"`
	}
	if err := json.Unmarshal(got.Data, &data); err != nil || data.GroupID == 0 {
		t.Fatalf("create group %q: %d %s", name, got.status, got.body)
	}
	return data.GroupID
}

func diff(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
