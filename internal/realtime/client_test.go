package realtime_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// world is what clients talk to: a server and the accounts that they have on it.
type world struct {
	t      testing.TB
	url    string // http://host:port
	http   *http.Client
	tokens map[string]string // by account, or account#n for further sessions
	groups int
	seen   *seen // may be nil
}

func newWorld(t testing.TB, url string, client *http.Client) *world {
	return &world{t: t, url: url, http: client, tokens: map[string]string{}}
}

// start runs a whole server and returns a world on it.
func start(t testing.TB, mode apptest.Mode, flags ...string) (*world, *apptest.Server) {
	t.Helper()
	s := apptest.Start(t, apptest.Settings(t, mode, flags...))
	return newWorld(t, s.URL, s.HTTP(t)), s
}

// at is the same accounts on another node.
func (w *world) at(s *apptest.Server) *world {
	return &world{t: w.t, url: s.URL, http: w.http, tokens: w.tokens, groups: w.groups, seen: w.seen}
}

// call does a REST request as an account ("" for none) and returns the answer's data.
func (w *world) call(session, method, path string, query url.Values, body any) json.RawMessage {
	w.t.Helper()
	status, answer, err := w.try(session, method, path, query, body)
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s %v", method, path, status, answer, err)
	}
	var envelope struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(answer, &envelope) == nil && envelope.Data != nil {
		return envelope.Data
	}
	return answer
}

func (w *world) try(session, method, path string, query url.Values, body any) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(w.t.Context()), method, w.url+path+"?"+query.Encode(), strings.NewReader(string(text)))
	if err != nil {
		return 0, nil, err
	}
	if body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	if session != "" {
		r.Header.Set("token", w.tokens[session])
	}
	response, err := w.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// users registers accounts, whose display names are the accounts in capitals, and logs them in.
func (w *world) users(accounts ...string) {
	w.t.Helper()
	for _, account := range accounts {
		w.call("", http.MethodPost, "/Tim/UserRegister", nil, map[string]any{
			"account": account, "password": apptest.Password, "username": strings.ToUpper(account), "age": 20, "sex": "male",
		})
		w.login(account)
	}
}

// login logs an account in; session is its name, or account#n.
func (w *world) login(session string) {
	w.t.Helper()
	account, _, _ := strings.Cut(session, "#")
	data := w.call("", http.MethodPost, "/Tim/UserLogin", nil, map[string]any{"account": account, "password": apptest.Password})
	var parts [2]struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		w.t.Fatal(err)
	}
	w.tokens[session] = parts[1].Token
}

func (w *world) friends(account string, friends ...string) {
	w.t.Helper()
	for _, friend := range friends {
		w.call(account, http.MethodGet, "/Tim/addFriend", url.Values{"UserAccount": {account}, "FriendAccount": {friend}}, nil)
	}
}

// group makes a group of accounts, the first of which owns it.
func (w *world) group(accounts ...string) (id int) {
	w.t.Helper()
	w.groups++
	data := w.call(accounts[0], http.MethodPost, "/Tim/createGroup",
		url.Values{"CreateUserAccount": {accounts[0]}, "GroupName": {fmt.Sprintf("g%d", w.groups)}}, nil)
	var made struct {
		GroupID int `json:"GroupID"`
	}
	if err := json.Unmarshal(data, &made); err != nil {
		w.t.Fatal(err)
	}
	for _, account := range accounts[1:] {
		w.membership(account, "joinGroup", made.GroupID)
	}
	return made.GroupID
}

func (w *world) membership(account, route string, group int) {
	w.t.Helper()
	w.call(account, http.MethodPost, "/Tim/"+route, url.Values{"UserAccount": {account}, "GroupID": {fmt.Sprint(group)}}, nil)
}

func chatPath(account string) string { return "/websocket/" + url.PathEscape(account) }

func directPath(account, friend string) string {
	return "/websocket/OneToOne/" + url.PathEscape(account) + "/" + url.PathEscape(friend)
}

func groupPath(group int, account string) string {
	return fmt.Sprintf("/websocket/%d/%s", group, url.PathEscape(account))
}

// peer is a client's end of a socket. A goroutine reads it into frames until it ends.
type peer struct {
	*websocket.Conn
	t         testing.TB
	operation string // of asyncapi.yaml: what it is sent
	seen      *seen
	frames    chan string // closed at the end, whose reason is in err
	err       error
	hold      chan struct{} // closed when reading may begin
	release   func()        // closes it
	network   net.Conn
	pongs     chan string
	unchecked bool
	got       atomic.Int64
}

// options of dial.
type options struct {
	header    http.Header
	protocols []string
	hold      bool // don't read until release
	unchecked bool // by the spec, where time is measured
	buffer    int  // the socket's receive buffer in bytes, 0 for the system's
}

// channelOf tells which channel of asyncapi.yaml a path is.
func channelOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) == 1:
		return "timV1"
	case len(parts) == 2:
		return "chat"
	case len(parts) == 3:
		return "group"
	}
	return "oneToOne"
}

// try opens a socket with a session's token in the header.
func (w *world) tryDial(path string, o options) (*peer, *http.Response, error) {
	hold := make(chan struct{})
	p := &peer{
		t: w.t, operation: channelOf(path) + "ToClient", seen: w.seen, frames: make(chan string, 1<<16),
		hold: hold, release: sync.OnceFunc(func() { close(hold) }), pongs: make(chan string, 1<<10), unchecked: o.unchecked,
	}
	dialer := websocket.Dialer{
		HandshakeTimeout: patience, Subprotocols: o.protocols, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err == nil && o.buffer > 0 {
				err = c.(*net.TCPConn).SetReadBuffer(o.buffer)
			}
			p.network = c
			return c, err
		},
	}
	c, response, err := dialer.DialContext(w.t.Context(), "ws"+strings.TrimPrefix(w.url, "http")+path, o.header)
	if err != nil {
		return nil, response, err
	}
	p.Conn = c
	c.SetPongHandler(func(data string) error {
		select {
		case p.pongs <- data:
		default:
		}
		return nil
	})
	if !o.hold {
		p.release()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.read()
	}()
	w.t.Cleanup(func() {
		_ = c.Close()
		p.release()
		<-ended
	})
	return p, response, nil
}

// dial opens a socket as a session.
func (w *world) dial(session, path string) *peer { return w.dialWith(session, path, options{}) }

func (w *world) dialWith(session, path string, o options) *peer {
	w.t.Helper()
	o.header = http.Header{"token": {w.tokens[session]}}
	p, response, err := w.tryDial(path, o)
	if err != nil {
		w.t.Fatalf("open %s: %v %v", path, err, response)
	}
	return p
}

// chat opens an account's chat socket and reads its greeting.
func (w *world) chat(session string) *peer {
	w.t.Helper()
	account, _, _ := strings.Cut(session, "#")
	p := w.dial(session, chatPath(account))
	p.expect(`{"code":200,"message":"连接成功"}`)
	p.next()
	return p
}

// member opens a group's socket and reads up to the list that ends its greeting.
func (w *world) member(account string, group int) *peer {
	w.t.Helper()
	p := w.dial(account, groupPath(group, account))
	for {
		if strings.HasPrefix(p.next(), "当前群在线") {
			return p
		}
	}
}

// read checks every frame against the spec.
func (p *peer) read() {
	defer close(p.frames)
	spec, err := loadSpec()
	if err != nil {
		p.err = err
		return
	}
	<-p.hold
	for {
		kind, frame, err := p.ReadMessage()
		if err != nil {
			p.err = err
			return
		}
		if p.unchecked {
			p.frames <- string(frame)
			continue
		}
		names := spec.matches(p.operation, string(frame))
		if kind != websocket.TextMessage || len(names) == 0 {
			p.t.Errorf("%s: not as the spec has it: %.200q", p.operation, frame)
		}
		if p.seen != nil {
			p.seen.add(p.operation, names...)
		}
		p.got.Add(1)
		p.frames <- string(frame)
	}
}

// next returns the next frame.
func (p *peer) next() string {
	p.t.Helper()
	select {
	case frame, ok := <-p.frames:
		if !ok {
			p.t.Fatalf("%s: ended: %v", p.operation, p.err)
		}
		return frame
	case <-time.After(patience):
		p.t.Fatalf("%s: nothing came", p.operation)
	}
	return ""
}

func (p *peer) expect(want string) {
	p.t.Helper()
	if got := p.next(); got != want {
		p.t.Fatalf("%s: got %.300s, want %.300s", p.operation, got, want)
	}
}

// text returns the text of the next message, passing over notices.
func (p *peer) text() string {
	p.t.Helper()
	for {
		if text, ok := textOf(p.next()); ok {
			return text
		}
	}
}

// texts returns those of the next n messages.
func (p *peer) texts(n int) []string {
	p.t.Helper()
	texts := make([]string, n)
	for i := range texts {
		texts[i] = p.text()
	}
	return texts
}

func textOf(frame string) (string, bool) {
	var m struct {
		FromUser string `json:"fromUser"`
		Message  string `json:"message"`
	}
	err := json.Unmarshal([]byte(frame), &m)
	return m.Message, err == nil && m.FromUser != ""
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		p.t.Fatalf("%s: send: %v", p.operation, err)
	}
}

// end waits for the socket's end and returns the frames that came before it and the close code, 0 for none.
func (p *peer) end() (frames []string, code int, reason string) {
	p.t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case frame, ok := <-p.frames:
			if ok {
				frames = append(frames, frame)
				continue
			}
		case <-deadline:
			p.t.Fatalf("%s: no end", p.operation)
		}
		if closed, ok := errors.AsType[*websocket.CloseError](p.err); ok && closed.Code != websocket.CloseAbnormalClosure {
			return frames, closed.Code, closed.Text
		}
		return frames, 0, p.err.Error()
	}
}

// expectEnd waits for the end and wants a code.
func (p *peer) expectEnd(code int) (frames []string) {
	p.t.Helper()
	frames, got, reason := p.end()
	if got != code {
		p.t.Fatalf("%s: ended with %d %q, want %d", p.operation, got, reason, code)
	}
	return frames
}

// sayGoodbye sends a close frame and doesn't wait for the answer.
func (p *peer) sayGoodbye(code int) {
	p.t.Helper()
	if err := p.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(patience)); err != nil {
		p.t.Fatalf("%s: close: %v", p.operation, err)
	}
}

// leave closes cleanly and returns what came before the answer.
func (p *peer) leave() []string {
	p.t.Helper()
	p.sayGoodbye(websocket.CloseNormalClosure)
	return p.expectEnd(websocket.CloseNormalClosure)
}

// settled waits until everything that the server had written before has come.
func (p *peer) settled() {
	p.t.Helper()
	if err := p.WriteControl(websocket.PingMessage, []byte("settled"), time.Now().Add(patience)); err != nil {
		p.t.Fatalf("%s: ping: %v", p.operation, err)
	}
	select {
	case <-p.pongs:
	case <-time.After(patience):
		p.t.Fatalf("%s: no pong", p.operation)
	}
}

// cut resets the connection: an unclean break.
func (p *peer) cut() {
	_ = p.network.(*net.TCPConn).SetLinger(0)
	_ = p.Close()
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
