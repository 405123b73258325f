// Package deploy_test tests the files of this folder, as far as one machine can: it runs nodes behind nginx and HAProxy with the
// shipped settings.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	os.Exit(testserver.Main(m, "TestNodesBehindProxy", "TestIdleSockets", "TestUnit"))
}

// site is two nodes behind a proxy.
type site struct {
	*proxy
	nodes [2]*apptest.Server
	redis *testserver.Server
	token string // of the account a
}

func startSite(t *testing.T, k kind, replace ...string) *site {
	t.Helper()
	s := &site{redis: testserver.RedisServer(t)}
	settings := apptest.Settings(t, apptest.Servers, "--trusted-proxies=127.0.0.1", "--redis-url="+s.redis.Address)
	for i := range s.nodes {
		s.nodes[i] = apptest.Start(t, settings)
	}
	s.proxy = k.start(t, [2]string{s.nodes[0].Addr(), s.nodes[1].Addr()}, replace...)
	s.token = s.nodes[0].Login(t, "a")
	return s
}

// get asks through the proxy.
func (s *site) get(t *testing.T, address string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("token", s.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return do(t, s.client(t), r)
}

func do(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// One test for each proxy, because starting two nodes takes most of the time. The parts that stop nodes come last.
func TestNodesBehindProxy(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			var replace []string
			if k.name == "haproxy" {
				replace = []string{"inter 2s", "inter 100ms"}
			}
			s := startSite(t, k, replace...)
			t.Run("address", s.testAddress)
			t.Run("links", s.testLinks)
			t.Run("redirect", s.testRedirect)
			t.Run("upload", s.testUpload)
			t.Run("refused upload", s.testRefusedUpload)
			t.Run("secrets", s.testSecrets)
			t.Run("going", s.testGoing)
			if k.name == "haproxy" {
				s.testUnready(t)
			}
		})
	}
}

// A node learns a client's address from the proxy, and not from a header of the client. Both nodes get requests.
func (s *site) testAddress(t *testing.T) {
	for i := range 8 {
		status, body := s.get(t, fmt.Sprintf("https://%s/Tim/getFriends?account=a&n=%d", s.https, i), "X-Forwarded-For", "203.0.113.9")
		if status != http.StatusOK || body != "[]\n" && body != "[]" {
			t.Fatalf("%d %s", status, body)
		}
	}
	for i, node := range s.nodes {
		eventually(t, "the node logs it", func() bool { return len(logLines(node.Log.String(), `getFriends`)) > 0 })
		for _, line := range logLines(node.Log.String(), `getFriends`) {
			if !strings.Contains(line, `"from":"`+clientAddress+`"`) {
				t.Errorf("node %d: %s", i, line)
			}
		}
	}
}

// A link begins with the address at which the client has reached the proxy, and not with a Host that the client claims.
func (s *site) testLinks(t *testing.T) {
	c := s.client(t)
	if status, body := do(t, c, s.upload(t, "uploadheadpic", "image/png", png(), "A")); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	status, link := s.get(t, "https://"+s.https+"/headpicurl?username=A", "X-Forwarded-Host", "evil.example.org", "X-Forwarded-Proto", "http")
	if status != http.StatusOK || !strings.HasPrefix(link, "https://"+s.https+"/avatar/") {
		t.Fatalf("%d %s", status, link)
	}
	if status, picture := s.get(t, link); status != http.StatusOK || picture != string(png()) {
		t.Errorf("%d, %d bytes", status, len(picture))
	}
}

func (s *site) testRedirect(t *testing.T) {
	response, err := s.client(t).Post("http://"+s.http+"/Tim/UserLogin?x=y", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	location, err := url.Parse(response.Header.Get("Location"))
	if err != nil || response.StatusCode != http.StatusPermanentRedirect || location.Scheme != "https" || location.RequestURI() != "/Tim/UserLogin?x=y" {
		t.Errorf("%d to %v, %v", response.StatusCode, location, err)
	}
}

// videoBytes is more than nginx allows by default, and more than either proxy keeps in memory.
const videoBytes = 24 << 20

func (s *site) testUpload(t *testing.T) {
	video := make([]byte, videoBytes)
	copy(video, "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom")
	status, name := do(t, s.client(t), s.upload(t, "uploadmp4", "video/mp4", video, ""))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, name)
	}
	status, back := s.get(t, "https://"+s.https+"/downloadmp4?filename="+url.QueryEscape(name))
	if status != http.StatusOK || back != string(video) {
		t.Errorf("%d, %d bytes of %d", status, len(back), len(video))
	}
}

// upload is a request with a form.
func (s *site) upload(t *testing.T, route, contentType string, file []byte, username string) *http.Request {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if username != "" {
		if err := form.WriteField("username", username); err != nil {
			t.Fatal(err)
		}
	}
	part, err := form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="f"`}, "Content-Type": {contentType},
	})
	if err == nil {
		_, err = part.Write(file)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.https+"/"+route, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("token", s.token)
	return r
}

// An upload that is refused is answered before it ends: no proxy stores it first.
func (s *site) testRefusedUpload(t *testing.T) {
	body, rest := io.Pipe()
	var writing sync.WaitGroup
	defer writing.Wait()
	defer rest.Close()
	writing.Go(func() {
		_, _ = rest.Write(bytes.Repeat([]byte("x"), 64<<10)) // and no more
	})
	r := s.upload(t, "uploadmp4", "video/mp4", nil, "")
	r.Body, r.ContentLength = body, videoBytes
	r.Header.Set("token", "none")
	if status, text := do(t, s.client(t), r); status != http.StatusUnauthorized {
		t.Errorf("%d %s", status, text)
	}
}

// A token in the query is in no log.
func (s *site) testSecrets(t *testing.T) {
	dialer := websocket.Dialer{NetDialContext: dial, TLSClientConfig: s.client(t).Transport.(*http.Transport).TLSClientConfig}
	c := opened(t, dialer, "wss://"+s.https+"/websocket/a?token="+url.QueryEscape(s.token))
	c.expect(t, "连接成功")
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"to":"all","text":"out"}`)); err != nil {
		t.Fatal(err)
	}
	c.expectEnd(t, websocket.CloseNormalClosure)
	eventually(t, "the proxy logs it", func() bool { return len(logLines(s.log(), `"GET /websocket/a"`, ` 101 `)) > 0 })
	if strings.Contains(s.log(), s.token) {
		t.Errorf("the log has the token:\n%s", s.log())
	}
}

// nodeOf tells which node has an account's socket.
func (s *site) nodeOf(t *testing.T, account, path string) (node int) {
	t.Helper()
	eventually(t, "a node has the socket", func() bool {
		for i, n := range s.nodes {
			if len(logLines(n.Log.String(), `"account":"`+account+`"`, `"path":"`+path+`"`, `"status":101`)) > 0 {
				node = i
				return true
			}
		}
		return false
	})
	return node
}

// sockets opens sockets of both kinds, each for a new account, until each node has one of each. The results are by node.
func (s *site) sockets(t *testing.T) (modern, contract [2]*peer) {
	t.Helper()
	for i := range 20 {
		account := fmt.Sprintf("s%d", i)
		of, path, greeting := &modern, "/websocket", `"hello"`
		if i%4 == 1 || i%4 == 2 { // not every other one: proxies take turns themselves
			of, path, greeting = &contract, "/websocket/"+account, "连接成功"
		}
		c := s.open(t, s.nodes[0].Login(t, account), path)
		c.expect(t, greeting)
		of[s.nodeOf(t, account, path)] = c
		if modern[0] != nil && modern[1] != nil && contract[0] != nil && contract[1] != nil {
			return modern, contract
		}
	}
	t.Fatal("one node got no sockets")
	return modern, contract
}

// When a node stops, its clients are told why and those of the other node notice nothing. The other node serves all new
// connections, meanwhile and afterwards.
func (s *site) testGoing(t *testing.T) {
	modern, contract := s.sockets(t)
	// A client that reads nothing, so that the node waits for the answer to its close frame.
	mute, response, err := (&websocket.Dialer{}).DialContext(t.Context(), "ws://"+s.nodes[0].Addr()+"/websocket/a", http.Header{"token": {s.token}})
	if err != nil {
		t.Fatalf("%v %v", err, response)
	}
	defer mute.Close()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.nodes[0].Shutdown(t)
	}()
	modern[0].expectEnd(t, 4000) // going away
	contract[0].expectEnd(t, websocket.CloseGoingAway)
	select {
	case <-stopped:
		t.Error("the node stopped too soon for this test")
	default:
	}
	s.testServed(t)
	_ = mute.Close()
	<-stopped
	s.testServed(t)
	if !modern[1].open() || !contract[1].open() {
		t.Error("the other node's sockets ended too")
	}
}

func (s *site) testServed(t *testing.T) {
	t.Helper()
	for range 4 {
		s.open(t, s.token, "/websocket").expect(t, `"hello"`)
		if status, body := s.get(t, "https://"+s.https+"/Tim/getFriends?account=a"); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		response, err := s.client(t).Post("https://"+s.https+"/Tim/UserLogin", "application/json",
			strings.NewReader(`{"account":"a","password":"`+apptest.Password+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("login: %s", response.Status)
		}
	}
}

// When no node is ready, HAProxy still passes requests on to them.
func (s *site) testUnready(t *testing.T) {
	s.redis.Stop()
	eventually(t, "HAProxy has seen it", func() bool {
		return strings.Contains(s.log(), "Server unready/tim1 is DOWN") && strings.Contains(s.log(), "Server tim/tim2 is DOWN")
	})
	if status, body := s.get(t, "https://"+s.https+"/Tim/getFriends?account=a"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	var said struct {
		Data map[string]string `json:"data"`
	}
	status, body := s.get(t, "https://"+s.https+"/readyz")
	if err := json.Unmarshal([]byte(body), &said); err != nil || status != http.StatusServiceUnavailable || said.Data["bus"] != "unreachable" {
		t.Errorf("%d %s, want the node's own words", status, body)
	}
}

// png is a picture of one pixel.
func png() []byte {
	return []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
		"\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff\xff\x7f\x00\t\xfb\x03\xfd\x05CE\xca\x00\x00\x00\x00IEND\xaeB`\x82")
}

// The timeouts in the proxies' settings and the heartbeat, shortened by the same factor.
const (
	shippedTimeout = "60s" // of four heartbeats, which are 15 s
	shortTimeout   = "3s"
	shortHeartbeat = 750 * time.Millisecond
)

// The server's pings keep an idle socket open. Without them the proxy closes it.
func TestIdleSockets(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			beating, silent := startHub(t, shortHeartbeat), startHub(t, time.Minute)
			alive := k.start(t, [2]string{beating.address, beating.address}, shippedTimeout, shortTimeout)
			cut := k.start(t, [2]string{silent.address, silent.address}, shippedTimeout, shortTimeout)
			modern, contract := alive.open(t, beating.token, "/websocket"), alive.open(t, beating.token, "/websocket/a")
			for _, path := range []string{"/websocket", "/websocket/a"} {
				c := cut.open(t, silent.token, path)
				select {
				case <-c.ended:
				case <-time.After(patience):
					t.Errorf("%s: stays open without pings", path)
				}
			}
			for _, c := range []*peer{modern, contract} {
				eventually(t, "more heartbeats than the timeout is long", func() bool { return c.pings.Load() > 8 || !c.open() })
				if !c.open() {
					t.Fatalf("ended: %v", c.err)
				}
			}
			if err := modern.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","id":"1"}`)); err != nil {
				t.Fatal(err)
			}
			modern.expect(t, `"pong"`)
			if err := contract.WriteMessage(websocket.TextMessage, []byte(`{"to":"all","text":"out"}`)); err != nil {
				t.Fatal(err)
			}
			contract.expectEnd(t, websocket.CloseNormalClosure)
		})
	}
}
