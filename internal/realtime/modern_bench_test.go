package realtime_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/realtime"
)

const sendFrame = `{"type":"send","id":"r1","to":{"user":"bob"},"clientId":"5f2c9a","body":{"kind":"text","text":"hello, this is a message of a usual length"}}`

// BenchmarkDecodeSend is what a send costs before anything is done for it: decoded, checked, and in the spelling that is
// stored.
func BenchmarkDecodeSend(b *testing.B) {
	h, _ := bareHub(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := h.DecodeSend([]byte(sendFrame)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodeMessage is what a message costs once for all readers of a conversation.
func BenchmarkEncodeMessage(b *testing.B) {
	h, _ := bareHub(b)
	m := chat.Message{Seq: 42, Sender: "alice", SentAt: 1769864645123, Body: `{"body":{"kind":"text","text":"hello, this is a message of a usual length"}}`}
	b.ReportAllocs()
	for b.Loop() {
		if h.MessageFrame(chat.ToGroup(1), m) == nil {
			b.Fatal("no frame")
		}
	}
}

// BenchmarkModernGroup is the way of a message to 100 connections of tim.v1.
func BenchmarkModernGroup(b *testing.B) {
	const size = 100
	n := startNode(b, setup{})
	n.users("alice", "bob")
	group := n.group("alice", "bob")
	readers := make([]*peer, size)
	for i := range readers {
		d := n.deviceWith("bob", options{unchecked: true})
		d.sync()
		readers[i] = d.peer
	}
	b.ReportAllocs()
	for b.Loop() {
		n.say("alice", chat.ToGroup(int32(group)), "hello")
		for _, p := range readers {
			<-p.frames
		}
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkIdle measures what an idle, synced connection of tim.v1 costs the process, its clients' end included.
func BenchmarkIdle(b *testing.B) {
	n := startNode(b, setup{})
	n.users("alice", "bob")
	n.group("alice", "bob")
	const connections = 2000
	dialer := websocket.Dialer{Subprotocols: []string{subprotocols}, ReadBufferSize: 256, WriteBufferSize: 256}
	for b.Loop() {
		before, beforeRSS, goroutines := heap(), rss(b), runtime.NumGoroutine()
		for range connections {
			c, response, err := dialer.Dial("ws"+strings.TrimPrefix(n.url, "http")+"/websocket", http.Header{"token": {n.tokens["bob"]}})
			must(b, err)
			must(b, response.Body.Close())
			b.Cleanup(func() { _ = c.Close() })
			must(b, c.WriteMessage(websocket.TextMessage, []byte(`{"type":"sync","id":"s"}`)))
			for range 2 {
				_, _, err := c.ReadMessage()
				must(b, err)
			}
		}
		b.ReportMetric(float64(heap()-before)/connections, "heap-B/connection")
		b.ReportMetric(float64(rss(b)-beforeRSS)/connections, "rss-B/connection")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/connections, "goroutines/connection")
	}
}

// rss is what the process has in memory, in bytes.
func rss(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	must(b, err)
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	must(b, err)
	return pages * int64(os.Getpagesize())
}

// What the decoder of tim.v1 accepts is a request with a good id, whatever it refuses has an answer that the spec allows,
// and an id is what it was or not there.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		sendFrame, `{}`, `[]`, `null`, `{"type":"ping","id":"1"}`, `{"type":"ping","id":"1","ID":"a b"}`, `{"type":"ping","id":"a","id":"b"}`,
		`{"type":"sync","id":"s","have":[{"conversation":{"group":1},"seq":1.0}],"after":""}`, `{"type":"read","id":"1","conversation":{"user":"b"},"seq":1e400}`,
		`{"type":"history","id":"h","conversation":{"group":1},"before":9223372036854775808,"limit":1e2}`, `{"type":"subscribe","id":"s","accounts":["a","é"]}`,
		`{"type":"send","id":"x","to":{"group":1},"clientId":"c","body":{"kind":"custom","data":{"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}}}`,
		strings.Repeat(`{"a":`, 10_000), `{"type":"typing","id":"\ud800"}`, "{\"type\":\"renew\",\"id\":\"\xff\"}", `{"type":"received","id":"1","conversation":{"user":"b","user":"c"},"seq":1}`,
	} {
		f.Add([]byte(seed))
	}
	h, _ := bareHub(f)
	spec := theSpec(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		request, id, broken, err := h.DecodeRequest(frame)
		var value map[string]json.RawMessage
		if object := json.Unmarshal(frame, &value) == nil && value != nil; object == broken {
			t.Fatalf("broken: %t, but an object: %t", broken, object)
		}
		if again, ok := realtime.RequestID(frame); ok == broken || again != id {
			t.Errorf("the id is %q, %t and %q", again, ok, id)
		}
		if broken {
			return
		}
		if err != nil {
			answer := string(h.ErrorFrame(id, err))
			if !utf8.ValidString(answer) || len(spec.matches("timV1ToClient", answer)) != 1 {
				t.Errorf("an answer that isn't in the spec: %s", answer)
			}
			return
		}
		if id == "" {
			t.Error("accepted without an id")
		}
		text, err := json.Marshal(request)
		if err != nil || len(spec.matches("timV1FromClient", string(text))) != 1 {
			t.Errorf("accepted as %T %s: %v", request, text, err)
		}
		if r, ok := request.(frames.Send); ok && r.ID != id {
			t.Errorf("the request's id is %q", r.ID)
		}
	})
}

// BenchmarkRequestID is what a request over the limit costs.
func BenchmarkRequestID(b *testing.B) {
	large := fmt.Sprintf(`{"type":"send","id":"r1","x":%q}`, strings.Repeat("x", 60_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := realtime.RequestID([]byte(large)); !ok {
			b.Fatal("no object")
		}
	}
}
