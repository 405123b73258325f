package fault_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/internal/fault"
)

// The table and the spec must have the same reasons: the spec must list every reason that is served, and no other.
func TestTableIsTheSpecs(t *testing.T) {
	t.Parallel()
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	var promised []fault.Reason
	listed, _ := spec.Components.Schemas["Reason"].Value.Extensions["x-extensible-enum"].([]any)
	for _, r := range listed {
		promised = append(promised, fault.Reason(r.(string)))
	}
	slices.Sort(promised)
	if diff := cmp.Diff(promised, fault.Reasons()); diff != "" {
		t.Errorf("reasons of the spec (-) and of the table (+):\n%s", diff)
	}
}

func TestEveryReasonHasBothTexts(t *testing.T) {
	t.Parallel()
	for _, r := range fault.Reasons() {
		f := fault.New(r)
		if f.Status() < 400 || http.StatusText(f.Status()) == "" {
			t.Errorf("%s: status %d is no refusal", r, f.Status())
		}
		text := f.Text("")
		if text.In(fault.Chinese) == "" || text.In(fault.English) == "" {
			t.Errorf("%s: a text is missing: %+v", r, text)
		}
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	secret := errors.New("dsn with a password")
	tests := []struct {
		name string
		err  error
		want fault.Reason
	}{
		{"a fault", fault.New(fault.UnknownGroup), fault.UnknownGroup},
		{"a wrapped fault", fmt.Errorf("join: %w", fault.New(fault.UnknownGroup)), fault.UnknownGroup},
		{"anything else", secret, fault.Internal},
	}
	for _, tt := range tests {
		f := fault.From(tt.err)
		if f.Reason != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, f.Reason, tt.want)
		}
	}
	if f := fault.From(secret); !errors.Is(f, secret) || f.Text("").English == secret.Error() {
		t.Errorf("an unknown error must stay for the log and out of the text: %v", f)
	}
}

func TestErrorIsForTheLog(t *testing.T) {
	t.Parallel()
	cause := errors.New("EOF")
	for want, f := range map[string]*fault.Fault{
		"unknown_group":                       fault.New(fault.UnknownGroup),
		"invalid_body: age: must be a number": fault.Invalid(fault.InvalidBody, "age", "must be a number"),
		"malformed_upload: EOF":               fault.Wrap(fault.MalformedUpload, cause),
		"too_many_attempts":                   fault.Retry(fault.TooManyAttempts, time.Second),
	} {
		if f.Error() != want {
			t.Errorf("got %q, want %q", f.Error(), want)
		}
		for _, language := range []fault.Language{fault.Chinese, fault.English, ""} {
			if text := f.Text("").In(language); strings.Contains(text, "EOF") {
				t.Errorf("the text shows the cause: %s", text)
			}
		}
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	f := fault.New(fault.UnknownGroup)
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{f, true},
		{fmt.Errorf("join: %w", f), true},
		{errors.Join(errors.New("close"), f), true},
		{fault.New(fault.UnknownAccount), false},
		{fault.Wrap(fault.Internal, f), false}, // the outermost fault counts
		{errors.New("unknown_group"), false},
		{nil, false},
	} {
		if got := fault.Is(tt.err, fault.UnknownGroup); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

// The envelope's code has only the values of Tim.md.
func TestCodes(t *testing.T) {
	t.Parallel()
	for _, reason := range fault.Reasons() {
		f, want := fault.New(reason), int32(500)
		if f.Status() == http.StatusUnauthorized {
			want = 401
		}
		if f.Code() != want {
			t.Errorf("%s: code %d with status %d", reason, f.Code(), f.Status())
		}
	}
	for _, reason := range []fault.Reason{fault.MissingToken, fault.InvalidToken, fault.ExpiredToken, fault.SessionEnded} {
		if text := fault.New(reason).Text("addFriend").Chinese; text != "用户认证失败请查询登录" {
			t.Errorf("%s: %s", reason, text)
		}
	}
}

// The texts that Tim.md has for single operations.
func TestTextsOfTheDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason          fault.Reason
		operation, want string
	}{
		{fault.WrongCredentials, "userLogin", "用户名或密码错误"},
		{fault.AccountTaken, "userRegister", "此账号已存在"},
		{fault.UnknownAccount, "addFriend", "添加用户失败，查看用户账号是否正确"},
		{fault.UnknownAccount, "deleteFriend", "删除用户失败，查看用户账号是否正确"},
		{fault.UnknownAccount, "", "账号不存在"},
		{fault.UnknownGroup, "joinGroup", "加入群聊错误"},
		{fault.UnknownGroup, "leaveGroup", "退出群聊错误"},
		{fault.NotInGroup, "leaveGroup", "退出群聊错误"},
		{fault.GroupNameTaken, "createGroup", "创建失败"},
		{fault.UnsupportedFileType, "uploadHeadPic", "上传图片类型jpg/png/bmp"},
		{fault.UnsupportedFileType, "uploadChatPic", "上传图片类型jpg/png/bmp"},
		{fault.UnsupportedFileType, "uploadMp3", "上传文件类型mp3"},
		{fault.UnsupportedFileType, "uploadMp4", "上传文件类型mp4"},
		{fault.UnknownFile, "downloadMp4", "下载失败"},
	} {
		if got := fault.New(tt.reason).Text(tt.operation).Chinese; got != tt.want {
			t.Errorf("%s of %q: %s, want %s", tt.reason, tt.operation, got, tt.want)
		}
	}
}

// A reason that isn't in the table, which is a mistake in the code, shows nothing of itself.
func TestUnknownReason(t *testing.T) {
	t.Parallel()
	f := fault.New("mistake")
	if f.Status() != http.StatusInternalServerError || f.Text("") != fault.New(fault.Internal).Text("") {
		t.Errorf("%d %v", f.Status(), f.Text(""))
	}
}
