package cluster_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

// kinds runs a benchmark in memory, on a standalone Redis and on a Redis Cluster of three masters.
func kinds(b *testing.B, bench func(b *testing.B, node cluster.Node)) {
	b.Helper()
	b.Run("Memory", func(b *testing.B) {
		node := cluster.NewMemory(cluster.Options{})
		node.Start(nil)
		defer node.Close()
		bench(b, node)
	})
	b.Run("Redis", func(b *testing.B) { bench(b, openRedis(b, testserver.Redis(b), options{})) })
	b.Run("Cluster", func(b *testing.B) { bench(b, openRedis(b, testserver.RedisCluster(b), options{})) })
}

// Each message is published when the one before was delivered.
func BenchmarkPublishDeliver(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		delivered := make(chan struct{}, 1)
		subscribe(b, node, "room", func([]byte) { delivered <- struct{}{} })
		payload := make([]byte, 300)
		for b.Loop() {
			if err := node.Publish("room", payload); err != nil {
				b.Fatal(err)
			}
			<-delivered
		}
	})
}

// underWay bounds the messages that benchmarks have published and that aren't delivered yet, so that no queue overflows.
const underWay = 10_000

// BenchmarkPublish has one goroutine that publishes as fast as the messages are delivered. cpu-ns/op is the CPU time of this
// process for publishing, carrying and delivering one message.
func BenchmarkPublish(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		window := make(chan struct{}, underWay)
		subscribe(b, node, "room", func([]byte) { <-window })
		payload := make([]byte, 300)
		began := cpu(b)
		for b.Loop() {
			window <- struct{}{}
			if err := node.Publish("room", payload); err != nil {
				b.Fatal(err)
			}
		}
		await(b, "all are delivered", func() bool { return len(window) == 0 })
		b.ReportMetric(float64(cpu(b)-began)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// cpu returns the CPU time that the process has used so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Many goroutines publish to many topics at once.
func BenchmarkThroughput(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		const topics = 1000
		window := make(chan struct{}, underWay)
		for i := range topics {
			subscribe(b, node, fmt.Sprint(i), func([]byte) { <-window })
		}
		payload := make([]byte, 300)
		var published atomic.Int64
		b.SetParallelism(50)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				window <- struct{}{}
				if err := node.Publish(fmt.Sprint(published.Add(1)%topics), payload); err != nil {
					b.Error(err)
				}
			}
		})
		await(b, "all are delivered", func() bool { return len(window) == 0 })
	})
}

// A topic's first subscription begins and its last one ends.
func BenchmarkSubscribeCancel(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		for n := 0; b.Loop(); n++ {
			subscribe(b, node, fmt.Sprint(n), func([]byte) {})()
		}
	})
}

func BenchmarkJoinLeave(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		for i := range 1000 { // a large group
			join(b, node, "room", fmt.Sprint(i), fmt.Sprint("socket ", i), true)
		}
		for b.Loop() {
			join(b, node, "room", "ann", "a", true)
			leave(b, node, "room", "ann", "a", true)
		}
	})
}

func BenchmarkMembers200Of1000(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		for i := range 1000 {
			join(b, node, "room", fmt.Sprint(i), fmt.Sprint("socket ", i), true)
		}
		for b.Loop() {
			if all, _, err := node.Members(b.Context(), "room", 200); err != nil || len(all) != 200 {
				b.Fatal(len(all), err)
			}
		}
	})
}

func BenchmarkOnline100(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		var rooms []string
		for i := range 100 {
			rooms = append(rooms, fmt.Sprint(i))
			if i%2 == 0 {
				join(b, node, rooms[i], "ann", "1", true)
			}
		}
		for b.Loop() {
			if _, err := node.Online(b.Context(), rooms); err != nil {
				b.Fatal(err)
			}
		}
	})
}
