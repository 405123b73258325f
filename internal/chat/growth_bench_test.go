package chat

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tim/internal/store"
	"tim/internal/testserver"
)

// BenchmarkGrowth measures what a message costs in a database of 1,000, 10,000 and 100,000 conversations with 100 messages
// each: while 50 of them go on, and while all go on in random order. It also measures how long the newest 50 messages of a
// conversation take to read from the disk: neither SQLite nor the system has them in memory, and MariaDB has 128 MiB. Filling
// the database takes minutes.
//
//	go test -run '^$' -bench Growth -benchtime 20000x ./internal/chat
func BenchmarkGrowth(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "tim.db")
		d, err := store.OpenSQLite(b.Context(), path)
		s := benchService(b, d, err, 1)
		raw, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(60000)")
		must(b, err)
		defer raw.Close()
		benchmarkGrowth(b, s, raw, "(WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < 100) SELECT seq FROM n)", nil, func(b *testing.B) { forget(b, path) })
	})
	b.Run("mariadb", func(b *testing.B) {
		dsn := testserver.Database(b)
		d, err := store.OpenMySQL(b.Context(), dsn, 12)
		s := benchService(b, d, err, benchLanes)
		raw, err := sql.Open("mysql", dsn)
		must(b, err)
		defer raw.Close()
		benchmarkGrowth(b, s, raw, "seq_1_to_100", mariadbCPU(b, dsn), func(*testing.B) {})
	})
}

// forget makes the system drop a file from its page cache.
func forget(b *testing.B, path string) {
	b.Helper()
	file, err := os.Open(path)
	must(b, err)
	defer file.Close()
	must(b, unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// benchmarkGrowth fills the database step by step. hundred is a table of the numbers 1 to 100.
func benchmarkGrowth(b *testing.B, s *Service, raw *sql.DB, hundred string, database func(*testing.B) time.Duration, forget func(*testing.B)) {
	var sent atomic.Int64
	from := 0
	for _, conversations := range []int{1_000, 10_000, 100_000} {
		for ; from < conversations; from += 1000 {
			fill(b, s, raw, hundred, from, from+1000)
		}
		for _, n := range []int{50, conversations} {
			b.Run(fmt.Sprint(conversations, "/", n), func(b *testing.B) {
				send := func(messages int) { sendAmong(b, s, conversations, n, messages, &sent) }
				send(2 * min(n, 1000)) // the caches are then full
				own, theirs := ownCPU(b), time.Duration(0)
				if database != nil {
					theirs = database(b)
				}
				b.ResetTimer()
				send(b.N)
				b.StopTimer()
				b.ReportMetric(float64(ownCPU(b)-own)/float64(b.N), "cpu-ns/op")
				if database != nil {
					b.ReportMetric(float64(database(b)-theirs)/float64(b.N), "mariadb-cpu-ns/op")
				}
			})
		}
		b.Run(fmt.Sprint(conversations, "/page"), func(b *testing.B) { readPages(b, s, conversations, forget) })
	}
}

// readPages reads the newest messages of conversations in random order.
func readPages(b *testing.B, s *Service, conversations int, forget func(*testing.B)) {
	random := rand.New(rand.NewPCG(2, uint64(b.N)))
	took := make([]time.Duration, b.N)
	for i := range took {
		forget(b)
		a, z := pair(random.IntN(conversations))
		start := time.Now()
		page, err := s.History(b.Context(), a, ToUser(z), Page{Limit: 50})
		took[i] = time.Since(start)
		if err != nil || len(page.Messages) != 50 {
			b.Fatal(len(page.Messages), err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

func pair(i int) (a, b string) { return fmt.Sprint("a", i), fmt.Sprint("b", i) }

// fill creates the conversations from one number to another, each of two friends and with 100 messages.
func fill(b *testing.B, s *Service, raw *sql.DB, hundred string, from, beyond int) {
	b.Helper()
	err := s.DB.Tx(b.Context(), func(tx *store.Tx) error {
		var sides []store.DirectSide
		var ids []string
		for i := from; i < beyond; i++ {
			a, z := pair(i)
			id := directID(a, z)
			ids = append(ids, id)
			sides = append(sides, store.DirectSide{Account: a, Conversation: id, Peer: z}, store.DirectSide{Account: z, Conversation: id, Peer: a})
			for _, f := range bothWays(a, z) {
				if err := tx.AddFriend(b.Context(), f[0], f[1]); err != nil {
					return err
				}
			}
		}
		for i := 0; i < len(ids); i += 500 {
			if err := tx.EnsureConversations(b.Context(), ids[i:i+500], int64(from+1)); err != nil {
				return err
			}
		}
		return tx.AddDirectSides(b.Context(), sides)
	})
	must(b, err)
	body := TextContent("hello, this is a message of a usual length").encode()
	for _, statement := range []string{
		"INSERT INTO message (conversation, seq, sender, client_id, body, sent_at)" +
			" SELECT c.id, n.seq, 'x', CONCAT('m', n.seq), ?, 1700000000000 FROM conversation c JOIN " + hundred + " n" +
			" WHERE c.created_at = ? AND c.last_seq = 0 ORDER BY c.id, n.seq",
		"UPDATE conversation SET last_seq = 100 WHERE ? <> '' AND created_at = ?",
	} {
		_, err := raw.ExecContext(context.WithoutCancel(b.Context()), statement, body, from+1)
		must(b, err)
	}
}

// sendAmong sends messages to n of the conversations in random order, 50 at a time.
func sendAmong(b *testing.B, s *Service, conversations, n, messages int, sent *atomic.Int64) {
	b.Helper()
	order := rand.New(rand.NewPCG(1, uint64(conversations))).Perm(conversations)[:n]
	var next atomic.Int64
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(messages); i = next.Add(1) - 1 {
				a, z := pair(order[int(i)%n])
				content := TextContent("hello, this is a message of a usual length")
				if _, err := s.Send(b.Context(), a, ToUser(z), content, strconv.FormatInt(sent.Add(1), 36)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}
