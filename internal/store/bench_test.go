package store

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"tim/gen/db"
	"tim/internal/testserver"
)

func benchBoth(b *testing.B, bench func(b *testing.B, d *DB)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { bench(b, migrated(b, sqliteAt(b, filepath.Join(b.TempDir(), "tim.db")))) })
	b.Run("mysql", func(b *testing.B) { bench(b, migrated(b, mysqlAt(b, testserver.Database(b)))) })
}

// BenchmarkStoreMessages measures the durable commit of batches of messages, as internal/chat commits them.
func BenchmarkStoreMessages(b *testing.B) {
	benchBoth(b, func(b *testing.B, d *DB) {
		must(b, d.Write().EnsureConversation(b.Context(), "g1", 1))
		var last int64
		for _, size := range []int{1, 10, 100} {
			b.Run(fmt.Sprint(size), func(b *testing.B) {
				rows := make([]db.InsertMessageParams, size)
				b.ReportAllocs()
				for b.Loop() {
					must(b, d.StoreMessages(b.Context(), func(tx *Tx) (MessageBatch, error) {
						seq, err := lockedSeq(b.Context(), tx, "g1")
						if err != nil {
							return MessageBatch{}, err
						}
						for i := range rows {
							rows[i] = message("g1", seq+int64(i)+1)
						}
						last = seq + int64(size)
						return MessageBatch{Rows: rows}, tx.SetLastSeq(b.Context(), last, "g1")
					}))
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
			})
		}
		if got, err := d.Read().LastSeq(b.Context(), "g1"); err != nil || got != last {
			b.Fatalf("last number %d, want %d, %v", got, last, err)
		}
	})
}

// BenchmarkPointRead measures reading one row by its key.
func BenchmarkPointRead(b *testing.B) {
	benchBoth(b, func(b *testing.B, d *DB) {
		const sessions = 1000
		for i := range sessions {
			must(b, d.Write().CreateSession(b.Context(), db.CreateSessionParams{Account: fmt.Sprint(i), ID: "x"}))
		}
		b.Run("alone", func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				_, err := d.SessionRows(b.Context(), []SessionKey{{fmt.Sprint(i % sessions), "x"}})
				must(b, err)
			}
		})
		b.Run("parallel", func(b *testing.B) {
			b.ReportAllocs()
			var i atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := d.SessionRows(b.Context(), []SessionKey{{fmt.Sprint(i.Add(1) % sessions), "x"}}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	})
}
