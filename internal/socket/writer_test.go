package socket

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"

	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// quiet is a handler that does nothing but what a test wants. It counts what it is told.
type quiet struct {
	text    func()
	bye     []byte
	mu      sync.Mutex
	pings   int
	written int64
	clean   []bool // of each PeerClosed
}

func (q *quiet) Text(context.Context, []byte) {
	if q.text != nil {
		q.text()
	}
}

func (q *quiet) PingPayload(payload []byte, written int64) []byte {
	q.pings++
	return fmt.Appendf(payload, "%d:%d", q.pings, written)
}

func (q *quiet) Written(token int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.written = token
}

func (q *quiet) PeerClosed(clean bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clean = append(q.clean, clean)
}

func (q *quiet) Pong([]byte)                                  {}
func (q *quiet) More() bool                                   { return false }
func (q *quiet) Heartbeat()                                   {}
func (q *quiet) LastWords(code Code, _ string) (Code, []byte) { return code, q.bye }
func (q *quiet) Closed()                                      {}

// bare is a server of which nothing runs.
func bare(t *testing.T, timing Timing) *Server {
	t.Helper()
	timing.PeerTimeout = cmp.Or(timing.PeerTimeout, time.Minute)
	timing.FrameStall = cmp.Or(timing.FrameStall, time.Minute)
	timing.CloseTimeout = cmp.Or(timing.CloseTimeout, 5*time.Second)
	timing.Handshake = cmp.Or(timing.Handshake, 10*time.Second)
	timing.WriteTimeout = cmp.Or(timing.WriteTimeout, 30*time.Second)
	timing.SlowAfter = cmp.Or(timing.SlowAfter, 10*time.Second)
	s := newServer(Options{Timing: timing, Log: slog.New(slog.DiscardHandler), Ended: func(*Conn) {}})
	t.Cleanup(s.end)
	return s
}

// bareConn is a connection without a socket.
func (s *Server) bareConn(h Handler) *Conn { return s.NewConn("c", "alice", h) }

// unread is a connection whose peer, over the network, reads only what the test reads.
func (s *Server) unread(t *testing.T, h Handler) (*Conn, net.Conn) {
	t.Helper()
	c := s.bareConn(h)
	attached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if network, err := s.Upgrade(w, r, "", nil); err == nil {
			_ = network.(*net.TCPConn).SetWriteBuffer(4096)
			c.attach(network)
		}
		close(attached)
	}))
	t.Cleanup(server.Close)
	var network net.Conn
	dialer := websocket.Dialer{NetDial: func(kind, address string) (_ net.Conn, err error) {
		if network, err = net.Dial(kind, address); err == nil {
			err = network.(*net.TCPConn).SetReadBuffer(4096)
		}
		return network, err
	}}
	client, _, err := dialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-attached
	t.Cleanup(func() {
		_ = client.Close()
		c.Cut()
	})
	return c, network
}

// The header of a frame is as RFC 6455 has it for each length.
func TestAppendFrame(t *testing.T) {
	t.Parallel()
	for size, want := range map[int][]byte{
		0: {0x81, 0}, 125: {0x81, 125}, 126: {0x81, 126, 0, 126}, 127: {0x81, 126, 0, 127}, 65535: {0x81, 126, 0xff, 0xff},
		65536: {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0},
	} {
		data := bytes.Repeat([]byte("x"), size)
		got := appendFrame([]byte("before"), websocket.TextMessage, data)
		if !bytes.Equal(got, append(append([]byte("before"), want...), data...)) {
			t.Errorf("%d bytes: %x", size, got[:min(len(got), 20)])
		}
	}
	if got := appendFrame(nil, websocket.CloseMessage, []byte{3, 0xe8}); !bytes.Equal(got, []byte{0x88, 2, 3, 0xe8}) {
		t.Errorf("a close frame: %x", got)
	}
}

// Only what is entirely out counts as written; what a reader isn't shown counts with what is before it.
func TestBatchUpTo(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{})
	c := h.bareConn(&quiet{})
	flow := new(Flow)
	for _, o := range []outgoing{
		{opcode: opText, Frame: Frame{Data: []byte("notice")}},                                   // up to 8
		{opcode: opText, Frame: Frame{Token: 5}},                                                 // not shown
		{opcode: opText, Frame: Frame{Data: []byte("six"), Token: 6}},                            // up to 13
		{opcode: websocket.PingMessage},                                                          // up to 18: "1:6"
		{opcode: opText, Frame: Frame{Data: []byte("over"), Token: 9, Flow: &Flow{ended: true}}}, // dropped
		{opcode: opText, Frame: Frame{Data: []byte("modern"), Token: 3, Flow: flow}},             // up to 26; the flow notes it
		{opcode: opText, Frame: Frame{Data: []byte("seven"), Token: 7}},                          // up to 33
	} {
		c.queue = append(c.queue, o)
		c.queued += len(o.Data) + frameOverhead
	}
	b := h.newBatch()
	c.load(b)
	if want := "\x81\x06notice\x81\x03six\x89\x031:6\x81\x06modern\x81\x05seven"; string(b.frames) != want {
		t.Errorf("written is %q, want %q", b.frames, want)
	}
	if len(c.queue) != 0 || c.queued != 0 {
		t.Errorf("%d frames of %d bytes are left", len(c.queue), c.queued)
	}
	for bytes, want := range map[int]int64{0: 0, 7: 0, 8: 5, 12: 5, 13: 6, 32: 6, 33: 7} {
		if got := b.upTo(bytes); got != want {
			t.Errorf("after %d bytes %d counts as written, want %d", bytes, got, want)
		}
	}
	if last := c.EndFlow(flow); c.last != 7 || last != 3 {
		t.Errorf("up to %d, and %d of the flow", c.last, last)
	}
}

// A write that is given up in the middle counts up to the last message that the peer can read whole.
func TestPartialWrite(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{WriteTimeout: 100 * time.Millisecond})
	told := &quiet{}
	c, peer := h.unread(t, told)
	c.mu.Lock()
	for seq := int64(1); !c.sealed; {
		b := h.newBatch()
		for range 500 { // far more than a usual batch, which the system takes whole or not at all
			data := binary.BigEndian.AppendUint64(bytes.Repeat([]byte("x"), 501), uint64(seq))
			c.add(b, outgoing{opcode: opText, Frame: Frame{Data: data, Token: seq}})
			seq++
		}
		c.deliver(b)
	}
	written := told.written
	c.mu.Unlock()
	var last int64
	if err := peer.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		frame := make([]byte, 4+509)
		n, err := io.ReadFull(peer, frame)
		if err != nil {
			if n == 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the end is %v after %d bytes of a frame, so nothing is shown", err, n)
			}
			break
		}
		last = int64(binary.BigEndian.Uint64(frame[505:]))
	}
	if last != written || written == 0 {
		t.Errorf("%d counts as written, the peer has %d", written, last)
	}
}

// A close frame of the peer is answered only when the write under way has ended; what is cut off doesn't count as written.
func TestPeerClosesDuringAWrite(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{WriteTimeout: 10 * time.Second})
	told := &quiet{}
	c, _ := h.unread(t, told)
	c.Offer(Frame{Data: bytes.Repeat([]byte("x"), 8<<20), Token: 1}) // more than the system buffers
	await(t, "the write begins", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.since != 0
	})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.peerCloses(Normal)
	}()
	await(t, "it closes", c.Closing)
	select {
	case <-closed:
		t.Error("the close frame is answered while a message is under way")
	case <-time.After(50 * time.Millisecond):
	}
	c.Cut()
	<-closed
	h.running.Wait()
	if told.written != 0 {
		t.Errorf("%d counts as written", told.written)
	}
	if !slices.Equal(told.clean, []bool{false}) { // the connection was cut before the answer
		t.Errorf("the handler was told %v", told.clean)
	}
}

// A peer that doesn't wait for the answer to its close frame hasn't read what was written behind that.
func TestPeerClosesAndIsGone(t *testing.T) {
	t.Parallel()
	ends := func(n net.Conn) { _ = n.Close() }
	for name, tc := range map[string]struct {
		leave  func(net.Conn)
		writes int // how many messages are written when it has left
		clean  bool
	}{
		"waits":         {func(net.Conn) {}, 1, true},
		"ends":          {ends, 0, true},
		"ends its half": {func(n net.Conn) { _ = n.(*net.TCPConn).CloseWrite() }, 1, false},
		"resets": {func(n net.Conn) {
			_ = n.(*net.TCPConn).SetLinger(0)
			_ = n.Close()
		}, 0, true},
		"resets before a message": {func(n net.Conn) {
			_ = n.(*net.TCPConn).SetLinger(0)
			_ = n.Close()
		}, 1, false},
		"ends before a message":                       {ends, 1, false},
		"ends before some, of which the second fails": {ends, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := bare(t, Timing{})
			told := &quiet{}
			c, network := h.unread(t, told)
			tc.leave(network)
			await(t, "the end of the connection is noticed", func() bool { return c.source.gone() == (name != "waits") })
			for i := range tc.writes {
				c.Offer(Frame{Data: []byte("m"), Token: int64(i) + 1})
				h.running.Wait() // the write has ended
			}
			c.peerCloses(Normal)
			h.running.Wait()
			if !slices.Equal(told.clean, []bool{tc.clean}) {
				t.Errorf("the handler was told %v", told.clean)
			}
		})
	}
}

// await waits for a condition.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// A heartbeat's ping goes out once however many are due, and behind what is queued; none once the connection is closing.
func TestHeartbeatGoesBehindTheQueue(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{})
	c := h.bareConn(&quiet{})
	loaded := func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		b := h.newBatch()
		c.load(b)
		return string(b.frames)
	}
	c.tick()
	c.Offer(Frame{Data: []byte("a"), Token: 7})
	c.tick()
	if got, want := loaded(), "\x81\x01a\x89\x031:7"; got != want || c.pending() {
		t.Errorf("%q is written, want %q; more is to come: %t", got, want, c.pending())
	}
	c.Send(bytes.Repeat([]byte("b"), BatchBytes))
	c.Send([]byte("c"))
	c.tick()
	loaded()
	if !c.pinging {
		t.Error("a ping overtakes what is queued")
	}
	c.Close(Normal, "")
	if got, want := loaded(), "\x81\x01c"; got != want {
		t.Errorf("%q is written while closing, want %q", got, want)
	}
}
