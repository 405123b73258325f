package deploy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
	"tim/internal/servers"
	"tim/internal/testserver"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// clientAddress is the address of the tests' clients. The proxies have 127.0.0.1.
const clientAddress = "127.0.0.77"

// proxy is a running nginx or HAProxy.
type proxy struct {
	http, https string // host:port
	roots       *x509.CertPool
	log         func() string // what it logged up to now
}

// kind is one of the proxies that have a file here.
type kind struct {
	name  string
	start func(t testing.TB, nodes [2]string, replace ...string) *proxy
}

func kinds() []kind { return []kind{{"nginx", startNginx}, {"haproxy", startHAProxy}} }

// startNginx runs nginx in front of two nodes until the test ends. It uses the shipped settings with other addresses and paths, and
// with the replacements that replace lists as old, new, old, new.
func startNginx(t testing.TB, nodes [2]string, replace ...string) *proxy {
	t.Helper()
	dir := t.TempDir()
	p := &proxy{http: freeAddress(t), https: freeAddress(t)}
	p.roots = certificate(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	access := filepath.Join(dir, "access.log")
	temporary := "http {\n"
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += what + "_temp_path " + filepath.Join(dir, what) + ";\n"
	}
	replaced := shipped(t, "nginx.conf", append([]string{
		"listen 80;", "listen " + p.http + ";", "listen 443 ssl;", "listen " + p.https + " ssl;",
		"listen [::]:80;", "", "listen [::]:443 ssl;", "",
		"server 127.0.0.1:8081", "server " + nodes[0], "server 127.0.0.1:8091", "server " + nodes[1],
		"/etc/ssl/tim/fullchain.pem", filepath.Join(dir, "cert.pem"), "/etc/ssl/tim/privkey.pem", filepath.Join(dir, "key.pem"),
		"/var/log/nginx/access.log", access, "/var/log/nginx/error.log", filepath.Join(dir, "error.log"), "http {\n", temporary,
	}, replace...)...)
	settings := filepath.Join(dir, "nginx.conf")
	write(t, settings, replaced)
	out := run(t, nil, []string{p.http, p.https}, "nginx", "-e", "stderr", "-p", dir, "-c", settings,
		"-g", "daemon off; pid "+filepath.Join(dir, "pid")+";")
	p.log = func() string {
		text, err := os.ReadFile(access)
		if err != nil {
			t.Error(err)
		}
		return out.String() + string(text)
	}
	return p
}

// startHAProxy is startNginx for HAProxy. It also removes the user, because the test may not be root.
func startHAProxy(t testing.TB, nodes [2]string, replace ...string) *proxy {
	t.Helper()
	dir := t.TempDir()
	p := &proxy{http: freeAddress(t), https: freeAddress(t)}
	both := filepath.Join(dir, "both.pem")
	p.roots = certificate(t, both, both)
	settings := filepath.Join(dir, "haproxy.cfg")
	write(t, settings, shipped(t, "haproxy.cfg", append([]string{
		"bind :80 ", "bind " + p.http + " ", "bind :443 ", "bind " + p.https + " ",
		" tim1:8081", " " + nodes[0], " tim2:8081", " " + nodes[1], "user haproxy", "", "group haproxy", "",
	}, replace...)...))
	p.log = run(t, []string{"TLS_CERTIFICATE=" + both}, []string{p.http, p.https}, "haproxy", "-db", "-f", settings).String
	return p
}

// shipped returns a file of this folder with some texts replaced. Each must be in the file.
func shipped(t testing.TB, name string, replace ...string) string {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s has no %q", name, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// run starts a program, waits until it accepts connections on the addresses, and ends it with the test.
func run(t testing.TB, env, addresses []string, name string, args ...string) *apptest.Log {
	t.Helper()
	path := testserver.LookPath(t, name)
	log := &apptest.Log{}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // SIGTERM is how it ends
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s doesn't end", name)
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its workers
			<-ended
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", name, log)
		}
	})
	for _, address := range addresses {
		eventually(t, name+" listens", func() bool {
			select {
			case <-ended:
				t.Fatalf("%s ended:\n%s", name, log)
			default:
			}
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	return log
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// certificate makes a certificate for the loopback address and writes it and its key, both to one file if they are the
// same.
func certificate(t testing.TB, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	certText := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, keyText)
	if certFile == keyFile {
		certText += keyText
	}
	write(t, certFile, certText)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(certText))
	return roots
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddress)}}).DialContext(ctx, network, address)
}

// client is an HTTP client that knows the proxy's certificate and follows no redirects.
func (p *proxy) client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// peer is a client's end of a socket. A goroutine reads it until it ends.
type peer struct {
	*websocket.Conn
	frames chan string // the first ones
	pings  atomic.Int64
	ended  chan struct{} // closed at the end,
	err    error         // whose reason is here then
}

// open opens a socket through the proxy.
func (p *proxy) open(t testing.TB, token, path string) *peer {
	t.Helper()
	dialer := websocket.Dialer{
		NetDialContext: dial, HandshakeTimeout: patience, TLSClientConfig: &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12},
		Subprotocols: []string{"tim.v1", "token." + token},
	}
	return opened(t, dialer, "wss://"+p.https+path)
}

func opened(t testing.TB, dialer websocket.Dialer, url string) *peer {
	t.Helper()
	conn, response, err := dialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatalf("open %s: %v %v", url, err, response)
	}
	c := &peer{Conn: conn, frames: make(chan string, 100), ended: make(chan struct{})}
	pong := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		c.pings.Add(1)
		return pong(data)
	})
	go func() {
		defer close(c.ended)
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				c.err = err
				return
			}
			select {
			case c.frames <- string(frame):
			default:
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-c.ended
	})
	return c
}

// expect waits for a frame that contains the text.
func (c *peer) expect(t testing.TB, part string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case frame := <-c.frames:
			if strings.Contains(frame, part) {
				return
			}
		case <-c.ended:
			t.Fatalf("ended before %s: %v", part, c.err)
		case <-late:
			t.Fatalf("never: %s", part)
		}
	}
}

// expectEnd waits for a close frame with the code.
func (c *peer) expectEnd(t testing.TB, code int) {
	t.Helper()
	select {
	case <-c.ended:
		if !websocket.IsCloseError(c.err, code) {
			t.Errorf("ended with %v, want %d", c.err, code)
		}
	case <-time.After(patience):
		t.Errorf("never ended with %d", code)
	}
}

func (c *peer) open() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// logLines are the lines of a node's log that match all patterns.
func logLines(log string, patterns ...string) (lines []string) {
next:
	for line := range strings.Lines(log) {
		for _, pattern := range patterns {
			if !regexp.MustCompile(pattern).MatchString(line) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}
