package realtime_test

import (
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"tim/internal/chat"
)

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
