package realtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"golang.org/x/tools/txtar"

	"tim/internal/apptest"
)

var update = flag.Bool("update", false, "record the conversations in testdata anew") //nolint:gochecknoglobals // a flag

// TestConversations replays testdata/*.txtar against servers. A file may have the parts “flags”, those of the server, and
// “modes”, where not each of them is to be tried: for clauses that neither the database nor the bus can touch. Then comes
// the conversation: commands, each of which begins with $, and under each what comes of it. The commands:
//
//	users ACCOUNT...            register accounts (display name: in capitals) and log them in
//	login ACCOUNT#N             begin another session of an account
//	logout SESSION
//	friends ACCOUNT FRIEND...   unfriend ACCOUNT FRIEND
//	group ACCOUNT...            make the next group: 1, 2, …
//	join GROUP ACCOUNT          leave GROUP ACCOUNT
//	online ACCOUNT FRIEND       ask whether a friend is shown as online
//	dial NAME PATH [OPTION...]  open a socket; its session is NAME up to the dot. Options: token=SESSION|none|TEXT,
//	                            via=query|subprotocol, protocols=LIST, header=NAME:VALUE, plain (no handshake)
//	send NAME TEXT              sendbytes NAME HEX, sendbinary NAME HEX, sendsize NAME BYTES, senddrip NAME BYTES
//	close NAME CODE             send a close frame and wait for the answer
//	cut NAME                    reset the connection
//	rest SESSION METHOD PATH    do a request, which must succeed
//	stop                        stop the server
//
// What comes: "= …" is the answer to the command, "NAME: frame" a frame, and "NAME closed CODE REASON" the end of a
// socket. Frames of one socket stand in their order. At the end every socket is closed, and nothing may come then.
func TestConversations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	var seen seen
	var replays, replayed atomic.Int32
	t.Run("files", func(t *testing.T) {
		for _, file := range files {
			c := readConversation(t, file)
			for _, mode := range c.modes {
				replays.Add(1)
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+string(mode), func(t *testing.T) {
					t.Parallel()
					c.replay(t, mode, &seen)
					replayed.Add(1)
				})
			}
		}
	})
	if replayed.Load() == replays.Load() { // and not a few of them, by -run
		seen.compare(t, theSpec(t))
	}
}

// conversation is a file of testdata.
type conversation struct {
	file    string
	archive *txtar.Archive
	flags   []string
	modes   []apptest.Mode
	script  *txtar.File
}

func readConversation(t *testing.T, file string) *conversation {
	t.Helper()
	c := &conversation{file: file, modes: apptest.Modes()}
	var err error
	c.archive, err = txtar.ParseFile(file)
	must(t, err)
	for i, f := range c.archive.Files {
		switch f.Name {
		case "flags":
			c.flags = strings.Fields(string(f.Data))
		case "modes":
			c.modes = nil
			for mode := range strings.FieldsSeq(string(f.Data)) {
				c.modes = append(c.modes, apptest.Mode(mode))
			}
		case "conversation":
			c.script = &c.archive.Files[i]
		default:
			t.Fatalf("%s: what is %s?", file, f.Name)
		}
	}
	if *update {
		c.modes = []apptest.Mode{apptest.Embedded}
	}
	return c
}

func (c *conversation) replay(t *testing.T, mode apptest.Mode, seen *seen) {
	w, server := start(t, mode, append([]string{"--timezone=UTC"}, c.flags...)...)
	w.seen = seen
	r := &replayer{world: w, server: server, peers: map[string]*peer{}}
	r.run(string(c.script.Data))
	got := r.out.String()
	if *update {
		c.script.Data = []byte(got)
		must(t, os.WriteFile(c.file, txtar.Format(c.archive), 0o644))
		return
	}
	if diff := cmp.Diff(strings.Split(string(c.script.Data), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("recorded (-) and seen (+):\n%s", diff)
	}
}

// replayer does what a conversation says and writes it down anew.
type replayer struct {
	*world
	server *apptest.Server
	peers  map[string]*peer
	ended  []string
	out    bytes.Buffer
}

func (r *replayer) run(script string) {
	lines := strings.Split(strings.TrimSuffix(script, "\n"), "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		if !strings.HasPrefix(line, "$ ") {
			if strings.HasPrefix(line, "#") || line == "" {
				fmt.Fprintln(&r.out, line)
			}
			continue
		}
		fmt.Fprintln(&r.out, line)
		r.do(strings.TrimPrefix(line, "$ "))
		var want []string
		for ; i < len(lines) && lines[i] != "" && !strings.HasPrefix(lines[i], "$ ") && !strings.HasPrefix(lines[i], "#"); i++ {
			want = append(want, lines[i])
		}
		if *update {
			r.record(200 * time.Millisecond)
		} else {
			r.compare(want)
		}
	}
	r.finish()
}

// compare waits for what was recorded, in its order.
func (r *replayer) compare(want []string) {
	for _, line := range want {
		name, _, isFrame := strings.Cut(line, ": ")
		ended, _, isEnd := strings.Cut(line, " closed ")
		switch {
		case strings.HasPrefix(line, "= "):
		case isFrame && r.peers[name] != nil:
			r.one(name, patience)
		case isEnd && r.peers[ended] != nil:
			r.one(ended, patience)
		}
	}
}

// record writes down what comes until nothing comes any more.
func (r *replayer) record(quiet time.Duration) {
	time.Sleep(quiet)
	var names []string
	for name := range r.peers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for r.one(name, quiet/10) {
		}
	}
}

// one writes down the next thing that comes on a socket, and tells whether anything may follow.
func (r *replayer) one(name string, within time.Duration) bool {
	p := r.peers[name]
	if slices.Contains(r.ended, name) {
		return false
	}
	select {
	case frame, ok := <-p.frames:
		if ok {
			fmt.Fprintf(&r.out, "%s: %s\n", name, normal(frame))
			return true
		}
		r.ended = append(r.ended, name)
		_, code, reason := p.end()
		if code == 0 {
			reason = "without a close frame"
		}
		fmt.Fprintln(&r.out, strings.TrimSpace(fmt.Sprintf("%s closed %d %s", name, code, reason)))
	case <-time.After(within):
	}
	return false
}

// finish closes what is still open; nothing may come then.
func (r *replayer) finish() {
	var names []string
	for name := range r.peers {
		if !slices.Contains(r.ended, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		p := r.peers[name]
		p.settled()
		select {
		case frame, ok := <-p.frames:
			fmt.Fprintf(&r.out, "%s at the end: %t %s\n", name, ok, normal(frame))
		default:
		}
	}
}

var (
	timeInFrame   = regexp.MustCompile(`"time":"[^"]*"`)
	numberInFrame = regexp.MustCompile(`"(time|expires|after|retryAfter)":\d+`)
	secretInFrame = regexp.MustCompile(`"(session|token)":"[^"]*"`)
)

// normal is a frame without what differs from run to run, and short.
func normal(frame string) string {
	frame = timeInFrame.ReplaceAllString(frame, `"time":"TIME"`)
	frame = secretInFrame.ReplaceAllString(numberInFrame.ReplaceAllString(frame, `"$1":0`), `"$1":"SECRET"`)
	if len(frame) > 400 {
		return fmt.Sprintf("%d bytes, sha256 %.8x…", len(frame), sha256.Sum256([]byte(frame)))
	}
	return frame
}

func (r *replayer) do(command string) {
	r.t.Helper()
	verb, rest, _ := strings.Cut(command, " ")
	args := strings.Fields(rest)
	switch verb {
	case "users":
		r.users(args...)
	case "login":
		r.login(args[0])
	case "logout":
		r.call(args[0], http.MethodGet, "/Tim/UserLogout", nil, nil)
	case "friends":
		r.friends(args[0], args[1:]...)
	case "unfriend":
		r.call(args[0], http.MethodGet, "/Tim/deleteFriend", url.Values{"UserAccount": {args[0]}, "FriendAccount": {args[1]}}, nil)
	case "group":
		r.group(args...)
	case "join", "leave":
		r.membership(args[1], verb+"Group", number(r.t, args[0]))
	case "online":
		r.online(args[0], args[1])
	case "dial":
		r.dial(args[0], args[1], args[2:])
	case "cut":
		r.peers[args[0]].cut()
		r.ended = append(r.ended, args[0])
	case "close":
		r.peers[args[0]].sayGoodbye(number(r.t, args[1]))
	case "rest":
		path, query, _ := strings.Cut(args[2], "?")
		values, err := url.ParseQuery(query)
		must(r.t, err)
		r.call(args[0], args[1], path, values, nil)
	case "stop":
		r.server.Shutdown(r.t)
	default:
		r.sendAs(verb, rest)
	}
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *replayer) sendAs(verb, rest string) {
	r.t.Helper()
	name, text, _ := strings.Cut(rest, " ")
	p := r.peers[name]
	if p == nil {
		r.t.Fatalf("%s: no such socket: %q", verb, name)
	}
	kind, frame := websocket.TextMessage, []byte(text)
	switch verb {
	case "send":
	case "sendbytes", "sendbinary":
		if _, err := fmt.Sscanf(text, "%x", &frame); err != nil {
			r.t.Fatal(err)
		}
		if verb == "sendbinary" {
			kind = websocket.BinaryMessage
		}
	case "sendsize":
		frame = bytes.Repeat([]byte("x"), number(r.t, text))
	case "senddrip":
		frame = bytes.Repeat([]byte("x"), number(r.t, text))
		_ = p.WriteMessage(kind, frame) // the server may be gone before the last byte
		return
	default:
		r.t.Fatalf("what is %q?", verb)
	}
	if r.seen != nil {
		operation := strings.TrimSuffix(p.operation, "ToClient") + "FromClient"
		r.seen.add(operation, theSpec(r.t).matches(operation, string(frame))...)
	}
	if err := p.WriteMessage(kind, frame); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replayer) online(account, friend string) {
	data := r.call(account, http.MethodGet, "/Tim/getFriends", url.Values{"account": {account}}, nil)
	var friends []struct {
		Account      string `json:"account"`
		OnlineStatus int    `json:"onlineStatus"`
	}
	if err := json.Unmarshal(data, &friends); err != nil {
		r.t.Fatal(err)
	}
	for _, f := range friends {
		if f.Account == friend {
			fmt.Fprintf(&r.out, "= onlineStatus %d\n", f.OnlineStatus)
		}
	}
}

func (r *replayer) dial(name, path string, args []string) {
	r.t.Helper()
	session, _, _ := strings.Cut(name, ".")
	token, via, plain := r.tokens[session], "header", false
	o := options{header: http.Header{}}
	if path == "/websocket" {
		o.protocols = []string{"tim.v1"}
	}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "token":
			if token = value; value == "none" {
				token = ""
			} else if known := r.tokens[value]; known != "" {
				token = known
			}
		case "via":
			via = value
		case "header":
			header, value, _ := strings.Cut(value, ":")
			o.header.Set(header, value)
		case "protocols":
			o.protocols = strings.Split(value, ",")
		case "plain":
			plain = true
		default:
			r.t.Fatalf("what is %q?", arg)
		}
	}
	switch {
	case token == "":
	case via == "query":
		path += "?token=" + url.QueryEscape(token)
	case via == "subprotocol":
		o.protocols = []string{"tim.v1", "token." + token}
	default:
		o.header.Set("token", token)
	}
	if plain || o.header.Get("Sec-Websocket-Version") != "" || o.header.Get("Sec-Websocket-Key") != "" {
		r.bareHandshake(path, o.header, plain)
		return
	}
	p, response, err := r.tryDial(path, o)
	switch {
	case err == nil:
		r.peers[name] = p
		r.ended = slices.DeleteFunc(r.ended, func(n string) bool { return n == name })
		fmt.Fprintln(&r.out, strings.TrimSpace("= 101 "+response.Header.Get("Sec-Websocket-Protocol")))
	case response != nil:
		r.refused(response)
	default:
		r.t.Fatalf("dial %s: %v", path, err)
	}
}

// bareHandshake sends a handshake that a proper client wouldn't.
func (r *replayer) bareHandshake(path string, header http.Header, plain bool) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.t.Context()), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if !plain {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			request.Header.Set(name, value)
		}
	}
	maps.Copy(request.Header, header)
	response, err := r.http.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	r.refused(response)
}

// refused writes down a refusal: its status, its headers as far as they are part of it, and its body.
func (r *replayer) refused(response *http.Response) {
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		r.t.Fatal(err)
	}
	line := fmt.Sprintf("= %d", response.StatusCode)
	for _, name := range []string{"Upgrade", "Sec-Websocket-Version"} {
		if value := response.Header.Get(name); value != "" {
			line += fmt.Sprintf(" %s: %s", name, value)
		}
	}
	fmt.Fprintln(&r.out, line, strings.TrimSpace(body.String()))
}
