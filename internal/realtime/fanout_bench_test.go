package realtime_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tim/internal/chat"
)

// BenchmarkFanOut is what it costs this process to bring a message to one member of a group, who is connected over
// loopback and reads: processor time of the whole process less that of the client, a thread that only throws bytes away.
func BenchmarkFanOut(b *testing.B) {
	for _, size := range []int{100, 500} {
		for _, messages := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("%dmembers/%datonce", size, messages), func(b *testing.B) { benchmarkFanOut(b, size, messages) })
		}
	}
}

func benchmarkFanOut(b *testing.B, size, messages int) {
	n := startNode(b, setup{})
	n.users("alice", "bob")
	group := int32(n.group("alice", "bob"))
	m := chat.Message{Sender: "alice", SentAt: 1769864645123, Body: `{"body":{"kind":"text","text":"hello, this is a message of a usual length"}}`}
	conversation := chat.ToGroup(group).Conversation("")
	last, err := n.service.LastSeq(b.Context(), conversation)
	must(b, err)
	m.Seq = last
	sockets := make([]*os.File, size)
	for i := range sockets {
		sockets[i] = n.rawSocket("bob")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const bodyOnly = len(`{"body":}`)
	frame := func() int { // with a header for up to 64 KiB
		return 4 + len(m.Body) - bodyOnly + len(fmt.Sprintf(
			`{"message":{"body":,"conversation":{"group":%d},"sender":"alice","seq":%d,"time":%d},"type":"message"}`, group, m.Seq, m.SentAt))
	}
	buffer := make([]byte, 64<<10)
	timeout := syscall.Timeval{Sec: 3}
	for _, s := range sockets {
		must(b, syscall.SetsockoptTimeval(int(s.Fd()), syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout))
	}
	rounds := 0
	self, client := cpuTime(syscall.RUSAGE_SELF), cpuTime(rusageThread)
	for b.Loop() {
		want := 0
		for range messages {
			m.Seq++
			copied := m
			want += frame()
			n.feed.Notify(context.Background(), chat.Event{
				Kind: chat.MessageStored, Conversation: conversation, Group: group, Message: &copied,
			})
		}
		for _, s := range sockets {
			for left := want; left > 0; {
				read, err := syscall.Read(int(s.Fd()), buffer[:min(left, len(buffer))])
				if errors.Is(err, syscall.EINTR) { // a profile is taken
					continue
				}
				if err != nil || read == 0 {
					b.Fatal(read, err)
				}
				left -= read
			}
		}
		rounds++
	}
	used := cpuTime(syscall.RUSAGE_SELF) - self - (cpuTime(rusageThread) - client)
	b.ReportMetric(float64(used.Nanoseconds())/float64(rounds*messages*size), "cpu-ns/delivery")
}

// rusageThread is RUSAGE_THREAD of getrusage(2).
const rusageThread = 1

func cpuTime(who int) time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(who, &used) // fails for another who alone
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// rawSocket opens a synced socket of tim.v1 as a file whose reads block a thread, and not the runtime's poller.
func (n *node) rawSocket(account string) *os.File {
	n.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	must(n.t, err)
	defer func() { must(n.t, c.Close()) }()
	_, err = fmt.Fprintf(c, "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: tim.v1\r\ntoken: %s\r\n\r\n", n.tokens[account])
	must(n.t, err)
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	must(n.t, err)
	must(n.t, response.Body.Close())
	readFrame(n.t, r)                                                                          // hello
	for _, request := range []string{`{"type":"sync","id":"s"}`, `{"type":"ping","id":"p"}`} { // the second is answered when the first is done
		_, err = c.Write(append([]byte{0x81, 0x80 | byte(len(request)), 0, 0, 0, 0}, request...)) // a mask of zeroes
		must(n.t, err)
		readFrame(n.t, r)
	}
	file, err := c.(*net.TCPConn).File()
	must(n.t, err)
	n.t.Cleanup(func() { _ = file.Close() })
	return file
}

// readFrame passes over a frame of a server.
func readFrame(t testing.TB, r *bufio.Reader) {
	t.Helper()
	head := make([]byte, 2)
	_, err := r.Read(head[:1])
	must(t, err)
	_, err = r.Read(head[1:])
	must(t, err)
	size := int(head[1])
	if size == 126 {
		high, _ := r.ReadByte()
		low, err := r.ReadByte()
		must(t, err)
		size = int(high)<<8 | int(low)
	}
	_, err = r.Discard(size)
	must(t, err)
}
