package realtime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// bare is a hub of which nothing runs.
func bare(t *testing.T, timing Timing) *Hub {
	t.Helper()
	return &Hub{
		Options: Options{Timing: timing.withDefaults(), Log: slog.New(slog.DiscardHandler)}, life: t.Context(), began: time.Now(),
		open: make(map[*connection]struct{}), sessions: newSessions(), workers: newWorkers(),
		sockets: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sockets", Help: "Of a test."}, []string{"kind"}),
	}
}

// unread is a connection of a hub whose peer, over the network, reads only what the test reads.
func (h *Hub) unread(t *testing.T) (*connection, net.Conn) {
	t.Helper()
	c := h.bareConnection(kindGroup)
	c.mark.over = true
	attached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if network := h.upgrade(echo.New().NewContext(r, w), nil); network != nil {
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
		c.cut()
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
	c := bare(t, Timing{}).bareConnection(kindGroup)
	c.mark.written = 4
	for _, o := range []outgoing{
		{kind: websocket.TextMessage, data: []byte("notice")},                                    // up to 8
		{kind: websocket.TextMessage, seq: 5},                                                    // not shown
		{kind: websocket.TextMessage, data: []byte("six"), seq: 6},                               // up to 13
		{kind: websocket.PingMessage},                                                            // up to 18: "1:6"
		{kind: websocket.TextMessage, data: []byte("over"), seq: 9, stream: &stream{over: true}}, // dropped
		{kind: websocket.TextMessage, data: []byte("modern"), seq: 3, stream: new(stream)},       // up to 26; no mark of the server's
		{kind: websocket.TextMessage, data: []byte("seven"), seq: 7},                             // up to 33
	} {
		c.queue = append(c.queue, o)
		c.queued += len(o.data) + frameOverhead
	}
	b := c.newBatch()
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
	if b.written != 7 || c.mark.asked != 6 {
		t.Errorf("up to %d, asked about %d", b.written, c.mark.asked)
	}
}

// A write that is given up in the middle counts up to the last message that the peer can read whole.
func TestPartialWrite(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{WriteTimeout: 100 * time.Millisecond})
	c, peer := h.unread(t)
	c.mu.Lock()
	for seq := int64(1); !c.sealed; {
		b := c.newBatch()
		for range 500 { // far more than a usual batch, which the system takes whole or not at all
			data := binary.BigEndian.AppendUint64(bytes.Repeat([]byte("x"), 501), uint64(seq))
			c.add(b, outgoing{kind: websocket.TextMessage, data: data, seq: seq})
			seq++
		}
		c.deliver(b)
	}
	written := c.mark.written
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

// What is cut off, or written after the peer has closed, isn't confirmed by its close frame.
func TestMarkOfACutConnection(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{WriteTimeout: 10 * time.Second})
	c, _ := h.unread(t)
	c.mu.Lock()
	c.push(outgoing{kind: websocket.TextMessage, data: bytes.Repeat([]byte("x"), 8<<20), seq: 1}) // more than the system buffers
	for c.since == 0 {
		c.unlocked(func() { time.Sleep(time.Millisecond) })
	}
	c.mu.Unlock()
	c.parted.Do(func() {})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.peerCloses(closeNormal)
	}()
	for !c.shutting() {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-closed:
		t.Error("the close frame is answered while a message is under way")
	case <-time.After(50 * time.Millisecond):
	}
	c.cut()
	<-closed
	h.running.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mark.read != 0 || c.mark.written != 0 {
		t.Errorf("%d counts as read, %d as written", c.mark.read, c.mark.written)
	}
}

// A heartbeat's ping goes out once however many are due, and behind what is queued; none once the connection is closing.
func TestHeartbeatGoesBehindTheQueue(t *testing.T) {
	t.Parallel()
	h := bare(t, Timing{})
	c := h.bareConnection(kindGroup)
	loaded := func() string {
		b := c.newBatch()
		c.load(b)
		return string(b.frames)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick()
	c.push(outgoing{kind: websocket.TextMessage, data: []byte("a"), seq: 7})
	c.tick()
	if got, want := loaded(), "\x81\x01a\x89\x031:7"; got != want || c.pending() {
		t.Errorf("%q is written, want %q; more is to come: %t", got, want, c.pending())
	}
	c.push(outgoing{kind: websocket.TextMessage, data: bytes.Repeat([]byte("b"), batchBytes)})
	c.push(outgoing{kind: websocket.TextMessage, data: []byte("c")})
	c.tick()
	loaded()
	if !c.pinging {
		t.Error("a ping overtakes what is queued")
	}
	c.seal(closeNormal, "", false)
	if got, want := loaded(), "\x81\x01c"; got != want {
		t.Errorf("%q is written while closing, want %q", got, want)
	}
}
