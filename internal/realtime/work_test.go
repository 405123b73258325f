package realtime_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tim/internal/realtime"
)

// keysOf is an object of so many bytes, all of them keys.
func keysOf(size int) string {
	var b strings.Builder
	b.WriteString(`{"type":"ping","id":"1"`)
	for i := 0; b.Len() < size-16; i++ {
		fmt.Fprintf(&b, `,"%x":%d`, i, i%10)
	}
	return b.String() + "}"
}

// What is much work for the server counts for more than a frame: a client that sends it is read later.
func TestFramesCountByTheirWork(t *testing.T) {
	t.Parallel()
	const rate, burst = 1000, 10
	text := byte(websocket.TextMessage)
	ping := clientFrame(final|text, `{"type":"ping","id":"the-end"}`)
	history := clientFrame(final|text, `{"type":"history","id":"1","conversation":{"user":"bob"}}`)
	syncs := clientFrame(final|text, `{"type":"sync","id":"1","have":[]}`)
	for name, test := range map[string]struct {
		sockets int
		frames  string
		atLeast int // frames that they count as
	}{
		"pings":           {1, strings.Repeat(ping, 500), 500},
		"on two sockets":  {2, strings.Repeat(ping, 250), 500},
		"many keys":       {1, strings.Repeat(clientFrame(final|text, keysOf(60_000)), 40), 40 * 15},
		"empty fragments": {1, clientFrame(fragmentOf|text, `{"type":"ping"`) + strings.Repeat(clientFrame(continued, ""), 500) + clientFrame(final|continued, `,"id":"1"}`), 500},
		"small fragments": {1, clientFrame(fragmentOf|text, `{"type":"ping"`) + strings.Repeat(clientFrame(continued, " "), 500) + clientFrame(final|continued, `,"id":"1"}`), 500},
		"histories":       {1, strings.Repeat(history, 200), 600},
		"syncs":           {1, strings.Repeat(syncs, 120), 600},
		"control frames":  {1, strings.Repeat(clientFrame(final|websocket.PingMessage, "")+clientFrame(final|websocket.PongMessage, ""), 250), 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, setup{rate: rate, burst: burst})
			n.users("alice", "bob")
			n.friends("alice", "bob")
			begun := time.Now()
			var work sync.WaitGroup
			for range test.sockets {
				c, r := n.rawModern("alice")
				work.Go(func() { _, _ = io.WriteString(c, test.frames+ping) }) // the answers tell
				work.Go(func() { awaitText(t, r, `"the-end"`, 1+strings.Count(test.frames, `"the-end"`)) })
			}
			work.Wait()
			if took, least := time.Since(begun), time.Duration(test.atLeast-burst)*time.Second/rate; took < least {
				t.Errorf("took %v, want %v at least", took, least)
			}
		})
	}
}

// awaitText reads until a text has come so many times.
func awaitText(t *testing.T, r io.Reader, text string, times int) {
	t.Helper()
	piece := make([]byte, 64<<10)
	for rest := ""; times > 0; {
		n, err := r.Read(piece)
		if err != nil {
			t.Errorf("%s has yet to come %d times: %v", text, times, err)
			return
		}
		rest += string(piece[:n])
		times -= strings.Count(rest, text)
		rest = rest[max(0, strings.LastIndex(rest, text)+1, len(rest)-len(text)):]
	}
}

// What a peer sends behind the close of its socket isn't read for ever, whatever the frames.
func TestClosingSocketReadsLittle(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{CloseTimeout: time.Minute}})
	n.users("alice")
	text := byte(websocket.TextMessage)
	for name, frames := range map[string]string{
		"empty":     clientFrame(final|text, ""),
		"small":     clientFrame(final|text, "x"),
		"large":     clientFrame(final|text, strings.Repeat("x", 60_000)),
		"pings":     clientFrame(final|websocket.PingMessage, "x"),
		"pongs":     clientFrame(final|websocket.PongMessage, ""),
		"fragments": clientFrame(fragmentOf|text, "") + strings.Repeat(clientFrame(continued, ""), 100) + clientFrame(final|continued, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := n.rawModern("alice")
			_, err := io.WriteString(c, clientFrame(final|text, "null")) // closes it
			must(t, err)
			piece, sent := strings.Repeat(frames, 1+(64<<10)/len(frames)), 0
			for begun := time.Now(); err == nil; {
				var some int
				some, err = io.WriteString(c, piece)
				if sent += some; sent > 64<<20 { // what the kernel's buffers hold is a part of it
					t.Fatalf("%d bytes were taken in %v", sent, time.Since(begun))
				}
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the socket stays open")
			}
		})
	}
}

// One socket too many of an account closes its oldest, of whatever kind, and nobody else's. A handshake that is refused closes
// none.
func TestSocketsOfAnAccount(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{sockets: 3})
	n.users("alice", "bob")
	group := n.group("bob")
	other := n.device("bob")
	first := n.device("alice")
	second := n.chat("alice")
	third := n.device("alice")
	if _, _, err := n.tryDial(groupPath(group, "alice"), options{header: http.Header{"token": {n.tokens["alice"]}}}); err == nil {
		t.Error("a socket of a group that alice isn't in opens")
	}
	if f := first.ask("ping", nil); f.Type != "pong" {
		t.Errorf("after a refused handshake: %s", f.text)
	}
	fourth := n.device("alice")
	first.expectBye(4503)
	fifth := n.device("alice")
	second.expectEnd(websocket.ClosePolicyViolation)
	for _, d := range []*device{third, fourth, fifth, other} {
		if f := d.ask("ping", nil); f.Type != "pong" {
			t.Errorf("a socket that should stay: %s", f.text)
		}
	}
	third.leave()
	sixth := n.device("alice")
	for _, d := range []*device{fourth, fifth, sixth} {
		if f := d.ask("ping", nil); f.Type != "pong" {
			t.Errorf("after one has left: %s", f.text)
		}
	}
}
