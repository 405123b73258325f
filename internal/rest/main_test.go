package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"tim/gen/api"
	"tim/internal/auth"
	"tim/internal/blob"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/files"
	"tim/internal/store"
	"tim/internal/web"
)

// site is the REST API over real stores in a folder.
type site struct {
	*echo.Echo

	auth *auth.Auth
	log  *bytes.Buffer
}

const bodyLimit = 4096

func newSite(t testing.TB, change ...func(*Options)) *site {
	t.Helper()
	folder := t.TempDir()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(folder, "tim.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, err = db.Migrate(t.Context())
	must(t, err)
	dir, err := blob.NewDir(filepath.Join(folder, "files"))
	must(t, err)
	t.Cleanup(func() { must(t, dir.Close()) })
	passwords, err := auth.NewPasswords(4)
	must(t, err)
	s := &site{log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	key := []byte("a key for tests, of more than 32 bytes")
	s.auth = auth.New(auth.Options{
		DB: db, Passwords: passwords, Key: key, Log: log,
		Failures: auth.Failures{PerPair: cluster.NewMemory(cluster.Options{}).Limit("test", 5, auth.AccountRefill)},
		Ended:    func(context.Context, string, string, fault.Reason) error { return nil },
	})
	service := chat.New(chat.Options{
		DB: db, Admit: auth.Registrations{Passwords: passwords}.Admit, HashPassword: auth.Registrations{Passwords: passwords}.Hash, Lanes: 1, VisibleLimit: 200,
		Notify: func(context.Context, chat.Event) {},
		Online: func(_ context.Context, accounts []string) []bool { return make([]bool, len(accounts)) },
	})
	t.Cleanup(service.Close)
	docs, err := web.Docs()
	must(t, err)
	o := Options{
		Chat: service, Auth: s.auth, Docs: docs, IsFull: store.IsFull, IsUnavailable: store.IsUnavailable, BodyLimit: bodyLimit, Log: log,
		Files:    files.New(files.Options{Store: dir, DB: db, Log: log, Zone: time.UTC, LinkKey: key, PictureLimit: 1 << 20}),
		Ready:    func(context.Context) (map[string]string, bool) { return map[string]string{"database": "ok"}, true },
		Draining: t.Context(), Metrics: prometheus.NewRegistry(), Language: fault.Chinese,
	}
	for _, c := range change {
		c(&o)
	}
	s.Echo, err = New(o)
	must(t, err)
	return s
}

// ask sends one request and returns the answer. headers are names and values by turns.
func (s *site) ask(method, target string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *site) get(target string, headers ...string) *httptest.ResponseRecorder {
	return s.ask(http.MethodGet, target, nil, headers...)
}

func (s *site) post(target, body string, headers ...string) *httptest.ResponseRecorder {
	return s.ask(http.MethodPost, target, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

// login registers an account and returns a token.
func (s *site) login(t testing.TB, account string) string {
	t.Helper()
	credentials := `{"account": "` + account + `", "password": "123456"`
	if w := s.post("/Tim/UserRegister", credentials+`, "username": "`+strings.ToUpper(account)+`"}`); w.Code != http.StatusOK {
		t.Fatalf("register: %d %s", w.Code, w.Body)
	}
	return s.again(t, account)
}

// again logs a registered account in and returns a token.
func (s *site) again(t testing.TB, account string) string {
	t.Helper()
	w := s.post("/Tim/UserLogin", `{"account": "`+account+`", "password": "123456"}`)
	var answer api.LoginDone
	must(t, json.Unmarshal(w.Body.Bytes(), &answer))
	return *answer.Data[1].Token
}

// envelopeOf reads a refusal.
func envelopeOf(t testing.TB, w *httptest.ResponseRecorder) api.Failure {
	t.Helper()
	var f api.Failure
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Code == 0 || f.Message == "" || f.Reason == "" {
		t.Fatalf("%d is no envelope: %v\n%s", w.Code, err, w.Body)
	}
	if media := w.Header().Get("Content-Type"); !strings.HasPrefix(media, "application/json") {
		t.Errorf("the envelope is sent as %q", media)
	}
	return f
}

// formOf returns a form with a file and fields, and its Content-Type.
func formOf(t testing.TB, file string, fields ...string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", "x.png")
	must(t, err)
	_, err = io.WriteString(part, file)
	must(t, err)
	for i := 0; i < len(fields); i += 2 {
		must(t, w.WriteField(fields[i], fields[i+1]))
	}
	must(t, w.Close())
	return b.String(), w.FormDataContentType()
}

const pngFile = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
