package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	apispec "tim/api"
	"tim/gen/api"
	"tim/internal/fault"
)

// failing adds one route to the real ones, which ends as it is told.
func failing(t *testing.T, end func(c echo.Context) error, change ...func(*Options)) *site {
	t.Helper()
	s := newSite(t, change...)
	s.GET("/failing", end)
	return s
}

var errSecret = errors.New("dial tcp 10.0.0.7: user:password@tcp")

func TestEveryErrorIsAnAnswer(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	for _, tt := range []struct {
		name  string
		err   error
		want  fault.Reason
		after string // Retry-After
	}{
		{"a fault", fault.New(fault.UnknownGroup), fault.UnknownGroup, ""},
		{"a wrapped one", fmt.Errorf("join: %w", fault.New(fault.UnknownGroup)), fault.UnknownGroup, ""},
		{"one to wait for", fault.Retry(fault.TooManyAttempts, 1500*time.Millisecond), fault.TooManyAttempts, "2"},
		{"anything else", errSecret, fault.Internal, ""},
		{"the database", fmt.Errorf("send: %w", away), fault.Unavailable, "1"},
		{"the disk is full", fmt.Errorf("send: %w", syscall.ENOSPC), fault.StorageFull, ""},
		{"the deadline", fmt.Errorf("send: %w", context.DeadlineExceeded), fault.Unavailable, "1"},
		{"the client left", context.Canceled, fault.Unavailable, "1"},
		{"no route", echo.ErrNotFound, fault.UnknownRoute, ""},
		{"no such method", echo.ErrMethodNotAllowed, fault.MethodNotAllowed, ""},
		{"generated binding", echo.NewHTTPError(http.StatusBadRequest, "Invalid format for parameter"), fault.InvalidParameter, ""},
		{"another of echo's", echo.ErrTeapot, fault.Internal, ""},
		{"no form", http.ErrNotMultipart, fault.UnsupportedMediaType, ""},
		{"a form without boundary", fmt.Errorf("upload: %w", http.ErrMissingBoundary), fault.UnsupportedMediaType, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := failing(t, func(echo.Context) error { return tt.err }, func(o *Options) {
				o.IsUnavailable = func(err error) bool { return errors.Is(err, away) }
			})
			w := s.get("/failing")
			f := envelopeOf(t, w)
			if f.Reason != api.Reason(tt.want) || w.Code != fault.New(tt.want).Status() || w.Header().Get("Retry-After") != tt.after {
				t.Errorf("%d, retry after %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
			if strings.Contains(w.Body.String(), "10.0.0.7") || strings.Contains(w.Body.String(), "Invalid format") {
				t.Errorf("shows what only the log may: %s", w.Body)
			}
			if w.Code >= 500 != strings.Contains(s.log.String(), "request failed") || !strings.Contains(s.log.String(), tt.err.Error()) && w.Code >= 500 {
				t.Errorf("the log: %s", s.log)
			}
			if id := w.Header().Get("Tim-Request-Id"); id == "" || !strings.Contains(s.log.String(), "request="+id) {
				t.Errorf("request %q is not in the log: %s", id, s.log)
			}
		})
	}
}

func TestPanicIsAnAnswerAndTheServerLivesOn(t *testing.T) {
	t.Parallel()
	s := failing(t, func(echo.Context) error { panic("a secret") })
	w := s.get("/failing")
	if f := envelopeOf(t, w); w.Code != http.StatusInternalServerError || f.Reason != "internal" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if log := s.log.String(); !strings.Contains(log, "a secret") || !strings.Contains(log, "errors_test.go") {
		t.Errorf("the log doesn't say where: %s", log)
	}
	if w := s.get("/healthz"); w.Code != http.StatusOK {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestAnswerThatBroke(t *testing.T) {
	t.Parallel()
	s := failing(t, func(c echo.Context) error {
		if err := c.String(http.StatusOK, "half of"); err != nil {
			return err
		}
		return errSecret
	})
	if w := s.get("/failing"); w.Code != http.StatusOK || w.Body.String() != "half of" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(s.log.String(), "broke off") {
		t.Errorf("the log: %s", s.log)
	}
}

// Neither the query nor the header token gets into the log.
func TestNoTokenInTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	s.get("/websocket/alice?token="+token, "token", token)
	s.get("/Tim/getFriends?account=alice&token="+token, "token", token)
	s.get("/Tim/getFriends?account=%zz&token="+token, "token", token+"x", "Referer", "http://x/?token="+token)
	if log := s.log.String(); strings.Contains(log, token) || strings.Contains(log, token[len(token)-20:]) || !strings.Contains(log, "account=alice") {
		t.Errorf("the log: %s", log)
	}
}

func TestWhichFailuresAreText(t *testing.T) {
	t.Parallel()
	uploads := []string{"uploadHeadPic", "uploadChatPic", "uploadMp3", "uploadMp4"}
	downloads := []string{"downloadChatPic", "downloadMp3", "downloadMp4"}
	others := []string{"", "userLogin", "addFriend", "avatar", "healthz", "docs"}
	text := map[fault.Reason][]string{
		fault.MalformedUpload: uploads, fault.FileTooLarge: uploads, fault.UnsupportedFileType: uploads, fault.UnsupportedMediaType: uploads,
		fault.QuotaExceeded: uploads, fault.StorageFull: uploads, fault.RequestTimeout: uploads, fault.UnsupportedEncoding: uploads,
		fault.Unavailable: slices.Concat(uploads, downloads), fault.Internal: slices.Concat(uploads, downloads),
		fault.UnknownAccount: {"headPicUrl"}, fault.NoAvatar: {"headPicUrl"},
	}
	spec, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
	must(t, err)
	kinds := make(map[string]textFailures)
	for _, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			kinds[o.OperationID] = traitsOf(o, method).textFailures
		}
	}
	for _, reason := range fault.Reasons() {
		if reason == fault.UnknownFile { // which only downloads return
			continue
		}
		for _, operation := range slices.Concat(uploads, downloads, others, []string{"headPicUrl"}) {
			if got, want := kinds[operation].has(reason), slices.Contains(text[reason], operation); got != want {
				t.Errorf("%s of %q as text: %v, want %v", reason, operation, got, want)
			}
		}
	}
}

// A trait, or a value of a trait, that the server doesn't know is a mistake in the spec.
func TestUnknownTraits(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{
		"x-tim-rate-limited": "yes", "x-tim-text-failures": "uploads", "x-tim-ratelimited": true, "x-tim-text-failure": "upload",
	} {
		o := &openapi3.Operation{Extensions: map[string]any{"x-others": 1, name: value}}
		spec := &openapi3.T{Paths: openapi3.NewPaths(openapi3.WithPath("/x", &openapi3.PathItem{Get: o}))}
		if err := checkTraits(spec); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v is accepted: %v", name, value, err)
		}
	}
}

func TestTextsOfFileRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.login(t, "alice")
	page, media := formOf(t, "<html>", "username", "alice")
	picture, pictureMedia := formOf(t, pngFile, "username", "bob")
	large, largeMedia := formOf(t, pngFile+strings.Repeat("x", 1<<20))
	none, noneMedia := "--x--\r\n", "multipart/form-data; boundary=x"
	for _, tt := range []struct {
		name, target, body, media string
		status                    int
		reason, chinese, english  string
	}{
		{"a page as avatar", "/uploadheadpic", page, media, 415, "unsupported_file_type", "上传图片类型jpg/png/bmp", "the picture must be jpg, png or bmp"},
		{"a page as picture", "/uploadchatpic", page, media, 415, "unsupported_file_type", "上传图片类型jpg/png/bmp", "the picture must be jpg, png or bmp"},
		{"a picture as music", "/uploadmp3", picture, pictureMedia, 415, "unsupported_file_type", "上传文件类型mp3", "the file must be mp3"},
		{"a picture as video", "/uploadmp4", picture, pictureMedia, 415, "unsupported_file_type", "上传文件类型mp4", "the file must be mp4"},
		{"too large", "/uploadchatpic", large, largeMedia, 413, "file_too_large", "上传失败", "upload failed"},
		{"no file", "/uploadmp3", none, noneMedia, 400, "malformed_upload", "上传失败", "upload failed"},
		{"no form", "/uploadmp4", "{}", "application/json", 415, "unsupported_media_type", "上传失败", "upload failed"},
		{"no type", "/uploadmp4", "{}", "", 415, "unsupported_media_type", "上传失败", "upload failed"},
		{"no boundary", "/uploadheadpic", "{}", "multipart/form-data", 415, "unsupported_media_type", "上传失败", "upload failed"},
		{"no such picture", "/downloadchatpic?filename=x", "", "", 404, "unknown_file", "下载失败", "download failed: no such file"},
		{"no such music", "/downloadmp3?filename=../x", "", "", 404, "unknown_file", "下载失败", "download failed: no such file"},
		{"a NUL in the name", "/downloadmp4?filename=%00", "", "", 404, "unknown_file", "下载失败", "download failed: no such file"},
		{"no such avatar", "/headpicurl?username=alice", "", "", 404, "no_avatar", "", ""},
		{"nobody's avatar", "/headpicurl?username=nobody", "", "", 404, "unknown_account", "", ""},
	} {
		for language, want := range map[string]string{"": tt.chinese, "en": tt.english, "fr": tt.chinese} {
			method := http.MethodGet
			if tt.body != "" {
				method = http.MethodPost
			}
			w := s.ask(method, tt.target, strings.NewReader(tt.body), "token", token, "Content-Type", tt.media, "Tim-Language", language)
			got := []any{w.Code, w.Header().Get("Tim-Reason"), w.Body.String(), w.Header().Get("X-Content-Type-Options")}
			same(t, tt.name, []any{tt.status, tt.reason, want, "nosniff"}, got)
			if media := w.Header().Get("Content-Type"); !strings.HasPrefix(media, "text/plain") {
				t.Errorf("%s: sent as %q", tt.name, media)
			}
		}
	}
	// Failures that concern rights and parameters are envelopes there too.
	w := s.ask(http.MethodPost, "/uploadheadpic", strings.NewReader(picture), "token", token, "Content-Type", pictureMedia)
	if f := envelopeOf(t, w); f.Reason != "not_your_account" || w.Header().Get("Tim-Reason") != "" {
		t.Errorf("somebody else's name: %d %s", w.Code, w.Body)
	}
	if f := envelopeOf(t, s.get("/downloadmp3", "token", token)); f.Reason != "invalid_parameter" {
		t.Errorf("no name: %+v", f)
	}
}

func TestAlways200(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Options) { o.Always200 = true; o.Ready = notReady })
	token := s.login(t, "alice")
	picture, media := formOf(t, pngFile)
	upload := s.ask(http.MethodPost, "/uploadchatpic", strings.NewReader(picture), "token", token, "Content-Type", media)
	for _, tt := range []struct {
		name   string
		answer *httptest.ResponseRecorder
		status int
	}{
		{"no token", s.get("/Tim/UserLogout"), 200},
		{"wrong credentials", s.post("/Tim/UserLogin", `{"account": "alice", "password": "x"}`), 200},
		{"malformed", s.post("/Tim/UserLogin", `{`), 200},
		{"no such group", s.ask("POST", "/Tim/joinGroup?UserAccount=alice&GroupID=1", nil, "token", token), 200},
		{"no file", s.get("/downloadmp3?filename=x", "token", token), 200},
		{"no avatar", s.get("/headpicurl?username=alice", "token", token), 200},
		{"no token at a file route", s.get("/downloadmp3?filename=x"), 200},
		{"a range", s.get("/downloadchatpic?filename="+upload.Body.String(), "token", token, "Range", "bytes=0-3"), 206},
		{"no range", s.get("/downloadchatpic?filename="+upload.Body.String(), "token", token, "Range", "bytes=9999-"), 416},
		{"no link", s.get("/avatar/alice?expires=1&signature=x"), 403},
		{"no route", s.get("/nothing"), 200},
		{"health", s.get("/readyz"), 503},
	} {
		if tt.answer.Code != tt.status {
			t.Errorf("%s: %d %s", tt.name, tt.answer.Code, tt.answer.Body)
		}
	}
}

func notReady(context.Context) (map[string]string, bool) {
	return map[string]string{"database": "unreachable"}, false
}
