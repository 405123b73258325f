package realtime_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

const sendFrame = `{"type":"send","id":"r1","to":{"user":"bob"},"clientId":"5f2c9a","body":{"kind":"text","text":"hello, this is a message of a usual length"}}`

// BenchmarkModernDirect is the whole way of a one-to-one message on tim.v1: sent, stored, acknowledged, and delivered to
// both sides. What it costs in CPU time has the clients' part in it.
func BenchmarkModernDirect(b *testing.B) {
	n := startNode(b, setup{})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	alice, bob := n.deviceWith("alice", options{unchecked: true}), n.deviceWith("bob", options{unchecked: true})
	alice.sync()
	bob.sync()
	before := processCPU(b)
	b.ReportAllocs()
	for b.Loop() {
		alice.n++
		alice.send(strings.Replace(sendFrame, "5f2c9a", fmt.Sprintf("c%d", alice.n), 1))
		<-alice.frames
		<-alice.frames
		<-bob.frames
	}
	b.ReportMetric(float64(processCPU(b)-before)/float64(b.N), "cpu-ns/op")
}

// processCPU is what the process has used, in ns.
func processCPU(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}
