package rest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	apispec "tim/api"
	"tim/gen/api"
)

// wordless lists the operations whose success is data, a document or a page, without a text in any language.
func wordless() []string {
	return []string{
		"getFriends", "headPicUrl", "avatar", "uploadChatPic", "downloadChatPic", "uploadMp3", "downloadMp3", "uploadMp4", "downloadMp4",
		"index", "docs", "docsAsset", "openapiYaml", "openapiJson", "apiOpenapiYaml", "apiFramesYaml", "asyncapiYaml",
	}
}

func TestSuccessesInBothLanguages(t *testing.T) {
	t.Parallel()
	steps := []struct{ operation, chinese, english string }{
		{"userRegister", "注册成功", "registered"},
		{"userLogin", "登录成功", "logged in"},
		{"addFriend", "添加好友成功", "friend added"},
		{"getProfile", "ok", "ok"},
		{"findUsers", "ok", "ok"},
		{"updateProfile", "修改成功", "changed"},
		{"changePassword", "修改成功", "changed"},
		{"renewToken", "ok", "ok"},
		{"getSessions", "ok", "ok"},
		{"endSession", "退出成功", "logged out"},
		{"endOtherSessions", "退出成功", "logged out"},
		{"sendMessage", "发送成功", "sent"},
		{"getHistory", "ok", "ok"},
		{"getConversations", "ok", "ok"},
		{"markRead", "ok", "ok"},
		{"markReceived", "ok", "ok"},
		{"createGroup", "创建成功", "group created"},
		{"joinGroup", "加入群聊成功", "group joined"},
		{"addMember", "添加成员成功", "member added"},
		{"getGroups", "ok", "ok"},
		{"getGroupMembers", "ok", "ok"},
		{"removeMember", "移除成员成功", "member removed"},
		{"transferGroup", "转让群聊成功", "group handed over"},
		{"dissolveGroup", "解散群聊成功", "group dissolved"},
		{"deleteFriend", "删除好友成功", "friend deleted"},
		{"leaveGroup", "退出群聊成功", "group left"},
		{"uploadHeadPic", "上传成功", "uploaded"},
		{"healthz", "ok", "ok"},
		{"readyz", "ok", "ok"},
		{"userLogout", "退出成功", "logged out"},
	}
	for language, text := range map[string]func(chinese, english string) string{
		"zh": func(chinese, _ string) string { return chinese }, "en": func(_, english string) string { return english },
	} {
		s := newSite(t)
		s.login(t, "bob")
		token := s.login(t, "alice")
		covered := wordless()
		for _, step := range steps {
			covered = append(covered, step.operation)
			if got, want := said(t, s, step.operation, token, language), text(step.chinese, step.english); got != want {
				t.Errorf("%s in %s: %q, want %q", step.operation, language, got, want)
			}
		}
		spec, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
		must(t, err)
		var promised []string
		for _, item := range spec.Paths.Map() {
			for o := range maps.Values(item.Operations()) {
				promised = append(promised, o.OperationID)
			}
		}
		slices.Sort(promised)
		slices.Sort(covered)
		same(t, "operations of the spec (-) and tried here (+)", promised, covered)
	}
}

// said calls an operation that succeeds and returns its message.
func said(t *testing.T, s *site, operation, token, language string) string {
	t.Helper()
	headers := []string{"token", token, "Tim-Language", language}
	form, media := formOf(t, pngFile, "username", "alice")
	var w *httptest.ResponseRecorder
	switch operation {
	case "userRegister":
		w = s.post("/Tim/UserRegister", `{"account": "carol", "password": "123456", "username": "Carol"}`, headers...)
	case "userLogin":
		w = s.post("/Tim/UserLogin", `{"account": "alice", "password": "123456"}`, headers...)
	case "userLogout":
		w = s.get("/Tim/UserLogout", headers...)
	case "updateProfile":
		w = s.post("/Tim/updateProfile", `{"age": 20}`, headers...)
	case "changePassword":
		w = s.post("/Tim/changePassword", `{"oldPassword": "123456", "newPassword": "123456"}`, headers...)
	case "sendMessage":
		w = s.post("/Tim/sendMessage", `{"to": {"user": "bob"}, "clientId": "1", "body": {"kind": "text", "text": "hello"}}`, headers...)
	case "uploadHeadPic":
		w = s.ask(http.MethodPost, "/uploadheadpic", strings.NewReader(form), append(headers, "Content-Type", media)...)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", operation, w.Code, w.Body)
		}
		return w.Body.String()
	case "healthz", "readyz":
		w = s.get("/"+operation, headers...)
	default:
		w = s.parametric(operation, headers...)
	}
	var answer api.Done
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Code != http.StatusOK {
		t.Errorf("%s: %d %s", operation, w.Code, w.Body)
	}
	return answer.Message
}

// parametric calls an operation, as alice, that takes only parameters.
func (s *site) parametric(operation string, headers ...string) *httptest.ResponseRecorder {
	method, parameters := http.MethodPost, "?UserAccount=alice&GroupID=1"
	switch operation {
	case "addFriend", "deleteFriend":
		method, parameters = http.MethodGet, "?UserAccount=alice&FriendAccount=bob"
	case "getProfile", "getSessions", "getConversations", "getGroups":
		method, parameters = http.MethodGet, "?account=alice"
	case "findUsers":
		method, parameters = http.MethodGet, "?keyword=b"
	case "getHistory":
		method, parameters = http.MethodGet, "?account=alice&FriendAccount=bob"
	case "getGroupMembers":
		method, parameters = http.MethodGet, "?account=alice&GroupID=1"
	case "endSession":
		parameters = "?UserAccount=alice&session=x"
	case "markRead", "markReceived":
		parameters = "?UserAccount=alice&FriendAccount=bob&seq=1"
	case "createGroup":
		parameters = "?CreateUserAccount=alice&GroupName=climbers"
	case "addMember", "removeMember":
		parameters += "&MemberAccount=bob"
	case "transferGroup":
		s.ask(http.MethodPost, "/Tim/addMember"+parameters+"&MemberAccount=bob", nil, headers...)
		parameters += "&MemberAccount=bob"
	case "dissolveGroup":
		s.ask(http.MethodPost, "/Tim/createGroup?CreateUserAccount=alice&GroupName=another", nil, headers...)
		parameters = "?UserAccount=alice&GroupID=2"
	}
	return s.ask(method, "/Tim/"+operation+parameters, nil, headers...)
}

func TestNoAnswerCarriesAPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.login(t, "bob")
	token := s.login(t, "alice")
	s.get("/Tim/addFriend?UserAccount=alice&FriendAccount=bob", "token", token)
	for _, w := range []*httptest.ResponseRecorder{
		s.post("/Tim/UserRegister", `{"account": "carol", "password": "123456", "username": "Carol"}`),
		s.post("/Tim/UserLogin", `{"account": "alice", "password": "123456"}`),
		s.get("/Tim/getFriends?account=alice", "token", token),
	} {
		if text := w.Body.String(); w.Code != http.StatusOK || strings.Contains(text, "assword") || strings.Contains(text, "$2a$") || strings.Contains(text, `"123456"`) {
			t.Errorf("%d %s", w.Code, text)
		}
	}
}

func TestFilesUpAndDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	form, media := formOf(t, pngFile)
	up := s.ask(http.MethodPost, "/uploadchatpic", strings.NewReader(form), "token", token, "Content-Type", media)
	name := up.Body.String()
	down := s.get("/downloadchatpic?filename="+name, "token", token)
	same(t, "the download", []string{pngFile, "application/force-download", `attachment; filename="` + name + `.jpg"`, "nosniff"},
		[]string{down.Body.String(), down.Header().Get("Content-Type"), down.Header().Get("Content-Disposition"), down.Header().Get("X-Content-Type-Options")})
	part := s.get("/downloadchatpic?filename="+name, "token", token, "Range", "bytes=1-3")
	if part.Code != http.StatusPartialContent || part.Body.String() != "PNG" {
		t.Errorf("a range: %d %q", part.Code, part.Body)
	}
	outside := s.get("/downloadchatpic?filename="+name, "token", token, "Range", "bytes=9999-")
	if f := envelopeOf(t, outside); f.Reason != "range_not_satisfiable" || outside.Header().Get("Content-Disposition") != "" {
		t.Errorf("a range outside: %d %v %s", outside.Code, outside.Header(), outside.Body)
	}
	if again := s.get("/downloadchatpic?filename="+name, "token", token, "If-None-Match", down.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("once more: %d", again.Code)
	}
}

func TestAvatarLinkNeedsNoToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "a@b")
	form, media := formOf(t, pngFile, "username", "A@B")
	if w := s.ask(http.MethodPost, "/uploadheadpic", strings.NewReader(form), "token", token, "Content-Type", media); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	link := s.get("/headpicurl?username=a%40b", "token", token).Body.String()
	path, ok := strings.CutPrefix(link, "http://example.com/avatar/a@b?expires=")
	if !ok {
		t.Fatalf("the link is %s", link)
	}
	w := s.get("/avatar/a@b?expires=" + path)
	if w.Code != http.StatusOK || w.Body.String() != pngFile || w.Header().Get("Content-Type") != "image/png" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := s.get("/avatar/a%40b?expires=" + path); w.Code != http.StatusOK {
		t.Errorf("escaped: %d %s", w.Code, w.Body)
	}
	if w := s.get("/avatar/other?expires=" + path); w.Code != http.StatusForbidden {
		t.Errorf("somebody else's: %d %s", w.Code, w.Body)
	}
}

func TestDocumentsAreServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for target, want := range map[string]string{
		"/openapi.yaml": "openapi: 3.0.3", "/api/openapi.yaml": "openapi: 3.0.3", "/api/frames.yaml": "openapi: 3.0.3",
		"/asyncapi.yaml": "asyncapi: ", "/openapi.json": `"openapi":"3.0.3"`, "/docs": "swagger-ui", "/docs/swagger-ui.css": ".swagger-ui",
	} {
		if w := s.get(target); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %.100s", target, w.Code, w.Body)
		}
	}
	if w := s.get("/"); w.Code != http.StatusFound || w.Header().Get("Location") != "docs" {
		t.Errorf("/: %d %v", w.Code, w.Header())
	}
	if w := s.get("/openapi.json"); strings.Contains(w.Body.String(), "UserRegisterJSONBody") || !json.Valid(w.Body.Bytes()) {
		t.Error("the JSON document is not the spec")
	}
}
