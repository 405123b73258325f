package cluster_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"tim/internal/cluster"
	"tim/internal/testserver"
)

// kinds runs a benchmark in memory, on a standalone Redis and on a cluster of three.
func kinds(b *testing.B, bench func(b *testing.B, node cluster.Node)) {
	b.Helper()
	b.Run("Memory", func(b *testing.B) {
		node := cluster.NewMemory(cluster.Options{})
		defer node.Close()
		bench(b, node)
	})
	b.Run("Redis", func(b *testing.B) { bench(b, openRedis(b, testserver.Redis(b), cluster.Options{})) })
	b.Run("Cluster", func(b *testing.B) { bench(b, openRedis(b, testserver.RedisCluster(b), cluster.Options{})) })
}

// One message after the other, each published when the last was delivered.
func BenchmarkPublishDeliver(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		delivered := make(chan struct{}, 1)
		subscribe(b, node, "room", func([]byte) { delivered <- struct{}{} })
		payload := make([]byte, 300)
		for b.Loop() {
			if err := node.Publish(b.Context(), "room", payload); err != nil {
				b.Fatal(err)
			}
			<-delivered
		}
	})
}

// Many publishers and many topics at once.
func BenchmarkThroughput(b *testing.B) {
	kinds(b, func(b *testing.B, node cluster.Node) {
		const topics = 1000
		var delivered, published atomic.Int64
		for i := range topics {
			subscribe(b, node, fmt.Sprint(i), func([]byte) { delivered.Add(1) })
		}
		payload := make([]byte, 300)
		b.SetParallelism(50)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				topic := fmt.Sprint(published.Add(1) % topics)
				if err := node.Publish(b.Context(), topic, payload); err != nil {
					b.Error(err)
				}
			}
		})
		await(b, "all are delivered", func() bool { return delivered.Load() == published.Load() })
	})
}

// A topic's first subscription and its last cancel.
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
