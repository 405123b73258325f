package realtime_test

import (
	"fmt"
	"testing"

	"github.com/gorilla/websocket"
)

// BenchmarkDirect is the way of a message from one client to another: sent, stored, delivered.
func BenchmarkDirect(b *testing.B) {
	n := startNode(b, setup{})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	n.chat("alice")
	n.chat("bob")
	alice := n.dialWith("alice", directPath("alice", "bob"), options{unchecked: true})
	bob := n.dialWith("bob", directPath("bob", "alice"), options{unchecked: true})
	b.ReportAllocs()
	for b.Loop() {
		alice.send("hello")
		<-bob.frames
	}
}

// BenchmarkDirectPipelined doesn't wait for one message before it sends the next.
func BenchmarkDirectPipelined(b *testing.B) {
	n := startNode(b, setup{})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	n.chat("alice")
	n.chat("bob")
	alice := n.dialWith("alice", directPath("alice", "bob"), options{unchecked: true})
	bob := n.dialWith("bob", directPath("bob", "alice"), options{unchecked: true})
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			_ = alice.WriteMessage(websocket.TextMessage, []byte("hello"))
		}
	}()
	for range b.N {
		<-bob.frames
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkGroup is the same to all members of a group, the sender among them.
func BenchmarkGroup(b *testing.B) {
	const size = 100
	n := startNode(b, setup{})
	accounts := make([]string, size)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("m%d", i)
	}
	n.users(accounts...)
	group := n.group(accounts...)
	members := make([]*peer, size)
	for i, account := range accounts {
		n.chat(account)
		members[i] = n.dialWith(account, groupPath(group, account), options{unchecked: true})
		members[i].next()
		members[i].next()
	}
	for i, p := range members { // the notices about those who came later, two for each
		for range 2 * (size - 1 - i) {
			p.next()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		members[0].send("hello")
		for _, p := range members {
			<-p.frames
		}
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
