// Package apptest runs whole servers for tests: embedded, or on real MariaDB, Redis and MinIO. Every REST answer that its clients
// receive is checked against api/openapi.yaml. A test package that uses it needs a TestMain that
// calls testserver.Main.
package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"tim/gen/api"
	"tim/gen/client"
	"tim/internal/app"
	"tim/internal/testserver"
)

// Mode is what a server runs on.
type Mode string

// The modes.
const (
	Embedded Mode = "embedded"
	Servers  Mode = "servers" // MariaDB, Redis and MinIO
)

// Modes returns all modes, for tests that must pass in each. Where tests run without servers (see package testserver) it returns
// Embedded alone.
func Modes() []Mode {
	if !testserver.Available() {
		return []Mode{Embedded}
	}
	return []Mode{Embedded, Servers}
}

// Settings returns a test's settings for a mode: a free port, cheap passwords, no limit on registrations, no admin listener, and for Servers a
// fresh database, Redis and bucket. flags override, as on the command line.
func Settings(t testing.TB, mode Mode, flags ...string) app.Settings {
	t.Helper()
	args := []string{"--listen=127.0.0.1:0", "--admin-listen=", "--bcrypt-cost=4", "--limit-registrations=0", "--data-dir=" + t.TempDir(), "--drain-timeout=5s"}
	if mode == Servers {
		s3 := testserver.MinIO(t)
		args = append(args, "--mysql-dsn="+testserver.Database(t), "--redis-url="+testserver.Redis(t),
			"--jwt-key=for tests alone: Jx4 Bn8 Ty2 Wd5 Qz7", "--s3-endpoint=http://"+s3.Endpoint,
			"--s3-access-key="+s3.AccessKey, "--s3-secret-key="+s3.SecretKey, "--s3-bucket="+s3.Bucket)
	}
	var settings app.Settings
	parser, err := kong.New(&settings, kong.Vars{"admin_listen": ""})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append(args, flags...)); err != nil {
		t.Fatal(err)
	}
	return settings
}

// Server is a running server.
type Server struct {
	*app.Server
	URL string // http://host:port
	Log *Log
}

// Start runs a server until the test ends.
func Start(t testing.TB, settings app.Settings) *Server {
	t.Helper()
	log := &Log{}
	server, err := app.Start(t.Context(), settings, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	s := &Server{Server: server, URL: "http://" + server.Addr(), Log: log}
	t.Cleanup(func() {
		s.Shutdown(t)
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	return s
}

// Shutdown drains the server. A second call does nothing.
func (s *Server) Shutdown(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// Log collects what a server logs. Safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends a line.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// HTTP returns a client whose every answer is checked against the spec, and that follows no redirects.
func (s *Server) HTTP(t testing.TB) *http.Client {
	t.Helper()
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(spec)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &checked{t: t, router: router, failure: spec.Components.Schemas["Failure"].Value},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// Client returns the generated client for a token ("" for none), checked as HTTP is.
func (s *Server) Client(t testing.TB, token string) *client.ClientWithResponses {
	t.Helper()
	c, err := client.NewClientWithResponses(s.URL, client.WithHTTPClient(s.HTTP(t)),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			if token != "" {
				r.Header.Set("token", token)
			}
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Password is the password that Login gives every account.
const Password = "123456"

// Login registers an account, whose display name is the account in capitals, and returns a token.
func (s *Server) Login(t testing.TB, account string) string {
	t.Helper()
	c := s.Client(t, "")
	registered, err := c.UserRegisterWithResponse(t.Context(), client.Registration{
		Account: account, Password: Password, Username: strings.ToUpper(account),
	})
	if err != nil {
		t.Fatal(err)
	}
	if code := registered.StatusCode(); code != http.StatusOK && code != http.StatusConflict {
		t.Fatalf("register %s: %d %s", account, code, registered.Body)
	}
	in, err := c.UserLoginWithResponse(t.Context(), client.Credentials{Account: account, Password: Password})
	if err != nil {
		t.Fatal(err)
	}
	if in.JSON200 == nil {
		t.Fatalf("log in %s: %d %s", account, in.StatusCode(), in.Body)
	}
	return *in.JSON200.Data[1].Token // which the check of every answer has seen
}

// checked fails the test when an answer is not as the spec says. A refusal by a route outside the spec (a handshake, an unknown route)
// must be the Failure envelope.
type checked struct {
	t       testing.TB
	router  routers.Router
	failure *openapi3.Schema
}

// RoundTrip sends the request and checks the answer. Bodies over a megabyte are passed on unread.
func (c *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || response.ContentLength > 1<<20 {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if err := response.Body.Close(); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	bare := r.Clone(r.Context())
	bare.URL.Scheme, bare.URL.Host, bare.Host = "", "", ""
	route, path, err := c.router.FindRoute(bare)
	if err != nil {
		c.checkFailure(r, response, body)
		return response, nil //nolint:nilerr // that the spec doesn't know the route is no error
	}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: bare, PathParams: path, Route: route},
		Status:                 response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		c.t.Errorf("%s %s: %d is not as the spec has it: %v\n%s", r.Method, r.URL.Path, response.StatusCode, err, body)
	}
	return response, nil
}

// checkFailure checks a refusal by a route outside the spec.
func (c *checked) checkFailure(r *http.Request, response *http.Response, body []byte) {
	if response.StatusCode < http.StatusBadRequest {
		return
	}
	var value any
	err := json.Unmarshal(body, &value)
	if err == nil {
		err = c.failure.VisitJSON(value)
	}
	if err != nil {
		c.t.Errorf("%s %s: %d is no envelope: %v\n%s", r.Method, r.URL.Path, response.StatusCode, err, body)
	}
}
