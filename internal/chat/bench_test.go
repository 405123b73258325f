package chat

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tim/internal/store"
	"tim/internal/testserver"
)

// benchLanes is the number of lanes of a server on a few cores with MariaDB.
const benchLanes = 1

// BenchmarkSend measures group commit. Each sender waits for the answer to a message before it sends the next one. The senders
// write to conversations of their own or, in "together", all to one. All figures are for one message: cpu-ns/op is the CPU time
// of this process, with the senders and SQLite in it, and mariadb-cpu-ns/op that of the database.
func BenchmarkSend(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		d, err := store.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "tim.db"))
		benchmarkSend(b, benchService(b, d, err, 1), nil)
	})
	b.Run("mariadb", func(b *testing.B) {
		dsn := testserver.Database(b)
		d, err := store.OpenMySQL(b.Context(), dsn, 12)
		benchmarkSend(b, benchService(b, d, err, benchLanes), mariadbCPU(b, dsn))
	})
}

func benchService(b *testing.B, d *store.DB, err error, lanes int) *Service {
	b.Helper()
	must(b, err)
	b.Cleanup(func() { must(b, d.Close()) })
	_, err = d.Migrate(b.Context())
	must(b, err)
	s := New(Options{
		DB: d, Admit: admit, HashPassword: hash, Lanes: lanes,
		Notify: func(context.Context, Event) {},
		Online: func(_ context.Context, accounts []string) []bool { return make([]bool, len(accounts)) },
	})
	b.Cleanup(s.Close)
	return s
}

// sends is a sender and the conversation to which it writes.
type sends struct {
	from string
	to   Target
}

// benchmarkSend measures the senders. database returns the CPU time that MariaDB has used so far; it is nil without one.
func benchmarkSend(b *testing.B, s *Service, database func(*testing.B) time.Duration) {
	const accounts, members = 100, 10
	apart, together := make([]sends, accounts), make([]sends, members)
	for i := range apart {
		apart[i] = sends{from: fmt.Sprint("u", i), to: ToUser(fmt.Sprint("u", (i+1)%accounts))}
		_, err := s.Register(b.Context(), Registration{Account: apart[i].from, Password: "123456", Username: apart[i].from})
		must(b, err)
	}
	group, err := s.CreateGroup(b.Context(), "u0", "u0", "g")
	must(b, err)
	for i, a := range apart {
		must(b, s.AddFriend(b.Context(), a.from, a.from, a.to.User))
		if i < members {
			together[i] = sends{from: a.from, to: ToGroup(group)}
			if i > 0 {
				must(b, s.JoinGroup(b.Context(), a.from, a.from, group))
			}
		}
	}
	var sent atomic.Int64 // every message has a client id of its own
	for _, run := range []struct {
		name    string
		senders []sends
	}{
		{"1", apart[:1]}, {"10", apart[:10]}, {"100", apart}, {"10together", together},
	} {
		sendAll(b, s, run.senders, len(run.senders), &sent) // the first message of a conversation does more
		b.Run(run.name, func(b *testing.B) {
			own, theirs := ownCPU(b), time.Duration(0)
			if database != nil {
				theirs = database(b)
			}
			b.ReportAllocs()
			b.ResetTimer()
			sendAll(b, s, run.senders, b.N, &sent)
			b.StopTimer()
			b.ReportMetric(float64(ownCPU(b)-own)/float64(b.N), "cpu-ns/op")
			if database != nil {
				b.ReportMetric(float64(database(b)-theirs)/float64(b.N), "mariadb-cpu-ns/op")
			}
		})
	}
}

// sendAll sends n messages, with one of each sender under way at a time.
func sendAll(b *testing.B, s *Service, senders []sends, messages int, sent *atomic.Int64) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(messages))
	var work sync.WaitGroup
	for _, sender := range senders {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				content := TextContent("hello, this is a message of a usual length")
				if _, err := s.Send(b.Context(), sender.from, sender.to, content, strconv.FormatInt(sent.Add(1), 36)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

// ownCPU returns the CPU time that this process has used so far.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// mariadbCPU returns a function that returns the CPU time that the machine's MariaDB has used so far.
func mariadbCPU(b *testing.B, dsn string) func(*testing.B) time.Duration {
	b.Helper()
	raw, err := sql.Open("mysql", dsn)
	must(b, err)
	defer raw.Close()
	var file string
	must(b, raw.QueryRowContext(b.Context(), "SELECT @@pid_file").Scan(&file))
	pid, err := os.ReadFile(file)
	must(b, err)
	threads := filepath.Join("/proc", strings.TrimSpace(string(pid)), "task", "*", "schedstat")
	return func(b *testing.B) (total time.Duration) {
		b.Helper()
		files, err := filepath.Glob(threads)
		must(b, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if os.IsNotExist(err) {
				continue // a thread that has ended; those of the connections stay
			}
			must(b, err)
			ran, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64) // in ns; /proc/[pid]/stat counts in 10 ms
			must(b, err)
			total += time.Duration(ran)
		}
		return total
	}
}
