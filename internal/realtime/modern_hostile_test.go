package realtime_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"tim/internal/chat"
	"tim/internal/realtime"
)

// rawModern is raw for tim.v1.
func (w *world) rawModern(session string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	must(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	must(w.t, c.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(c, "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tim.v1\r\ntoken: %s\r\n\r\n", w.tokens[session])
	must(w.t, err)
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	must(w.t, err)
	if response.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("handshake: %v", response)
	}
	return c, r
}

// The first bytes of a client's frame; its mask is of zeros.
const (
	final      = 0x80
	fragmentOf = 0x00
	continued  = 0x00
)

// header announces a frame's payload.
func header(first byte, size uint64) string {
	const mask = "\x00\x00\x00\x00"
	switch {
	case size < 126:
		return string([]byte{first, 0x80 | byte(size)}) + mask
	case size < 1<<16:
		return string([]byte{first, 0x80 | 126, byte(size >> 8), byte(size)}) + mask
	}
	long := []byte{first, 0x80 | 127}
	for shift := 56; shift >= 0; shift -= 8 {
		long = append(long, byte(size>>shift))
	}
	return string(long) + mask
}

func clientFrame(first byte, payload string) string {
	return header(first, uint64(len(payload))) + payload
}

// Whatever bytes come, a socket of tim.v1 is closed with the code for it, and its neighbours notice nothing.
func TestModernViolations(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{CloseTimeout: 300 * time.Millisecond}})
	n.users("alice", "bob")
	neighbour := n.device("bob")
	large := strings.Repeat("x", 0x8000)
	tests := map[string]struct {
		bytes string
		code  int
	}{
		"1 GiB announced":        {header(final|websocket.TextMessage, 1<<30), websocket.CloseMessageTooBig},
		"1 GiB begun":            {header(final|websocket.TextMessage, 1<<30) + large, websocket.CloseMessageTooBig},
		"63 bits announced":      {header(final|websocket.TextMessage, 1<<63-1), websocket.CloseMessageTooBig},
		"negative length":        {header(final|websocket.TextMessage, 1<<63), websocket.CloseProtocolError},
		"fragments over":         {clientFrame(fragmentOf|websocket.TextMessage, large) + strings.Repeat(clientFrame(continued, large), 3), websocket.CloseMessageTooBig},
		"overflowing fragments":  {clientFrame(fragmentOf|websocket.TextMessage, "x") + header(continued, 1<<63-1), websocket.CloseProtocolError},
		"bad UTF-8":              {clientFrame(final|websocket.TextMessage, "{\"type\":\"ping\",\"id\":\"\xff\"}"), websocket.CloseInvalidFramePayloadData},
		"a character cut short":  {clientFrame(final|websocket.TextMessage, "{\"type\":\"\xe4\xbd\"}"), websocket.CloseInvalidFramePayloadData},
		"a surrogate":            {clientFrame(final|websocket.TextMessage, "{\"type\":\"\xed\xa0\x80\"}"), websocket.CloseInvalidFramePayloadData},
		"binary":                 {clientFrame(final|websocket.BinaryMessage, `{"type":"ping","id":"1"}`), websocket.CloseUnsupportedData},
		"an empty frame":         {clientFrame(final|websocket.TextMessage, ""), 4502},
		"unmasked":               {"\x81\x01x" + large, websocket.CloseProtocolError},
		"reserved bit":           {"\xc1\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"unknown opcode":         {"\x83\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"continuation alone":     {clientFrame(final|continued, "x"), websocket.CloseProtocolError},
		"a text within another":  {clientFrame(fragmentOf|websocket.TextMessage, "{") + clientFrame(final|websocket.TextMessage, "{}"), websocket.CloseProtocolError},
		"a fragmented ping":      {clientFrame(websocket.PingMessage, "x"), websocket.CloseProtocolError},
		"a large ping":           {clientFrame(final|websocket.PingMessage, large), websocket.CloseProtocolError},
		"a bad code for closing": {clientFrame(final|websocket.CloseMessage, "\x00\x01"), websocket.CloseProtocolError},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, r := n.rawModern("alice")
			_, err := io.WriteString(c, test.bytes)
			must(t, err)
			if got := closeCode(t, r); got != test.code {
				t.Errorf("closed with %d, want %d", got, test.code)
			}
		})
	}
	t.Cleanup(func() {
		if f := neighbour.ask("ping", nil); f.Type != "pong" {
			t.Errorf("the neighbour got %s", f.text)
		}
	})
}

// A frame that has begun must go on, and end: one that stands still, drips, or consists of endless fragments ends its
// socket. One that comes slowly but steadily is taken. So it is on every socket.
func TestFrameThatDoesNotCome(t *testing.T) {
	t.Parallel()
	// So long that a busy machine neither lets a drip stand still nor is taken for the longer time.
	const stall, whole, latest = 1500 * time.Millisecond, 5 * time.Second, 5*time.Second + patience
	n := startNode(t, setup{timing: realtime.Timing{FrameStall: stall, PeerTimeout: whole}})
	n.users("alice")
	nothing, text := func(int) string { return "" }, byte(websocket.TextMessage)
	tests := map[string]struct {
		first    string
		next     func(i int) string // every 20 ms
		from, to time.Duration
	}{
		"64 kB announced":      {header(final|text, 60_000), nothing, stall, whole},
		"16 MiB announced":     {header(final|text, 16<<20), nothing, stall, whole},
		"stands still later":   {header(final|text, 60_000) + "{", func(i int) string { return strings.Repeat(" ", max(0, 20-i)) }, stall, whole},
		"drips":                {header(final|text, 60_000) + "{", func(int) string { return " " }, whole, latest},
		"an unfinished one":    {clientFrame(fragmentOf|text, "{"), nothing, stall, whole},
		"small fragments":      {clientFrame(fragmentOf|text, "{"), func(int) string { return clientFrame(continued, " ") }, whole, latest},
		"empty fragments":      {clientFrame(fragmentOf|text, "{"), func(int) string { return strings.Repeat(clientFrame(continued, ""), 100) }, stall, whole},
		"pings, but no end":    {clientFrame(fragmentOf|text, "{"), func(int) string { return clientFrame(final|websocket.PingMessage, "x") }, whole, latest},
		"pings and fragments":  {clientFrame(fragmentOf|text, "{"), func(int) string { return clientFrame(final|websocket.PongMessage, "x") + clientFrame(continued, "") }, whole, latest},
		"silent between them":  {"", nothing, whole, latest},
		"more after one taken": {clientFrame(final|text, `{"type":"ping","id":"1"}`), nothing, whole, latest},
	}
	for face, open := range map[string]func(*world) net.Conn{
		"tim.v1": func(w *world) net.Conn { c, _ := w.rawModern("alice"); return c },
		"chat":   func(w *world) net.Conn { c, _ := w.raw("alice", chatPath("alice")); return c },
	} {
		for name, test := range tests {
			if face == "chat" && name == "more after one taken" {
				continue // no frame of its
			}
			t.Run(face+"/"+name, func(t *testing.T) {
				t.Parallel()
				begun := time.Now()
				c := open(n.world)
				_, err := io.WriteString(c, test.first)
				must(t, err)
				ended := make(chan error, 1)
				go func() {
					_, err := io.Copy(io.Discard, c)
					ended <- err
				}()
				ticker := time.NewTicker(20 * time.Millisecond)
				defer ticker.Stop()
				for i := 0; err == nil; i++ {
					select {
					case <-ticker.C:
						_, _ = io.WriteString(c, test.next(i)) // fails at the end, which the reader sees
						continue
					case err = <-ended:
					}
					break
				}
				if took := time.Since(begun); errors.Is(err, os.ErrDeadlineExceeded) || took < test.from || took > test.to {
					t.Errorf("closed after %v with %v, want %v to %v", took, err, test.from, test.to)
				}
			})
		}
	}
	t.Run("slow but steady", func(t *testing.T) {
		t.Parallel()
		c, r := n.rawModern("alice")
		const pieces = 50
		piece := strings.Repeat(" ", 1200)
		request := `{"type":"ping","id":"slow"` + strings.Repeat(piece, pieces) + "}"
		frame := clientFrame(final|text, request)
		for len(frame) > 0 {
			some := min(len(frame), len(piece))
			_, err := io.WriteString(c, frame[:some])
			must(t, err)
			frame = frame[some:]
			time.Sleep(2 * stall / pieces) // that it is slow is the point
		}
		for answer := ""; !strings.Contains(answer, `"slow"`); {
			line := make([]byte, 4096)
			some, err := r.Read(line)
			must(t, err)
			answer += string(line[:some])
		}
	})
}

// WebSocket's own pings and pongs count like requests: a flood of them is slowed and answered, and costs nobody else
// anything.
func TestModernPingFlood(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 1000, burst: 10})
	n.users("alice", "bob")
	flood, other := n.device("alice"), n.device("bob")
	begun := time.Now()
	const count = 300
	for range count {
		must(t, flood.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(patience)))
		must(t, flood.WriteControl(websocket.PongMessage, []byte("1:9223372036854775807"), time.Now().Add(patience)))
	}
	if f := other.ask("ping", nil); f.Type != "pong" {
		t.Errorf("another one got %s", f.text)
	}
	for range count {
		select {
		case <-flood.pongs:
		case <-time.After(patience):
			t.Fatal("a ping was not answered")
		}
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("600 at 1000 a second took %v", took)
	}
	eventually(t, "it may ask again", func() bool { return flood.ask("ping", nil).Type == "pong" })
}

// Sends that come faster than the limit are read more slowly: each is stored and answered, in the order in which they were
// sent, and others see that order.
func TestModernSendFlood(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 200, burst: 20})
	n.users("alice", "bob")
	group := who{Group: n.group("alice", "bob")}
	flood, reader := n.device("alice"), n.device("bob")
	reader.has[group] = 2
	reader.sync()
	const count = 300
	begun := time.Now()
	ids, want := make([]string, count), make([]string, count)
	for i := range count {
		want[i] = fmt.Sprint("m", i)
		ids[i] = flood.request("send", textTo(group, want[i], want[i]))
	}
	for i := range count {
		if f := flood.read1(); f.Type != "sent" || f.ID != ids[i] || f.Seq != int64(3+i) {
			t.Fatalf("the answer to send %d is %s", i, f.text)
		}
	}
	if took := time.Since(begun); took < time.Second { // (300 - 20) / 200 s
		t.Errorf("%d at 200 a second took %v", count, took)
	}
	reader.upTo(group, int64(2+count))
	if diff := cmp.Diff(want, reader.texts[group]); diff != "" {
		t.Errorf("sent (-) and received (+):\n%.1000s", diff)
	}
	if diff := cmp.Diff(want, n.history("bob", chat.ToGroup(int32(group.Group)))); diff != "" {
		t.Errorf("sent (-) and stored (+):\n%.1000s", diff)
	}
}

// Of a key that is there twice the last counts, for every part of the server, and both must be good: what is checked is what is
// done.
func TestModernDuplicateKeys(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob", "carol")
	n.friends("alice", "bob")
	alice, bob, carol := n.device("alice"), n.device("bob"), n.device("carol")
	for _, d := range []*device{bob, carol} {
		d.has[who{User: "alice"}] = 0
		d.sync()
	}
	for _, one := range []struct{ frame, reason, text string }{
		{`{"type":"ping","type":"send","id":"x","to":{"user":"bob"},"clientId":"1","body":{"kind":"text","text":"type"}}`, "invalid_body", ""},
		{`{"type":"send","id":"x","to":{"user":"bob"},"to":{"user":"carol"},"clientId":"2","body":{"kind":"text","text":"to"}}`, "not_friends", ""},
		{`{"type":"send","id":"x","to":{"user":"carol","user":"bob"},"clientId":"3","body":{"kind":"text","text":"inner to"}}`, "", "inner to"},
		{`{"type":"send","id":"x","to":{"user":"bob"},"clientId":"1","clientId":"4","body":{"kind":"text","text":"client id"}}`, "", "client id"},
		{`{"type":"send","id":"x","to":{"user":"bob"},"clientId":"5","body":{"kind":"text","text":"before"},"body":{"kind":"text","text":"first","text":"last"}}`, "", "last"},
		{`{"type":"send","id":"x","to":{"user":"bob"},"clientId":"5","body":7,"body":{"kind":"text","text":"x"}}`, "invalid_body", ""},
		{`{"type":"send","id":"x","to":{"user":"bob"},"clientId":"6","body":{"kind":"text","text":"fine"},"body":{"kind":"notice"}}`, "invalid_body", ""},
		{`{"type":"send","id":"x","to":{"user":"bob"},"clientId":"7","body":{"kind":"notice","kind":"text","text":"kind"}}`, "invalid_body", ""},
		{`{"type":"send","id":"a","id":"x","to":{"user":"bob"},"clientId":"8","body":{"kind":"text","text":"\u0000","text":"id"}}`, "", "id"},
	} {
		alice.send(one.frame)
		f := alice.read1()
		if f.ID != "x" || f.Reason != one.reason || (f.Type == "sent") != (one.reason == "") {
			t.Errorf("%s\n: %s", one.frame, f.text)
		}
		if f.Type != "sent" {
			continue
		}
		bob.upTo(who{User: "alice"}, f.Seq)
		if got := bob.texts[who{User: "alice"}]; got[len(got)-1] != one.text {
			t.Errorf("%s\n: bob got %q", one.frame, got[len(got)-1])
		}
	}
	carol.quiet("message")
}
