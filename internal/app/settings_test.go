package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/testserver"
)

// parse reads settings as the command line does.
func parse(t testing.TB, args ...string) (app.Settings, error) {
	t.Helper()
	var settings app.Settings
	parser, err := kong.New(&settings, kong.Vars{"admin_listen": app.DefaultAdminListen}, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return settings, err
}

// A wrong value is named, with what it must be, before anything starts.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	const key = "--jwt-key=" + signingKey
	for _, tt := range []struct {
		flags string
		want  []string // in the error
	}{
		{"--listen=8081", []string{"TIM_LISTEN", `"8081"`, "HOST:PORT"}},
		{"--listen=", []string{"TIM_LISTEN", "HOST:PORT"}},
		{"--admin-listen=x", []string{"TIM_ADMIN_LISTEN", `"x"`, "HOST:PORT"}},
		{"--jwt-key=short", []string{"TIM_JWT_KEY", "5", "32"}},
		{"--bcrypt-cost=3", []string{"TIM_BCRYPT_COST", "3", "4 to 31"}},
		{"--bcrypt-cost=32", []string{"TIM_BCRYPT_COST", "32", "4 to 31"}},
		{"--bcrypt-cost=x", []string{"bcrypt-cost", "x"}},
		{"--public-url=chat.example.org", []string{"TIM_PUBLIC_URL", "chat.example.org", "https://"}},
		{"--public-url=ftp://x", []string{"TIM_PUBLIC_URL", "https://"}},
		{"--public-url=https://x/?a=b", []string{"TIM_PUBLIC_URL"}},
		{"--allowed-origins=example.org", []string{"TIM_ALLOWED_ORIGINS", "example.org", "https://"}},
		{"--allowed-origins=https://a.example/path", []string{"TIM_ALLOWED_ORIGINS", "/path"}},
		{"--trusted-proxies=10.0.0.0/33", []string{"TIM_TRUSTED_PROXIES", "10.0.0.0/33"}},
		{"--trusted-proxies=proxy.example", []string{"TIM_TRUSTED_PROXIES", "proxy.example"}},
		{"--timezone=Mars/Olympus", []string{"TIM_TIMEZONE", "Mars/Olympus", "Asia/Shanghai"}},
		{"--language=fr", []string{"language", "fr", "zh"}},
		{"--log-level=loud", []string{"log-level", "loud", "debug"}},
		{"--log-format=xml", []string{"log-format", "xml", "json"}},
		{"--drain-timeout=0s", []string{"TIM_DRAIN_TIMEOUT", "0s", "positive"}},
		{"--drain-timeout=20", []string{"drain-timeout", "20"}},
		{"--limit-body-bytes=-1", []string{"TIM_LIMIT_BODY_BYTES", "-1", "0"}},
		{"--limit-send-rate=-0.5", []string{"TIM_LIMIT_SEND_RATE", "-0.5", "0"}},
		{"--limit-video-bytes=1GB", []string{"limit-video-bytes", "1GB"}},
		{"--redis-url=redis://localhost", []string{"TIM_REDIS_URL", "TIM_MYSQL_DSN"}},
		{"--redis-url=redis://localhost --mysql-dsn=x", []string{"TIM_JWT_KEY", "TIM_S3_ENDPOINT"}},
		{"--redis-url=redis://localhost --mysql-dsn=x " + strings.ReplaceAll(key, " ", "_"), []string{"TIM_S3_ENDPOINT"}},
		{"--s3-prefix=/chat/", []string{"TIM_S3_PREFIX", "chat/files"}},
		{"--min-free-bytes=-1", []string{"TIM_MIN_FREE_BYTES"}},
		{"--file-grace=-1s", []string{"TIM_FILE_GRACE"}},
		{"--limit-account-bytes=-1", []string{"TIM_LIMIT_ACCOUNT_BYTES"}},
		{"--s3-endpoint=http://localhost:9000", []string{"TIM_S3_ACCESS_KEY", "TIM_S3_SECRET_KEY"}},
		{"--s3-endpoint=http://localhost:9000 --s3-access-key=a --s3-secret-key=b --s3-bucket=", []string{"TIM_S3_BUCKET"}},
	} {
		t.Run(tt.flags, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, strings.Fields(tt.flags)...)
			if err == nil {
				t.Fatal("taken")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't name %q", err, part)
				}
			}
		})
	}
	if _, err := parse(t, "--listen=x", "--bcrypt-cost=1", "--timezone=x"); err == nil || strings.Count(err.Error(), "TIM_") != 3 {
		t.Errorf("three wrong values are named as %v", err)
	}
}

// The defaults.
func TestDefaultSettings(t *testing.T) {
	t.Parallel()
	got, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != ":8081" || got.AdminListen != "127.0.0.1:8082" || !strings.HasSuffix(got.DataDir, "/data") || got.BcryptCost != 10 ||
		got.Language != "zh" || got.DrainTimeout != 20*time.Second || got.Always200 || got.AllowStrangers {
		t.Errorf("defaults: %+v", got)
	}
	if _, err := parse(t, "--limit-body-bytes=0", "--limit-video-bytes=0", "--limit-login-failures=0", "--limit-frame-bytes=0", "--limit-sql-connections=0"); err != nil {
		t.Errorf("0 is for none: %v", err)
	}
}

// A mistake that only the start can find is named, too, and leaves nothing behind that stops the next start.
func TestWrongDependencies(t *testing.T) {
	t.Parallel()
	taken := start(t, apptest.Embedded)
	settings := apptest.Settings(t, apptest.Embedded)
	for name, tt := range map[string]struct {
		change func(*app.Settings)
		want   string
	}{
		"an address in use":  {func(s *app.Settings) { s.Listen = taken.Addr() }, "TIM_LISTEN"},
		"an admin address":   {func(s *app.Settings) { s.AdminListen = taken.Addr() }, "TIM_ADMIN_LISTEN"},
		"no database there":  {func(s *app.Settings) { s.MySQLDSN = "root@unix(/nonexistent.sock)/tim" }, "nonexistent.sock"},
		"a DSN that is none": {func(s *app.Settings) { s.MySQLDSN = "what" }, "TIM_MYSQL_DSN"},
		"no bucket there": {func(s *app.Settings) {
			s.S3Endpoint, s.S3AccessKey, s.S3SecretKey, s.S3Bucket = "http://127.0.0.1:1", "a", "b", "bucket"
		}, "127.0.0.1:1"},
		"a folder that is a file": {func(s *app.Settings) { s.DataDir = "settings_test.go" }, "settings_test.go"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := settings
			tt.change(&wrong)
			server, err := app.Start(t.Context(), wrong, quiet())
			if err == nil {
				t.Fatalf("started: %v", server.Stop(t.Context()))
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q doesn't name %s", err, tt.want)
			}
		})
	}
	serve(t, settings) // on the folder of all those failed starts
}

// Two nodes on one folder, or on one database without Redis, couldn't hear of each other.
func TestSecondNodeIsRefused(t *testing.T) {
	t.Parallel()
	dsn := testserver.Database(t)
	for name, flags := range map[string][]string{"folder": nil, "database": {"--mysql-dsn=" + dsn}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, apptest.Embedded, flags...)
			first := serve(t, settings)
			second := settings
			if name == "database" {
				second.DataDir = t.TempDir()
			}
			if server, err := app.Start(t.Context(), second, quiet()); err == nil {
				t.Fatalf("a second node started: %v", server.Stop(t.Context()))
			} else if !strings.Contains(err.Error(), "another") && !strings.Contains(err.Error(), "TIM_REDIS_URL") {
				t.Errorf("%q says little", err)
			}
			first.enter(t, "sn.a") // the first one isn't disturbed
			first.Shutdown(t)
			serve(t, second).do(t, ask{path: "/healthz"}) // when the first has ended, the second may start
		})
	}
}

// Several nodes with the same database, Redis and bucket serve the same accounts. A logout on one ends the session on the
// other.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Servers)
	a, b := serve(t, settings), serve(t, settings)
	token := a.enter(t, "no.a")
	b.friends(t, token, "no.a")
	name := a.do(t, ask{path: "/uploadchatpic", token: token, form: fileForm(jpgBytes(t))}).body
	if got := b.do(t, ask{path: query("/downloadchatpic", "filename", name), token: token}); got.body != string(jpgBytes(t)) {
		t.Errorf("a file of the other node: %d", got.status)
	}
	a.setAvatar(t, token, "no.a", jpgBytes(t))
	link := a.do(t, ask{path: query("/headpicurl", "username", "no.a"), token: token}).body
	if got := b.do(t, ask{path: strings.TrimPrefix(link, a.URL)}); got.body != string(jpgBytes(t)) {
		t.Errorf("a link of the other node: %d", got.status)
	}
	a.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: token}, "退出成功")
	before := time.Now()
	eventually(t, "the other node refuses the token", func() bool {
		return b.do(t, ask{path: query("/Tim/getFriends", "account", "no.a"), token: token}).Reason == "session_ended"
	})
	// The promise is a second; a busy machine may take longer. A node that isn't told remembers the session for 5 s.
	if took := time.Since(before); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}
