package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/fault"
	"tim/internal/testserver"
)

// breakFiles makes the folder for files unwritable: it puts a file in its place.
func breakFiles(t testing.TB, settings app.Settings) {
	t.Helper()
	folder := filepath.Join(settings.DataDir, "files", "avatar")
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ready requests /readyz and returns the state of each dependency.
func (s *site) ready(t testing.TB) (status int, states map[string]string) {
	t.Helper()
	got := s.do(t, ask{path: "/readyz"})
	if err := json.Unmarshal(got.Data, &states); err != nil {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if ok := got.status == http.StatusOK; ok != (got.Code == http.StatusOK) || ok != (got.Reason == "") {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
	return got.status, states
}

func TestHealth(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		s.succeedsOnce(t, ask{path: "/healthz"}, "ok")
		status, states := s.ready(t)
		diff(t, "states", map[string]string{"database": "ok", "bus": "ok", "files": "ok", "connections": "ok"}, states)
		if status != http.StatusOK {
			t.Errorf("ready: %d", status)
		}
	})
}

func TestReadyNamesFolder(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	breakFiles(t, s.Settings)
	status, states := s.ready(t)
	diff(t, "states", map[string]string{"database": "ok", "bus": "ok", "files": "unreachable", "connections": "ok"}, states)
	if status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if got := s.do(t, ask{path: "/healthz"}); got.status != http.StatusOK {
		t.Errorf("healthz: %d", got.status)
	}
}

// gate is a proxy that can be shut: it then cuts its connections and refuses new ones.
type gate struct {
	address, target string

	mu          sync.Mutex
	listener    net.Listener
	connections []net.Conn
	running     sync.WaitGroup
}

func openGate(t testing.TB, target string) *gate {
	t.Helper()
	g := &gate{address: "127.0.0.1:0", target: target}
	g.open(t)
	t.Cleanup(g.shut)
	return g
}

func (g *gate) open(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	g.listener, g.address = listener, listener.Addr().String()
	g.running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			g.pass(in)
		}
	})
}

func (g *gate) pass(in net.Conn) {
	out, err := net.Dial("tcp", g.target)
	if err != nil {
		_ = in.Close()
		return
	}
	g.mu.Lock()
	g.connections = append(g.connections, in, out)
	g.mu.Unlock()
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		g.running.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = pair[0].Close()
		})
	}
}

func (g *gate) shut() {
	_ = g.listener.Close()
	g.mu.Lock()
	for _, c := range g.connections {
		_ = c.Close()
	}
	g.connections = nil
	g.mu.Unlock()
	g.running.Wait()
}

// Each dependency goes away and comes back. Meanwhile /readyz names it, routes that need it answer 503, and the server goes on.
func TestDependenciesAway(t *testing.T) {
	t.Parallel()
	mariadb, redis, s3 := testserver.DatabaseServer(t), testserver.RedisServer(t), testserver.MinIO(t)
	files := openGate(t, s3.Endpoint)
	s := start(t, apptest.Embedded, "--mysql-dsn="+mariadb.Address, "--redis-url="+redis.Address, "--jwt-key="+signingKey,
		"--s3-endpoint=http://"+files.address, "--s3-access-key="+s3.AccessKey, "--s3-secret-key="+s3.SecretKey, "--s3-bucket="+s3.Bucket)
	token := s.enter(t, "da.a")
	stored := s.do(t, ask{path: "/uploadchatpic", token: token, form: fileForm(jpgBytes(t))}).body
	unavailable := want{http.StatusServiceUnavailable, fault.Unavailable, "服务暂不可用，请稍后再试", "unavailable; try again later"}

	away := func(name string, stop func(), meanwhile func(), comeBack func()) {
		stop()
		status, states := s.ready(t)
		want := map[string]string{"database": "ok", "bus": "ok", "files": "ok", "connections": "ok"}
		want[name] = "unreachable"
		diff(t, name+" away", want, states)
		if status != http.StatusServiceUnavailable {
			t.Errorf("%s away: %d", name, status)
		}
		if got := s.do(t, ask{path: "/healthz"}); got.status != http.StatusOK {
			t.Errorf("%s away: healthz %d", name, got.status)
		}
		meanwhile()
		comeBack()
		eventually(t, name+" is back", func() bool {
			status, _ := s.ready(t)
			return status == http.StatusOK
		})
	}
	away("database", mariadb.Stop, func() {
		for _, a := range []ask{
			{path: "/Tim/UserLogin", json: `{"account":"da.a","password":"123456"}`},
			{path: "/Tim/UserRegister", json: registration(t, "da.b", nil)},
			{path: query("/Tim/getFriends", "account", "da.a"), token: token},
		} {
			s.refused(t, a, unavailable)
			if got := s.do(t, a); got.header.Get("Retry-After") == "" {
				t.Errorf("%s: 503 without Retry-After", a.path)
			}
		}
	}, mariadb.Start)
	away("bus", redis.Stop, func() {
		s.friends(t, token, "da.a") // presence can't be asked; everything else works
		s.login(t, "da.a")
	}, redis.Start)
	away("files", files.shut, func() {
		s.refusedText(t, ask{path: "/uploadchatpic", token: token, form: fileForm(jpgBytes(t))},
			want{http.StatusServiceUnavailable, fault.Unavailable, "上传失败", "upload failed"})
		s.refusedText(t, ask{path: query("/downloadchatpic", "filename", stored), token: token},
			want{http.StatusServiceUnavailable, fault.Unavailable, "下载失败", "download failed"})
		s.friends(t, token, "da.a")
	}, func() { files.open(t) })
	if got := s.do(t, ask{path: query("/downloadchatpic", "filename", stored), token: token}); got.status != http.StatusOK {
		t.Errorf("after all came back: %d %s", got.status, got.body)
	}
	s.login(t, "da.a")
}

// While a server drains, it reports so and accepts no sockets.
func TestDraining(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "dr.a")
	s.openChat(t, "dr.a", token) // it reads nothing, so its close frame isn't answered for a while
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Shutdown(t)
	}()
	eventually(t, "the server says that it goes", func() bool {
		status, states := s.ready(t)
		return status == http.StatusServiceUnavailable && states["server"] == "going away"
	})
	s.refused(t, ask{path: "/websocket/dr.a", token: token, header: upgrade()},
		want{http.StatusServiceUnavailable, fault.Unavailable, "服务暂不可用，请稍后再试", "unavailable; try again later"})
	s.friends(t, token, "dr.a") // requests are served to the end
	<-stopped
}

// An unforeseen error shows nothing of itself, is logged, and the server goes on.
func TestInternal(t *testing.T) {
	t.Parallel()
	internal := want{http.StatusInternalServerError, fault.Internal, "服务器内部错误", "internal error"}
	inModes(t, func(t *testing.T, s *site) {
		s.Router().GET("/panic", func(echo.Context) error { panic("secret of a panic") })
		token := s.enter(t, "it.a")
		s.refused(t, ask{path: "/panic"}, internal)
		if _, err := database(t, s.Settings).ExecContext(t.Context(), "DROP TABLE friends"); err != nil {
			t.Fatal(err)
		}
		a := ask{path: query("/Tim/getFriends", "account", "it.a"), token: token}
		s.refused(t, a, internal)
		got := s.do(t, a)
		if strings.Contains(strings.ToLower(got.body), "table") || got.header.Get("Tim-Request-Id") == "" {
			t.Errorf("an internal fault shows %s, with %v", got.body, got.header)
		}
		log := s.Log.String()
		for _, part := range []string{"secret of a panic", got.header.Get("Tim-Request-Id"), "health_test.go"} {
			if !strings.Contains(log, part) {
				t.Errorf("the log has no %q", part)
			}
		}
		s.login(t, "it.a")
	})
}

func TestAdminListener(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--admin-listen=127.0.0.1:0")
	s.openChat(t, "ad.a", s.enter(t, "ad.a"))
	get := func(path string) string {
		response, err := http.Get("http://" + s.AdminAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %d %s", path, err, response.StatusCode, body)
		}
		return string(body)
	}
	for _, part := range []string{
		`tim_sockets{kind="chat"} 1`, `tim_request_seconds_count{route="/Tim/UserLogin",status="200"} 1`, "go_goroutines", "process_resident_memory_bytes",
	} {
		eventually(t, "metrics tell of "+part, func() bool { return strings.Contains(get("/metrics"), part) }) // requests count after their answer
	}
	if !strings.Contains(get("/debug/pprof/"), "goroutine") || !strings.Contains(get("/debug/pprof/goroutine?debug=1"), "goroutine profile") {
		t.Error("no profiles")
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.AdminAddr()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example.org" // a page's own name, which was made to resolve to the server's address
	rebound, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if _ = rebound.Body.Close(); rebound.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another Host: %d", rebound.StatusCode)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if got := s.do(t, ask{path: path}); got.status != http.StatusNotFound {
			t.Errorf("%s on the public listener: %d", path, got.status)
		}
	}
}
