package realtime_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/realtime"
)

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A reader that doesn't read costs nobody else anything: the others get everything, memory stays flat, and it is told
// to come back when it reads again. Not parallel: it measures the heap.
func TestReaderThatDoesNotRead(t *testing.T) {
	n := startNode(t, setup{timing: realtime.Timing{Heartbeat: 50 * time.Millisecond, SlowAfter: 500 * time.Millisecond}})
	n.users("alice", "bob", "carol")
	group := n.group("alice", "bob", "carol")
	n.chat("bob")
	n.chat("carol")
	bob := n.member("bob", group)
	carol := n.dialWith("carol", groupPath(group, "carol"), options{hold: true, buffer: 256 << 10})
	bob.expect("用户CAROL上线")
	bob.next()
	before := heap()
	const count = 100 // 6.5 MB: more than the system buffers
	large := strings.Repeat("x", 64<<10)
	for range count {
		n.say("alice", chat.ToGroup(int32(group)), large)
		// Each waits for bob, so that the queue of nobody but carol grows.
		if got := bob.text(); got != large {
			t.Fatalf("bob got %d bytes", len(got))
		}
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("memory has grown by %d kB", grown>>10)
	}
	time.Sleep(700 * time.Millisecond) // what makes it slow is that time passes
	carol.release()
	frames := carol.expectEnd(websocket.CloseTryAgainLater)
	if len(frames) < 3 || len(frames) > count {
		t.Errorf("%d frames came before", len(frames))
	}
	bob.expect("用户CAROL下线")
	// When it comes back, it gets the rest.
	back := n.dial("carol", groupPath(group, "carol"))
	for range count - (len(frames) - 2) {
		back.text()
	}
}

// One that never reads again is gone in the end.
func TestReaderThatNeverReads(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{
		Heartbeat: 50 * time.Millisecond, SlowAfter: 100 * time.Millisecond, WriteTimeout: 300 * time.Millisecond,
	}})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	n.chat("alice")
	stuck := n.dialWith("bob", chatPath("bob"), options{hold: true, buffer: 64 << 10})
	alice := n.dial("alice", chatPath("alice"))
	large := strings.Repeat("x", 60_000)
	for i := 0; n.isOnline("bob"); i++ {
		if i > 2000 {
			t.Fatal("never given up")
		}
		alice.send(fmt.Sprintf(`{"to":"bob","text":%q}`, large))
		time.Sleep(time.Millisecond)
	}
	stuck.release()
	stuck.end()
}

// vanish opens a socket whose peer answers nothing, neither pings nor anything else.
func (w *world) vanish(session, path string) {
	w.t.Helper()
	w.dialWith(session, path, options{hold: true})
}

// A peer that vanished is gone after the timeout, and its account offline.
func TestVanishedPeer(t *testing.T) {
	t.Parallel()
	const timeout = 5 * time.Second // in which also a client on a busy machine answers a ping
	n := startNode(t, setup{timing: realtime.Timing{PeerTimeout: timeout, Heartbeat: 100 * time.Millisecond}})
	n.users("alice", "bob")
	n.chat("alice")
	begun := time.Now()
	n.vanish("bob", chatPath("bob"))
	if !n.isOnline("bob") {
		t.Fatal("bob is not online")
	}
	eventually(t, "bob is offline", func() bool { return !n.isOnline("bob") })
	if took := time.Since(begun); took < timeout {
		t.Errorf("noticed after %v", took)
	}
	if !n.isOnline("alice") {
		t.Error("alice, who is silent but answers pings, is offline too")
	}
}

// A handshake whose header doesn't end is closed after ten seconds.
func TestPartialHeader(t *testing.T) {
	t.Parallel()
	w, _ := start(t, apptest.Embedded)
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /websocket/alice HTTP/1.1\r\nHost: x\r\nUpgrade: web")
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	begun := time.Now()
	_, err = io.ReadAll(c)
	if took := time.Since(begun); err != nil || took < 9*time.Second || took > 12*time.Second {
		t.Errorf("closed after %v, %v", took, err)
	}
}

// A flood of pings or pongs is slowed like one of frames, and answered.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 1000, burst: 10})
	n.users("alice")
	alice := n.chat("alice")
	begun := time.Now()
	for range 300 {
		must(t, alice.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(patience)))
		must(t, alice.WriteControl(websocket.PongMessage, []byte("1:9223372036854775807"), time.Now().Add(patience)))
	}
	for range 300 {
		select {
		case <-alice.pongs:
		case <-time.After(patience):
			t.Fatal("a ping was not answered")
		}
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("600 at 1000 a second took %v", took)
	}
	alice.send(`{"to":"alice","text":"still here"}`)
	alice.expect(`[{"from":"alice"},{"text":"still here"}]`)
}

// Who sends too fast is read slower; nothing is dropped.
func TestSendRate(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 50, burst: 10})
	n.users("alice")
	group := n.group("alice")
	n.chat("alice")
	alice := n.member("alice", group)
	begun := time.Now()
	for _, text := range numbered("m", 50) {
		alice.send(text)
	}
	inOrder(t, "alice", alice.texts(50), []string{"m"}, 50)
	if took := time.Since(begun); took < 700*time.Millisecond {
		t.Errorf("50 at 50 a second, 10 at once, took %v", took)
	}
}

// A server that stops tells everybody and is done in time, whoever is stuck.
func TestStopWithStuckPeer(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 0.01, burst: 1})
	n.users("alice", "bob", "carol")
	n.friends("alice", "bob")
	alice, carol := n.dial("alice", chatPath("alice")), n.chat("carol")
	n.dialWith("bob", chatPath("bob"), options{hold: true, buffer: 4096}) // answers no close frame
	alice.send("{")                                                       // is too fast by then
	group := n.group("carol")
	slow := n.member("carol", group)
	slow.send("one")
	slow.send("is kept waiting for minutes")
	slow.text()
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	begun := time.Now()
	n.close(ctx)
	if took := time.Since(begun); took < 600*time.Millisecond || took > 1500*time.Millisecond {
		t.Errorf("the stop took %v", took)
	}
	carol.expectEnd(websocket.CloseGoingAway)
	slow.expectEnd(websocket.CloseGoingAway)
	if _, response, err := n.tryDial(chatPath("carol"), options{header: http.Header{"token": {n.tokens["carol"]}}}); err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a handshake at the stop: %v", response)
	}
}

// A panic ends one connection, with a code that owns up to it, or one handshake; the stop doesn't wait for it.
func TestPanic(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	n := startNode(t, setup{online: func(next func(context.Context, []string) []bool) func(context.Context, []string) []bool {
		return func(ctx context.Context, accounts []string) []bool {
			if armed.Load() {
				panic("a mistake")
			}
			return next(ctx, accounts)
		}
	}})
	n.users("alice", "bob")
	alice, bob := n.chat("alice"), n.chat("bob")
	armed.Store(true)
	alice.send(`{"to":"all","text":"x"}`)
	alice.expectEnd(websocket.CloseInternalServerErr)
	if p, _, err := n.tryDial(chatPath("alice"), options{header: http.Header{"token": {n.tokens["alice"]}}}); err == nil {
		t.Errorf("a handshake that panics: %v", p)
	}
	armed.Store(false)
	bob.send(`{"to":"bob","text":"x"}`)
	bob.expect(`[{"from":"bob"},{"text":"x"}]`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n.close(ctx)
	if ctx.Err() != nil {
		t.Error("the stop waited in vain")
	}
	bob.expectEnd(websocket.CloseGoingAway)
}

// raw does a handshake by hand, so that what follows may be anything.
func (w *world) raw(session, path string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	must(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	must(w.t, c.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\ntoken: %s\r\n\r\n", path, w.tokens[session])
	must(w.t, err)
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	must(w.t, err)
	if response.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("handshake: %v", response)
	}
	return c, r
}

// closeCode reads frames of a server up to its close frame.
func closeCode(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	for {
		kind, payload, err := frameOf(r)
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
		if kind == 0x88 {
			return int(payload[0])<<8 | int(payload[1])
		}
	}
}

// Whoever breaks RFC 6455 reads the code for it, even with more bytes on the way.
func TestProtocolViolations(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{CloseTimeout: 300 * time.Millisecond}})
	n.users("alice")
	for name, test := range map[string]struct {
		bytes string
		code  int
	}{
		"unmasked":         {"\x81\x01x" + strings.Repeat("z", 100_000), websocket.CloseProtocolError},
		"reserved bit":     {"\xc1\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"unknown opcode":   {"\x83\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"fragmented ping":  {"\x09\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"continuation":     {"\x80\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"bad close code":   {"\x88\x82\x00\x00\x00\x00\x00\x01", websocket.CloseProtocolError},
		"negative length":  {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", websocket.CloseProtocolError},
		"announced 1 GB":   {"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00" + strings.Repeat("x", 70_000), websocket.CloseMessageTooBig},
		"fragments over":   {strings.Repeat("\x01\xfe\x80\x00\x00\x00\x00\x00"+strings.Repeat("x", 0x8000), 1) + strings.Repeat("\x00\xfe\x80\x00\x00\x00\x00\x00"+strings.Repeat("x", 0x8000), 2), websocket.CloseMessageTooBig},
		"text in a binary": {"\x82\x81\x00\x00\x00\x00x", websocket.CloseUnsupportedData},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, r := n.raw("alice", chatPath("alice"))
			_, err := io.WriteString(c, test.bytes)
			must(t, err)
			if got := closeCode(t, r); got != test.code {
				t.Errorf("closed with %d, want %d", got, test.code)
			}
		})
	}
}

// The code reaches whoever breaks the protocol also while others write to it.
func TestViolationWhileWriting(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	bob := n.chat("bob")
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			if err := bob.WriteMessage(websocket.TextMessage, []byte(`{"to":"alice","text":"x"}`)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 10 {
		c, r := n.raw("alice", chatPath("alice"))
		_, err := io.WriteString(c, "\x83\x81\x00\x00\x00\x00x"+strings.Repeat("x", 200_000))
		must(t, err)
		if got := closeCode(t, r); got != websocket.CloseProtocolError {
			t.Errorf("closed with %d", got)
		}
		must(t, c.Close())
	}
	stop.Store(true)
	<-done
}

// frameOf reads a frame of a server.
func frameOf(r io.Reader) (kind byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(head[1])
	if size == 126 {
		var long [2]byte
		if _, err := io.ReadFull(r, long[:]); err != nil {
			return 0, nil, err
		}
		size = int(long[0])<<8 | int(long[1])
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	return head[0], payload, err
}

// Whoever breaks the protocol while its queue is full gets whole frames, then the code, and after that nothing.
func TestViolationWithAFullQueue(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{CloseTimeout: patience}})
	n.users("alice")
	n.chat("alice")
	for name, bad := range map[string]struct {
		bytes string
		code  int
	}{
		"unknown opcode": {"\x83\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"announced 1 GB": {"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00", websocket.CloseMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				group := n.group("alice")
				c, r := n.raw("alice", groupPath(group, "alice"))
				eventually(t, "it listens", func() bool { return n.hub.Listening(int32(group)) == 1 })
				n.say("alice", chat.ToGroup(int32(group)), "first")
				for first := false; !first; { // from then on messages are queued, and not fetched
					_, payload, err := frameOf(r)
					must(t, err)
					first = strings.Contains(string(payload), "first")
				}
				large := strings.Repeat("x", 60_000)
				for i := 0; n.hub.Queued() < 3*len(large); i++ {
					n.say("alice", chat.ToGroup(int32(group)), large)
					if i > 200 {
						t.Fatal("the queue never fills")
					}
				}
				must(t, c.SetDeadline(time.Now().Add(patience)))
				_, err := io.WriteString(c, bad.bytes)
				must(t, err)
				var kind byte
				var last []byte
				for {
					k, payload, err := frameOf(r)
					if err != nil {
						if errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, io.EOF) {
							t.Errorf("the stream ends with %v", err)
						}
						break
					}
					if kind == 0x88 {
						t.Fatalf("after the close frame came %x", k)
					}
					kind, last = k, payload
				}
				if kind != 0x88 || int(last[0])<<8|int(last[1]) != bad.code {
					t.Errorf("the last frame is %x %.20q", kind, last)
				}
				must(t, c.Close())
				eventually(t, "it is gone", func() bool { return n.hub.Listening(int32(group)) == 0 })
			}
		})
	}
}

// slowPresence takes its time.
type slowPresence struct {
	cluster.Presence
	leave   time.Duration
	entered chan struct{} // told when Online is asked
	online  chan struct{} // what Online waits for; nil for nothing
}

// Leave implements cluster.Presence.
func (p *slowPresence) Leave(ctx context.Context, room, member, id string) (bool, error) {
	time.Sleep(p.leave)
	return p.Presence.Leave(ctx, room, member, id)
}

// Online implements cluster.Presence.
func (p *slowPresence) Online(ctx context.Context, rooms []string) ([]bool, error) {
	if p.online != nil && len(rooms) > 0 {
		p.entered <- struct{}{}
		<-p.online
	}
	return p.Presence.Online(ctx, rooms)
}

// When a client hears that its socket is closed, its account is offline.
func TestOfflineBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{presence: func(p cluster.Presence) cluster.Presence {
		return &slowPresence{Presence: p, leave: 100 * time.Millisecond}
	}})
	n.users("alice")
	for _, end := range []func(p *peer){
		func(p *peer) { p.leave() },
		func(p *peer) {
			p.send(`{"text":"out"}`)
			p.expectEnd(websocket.CloseNormalClosure)
		},
	} {
		end(n.chat("alice"))
		if n.isOnline("alice") {
			t.Error("alice is online still")
		}
	}
}

// A stop that gives up while a handshake is under way doesn't leave its socket open.
func TestStopDuringHandshake(t *testing.T) {
	t.Parallel()
	slow := &slowPresence{entered: make(chan struct{}, 10), online: make(chan struct{})}
	n := startNode(t, setup{presence: func(p cluster.Presence) cluster.Presence {
		slow.Presence = p
		return slow
	}, timing: realtime.Timing{LastWords: 10 * time.Second}})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	dialled := make(chan *peer)
	go func() {
		p, _, _ := n.tryDial(directPath("alice", "bob"), options{header: http.Header{"token": {n.tokens["alice"]}}})
		dialled <- p
	}()
	<-slow.entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		n.close(ctx)
	}()
	<-ctx.Done()
	time.Sleep(50 * time.Millisecond) // for the hub to give up
	close(slow.online)
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the stop waits for a socket that was cut before it was one")
	}
	if p := <-dialled; p != nil {
		p.end()
	}
}

// Fragments of a text are one frame, with pings between them.
func TestFragments(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice")
	alice := n.chat("alice")
	c, _ := n.raw("alice", chatPath("alice"))
	const mask = "\x00\x00\x00\x00"
	_, err := io.WriteString(c, "\x01\x8e"+mask+`{"to":"alice",`+"\x89\x81"+mask+"x"+"\x80\x8b"+mask+`"text":"x"}`)
	must(t, err)
	alice.expect(`[{"from":"alice"},{"text":"x"}]`)
}
