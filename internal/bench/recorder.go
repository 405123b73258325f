package bench

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// kind is what is counted, and whose latency is recorded.
type kind int

const (
	connected kind = iota
	inStep
	acknowledged
	delivered
	late // how much later than due the tool itself sent a message
	joined
	sends
	histories
	lists
	uploads
	downloads
	kinds
)

func (k kind) String() string {
	return [kinds]string{
		"connected", "in step", "acknowledged", "delivered", "the tool's own delay", "group joined or left",
		"send", "history page", "conversations", "upload", "download",
	}[k]
}

const (
	recorderShards  = 4
	lowestLatency   = 1             // µs
	highestLatency  = 10 * 60 * 1e6 // µs; longer ones count as this
	latencyFigures  = 3             // significant ones
	beyondAllBounds = math.MaxInt64 // the end of a window that is still open
)

// recorder collects the latencies and counts of one measured window. Its methods may be called from any goroutine.
type recorder struct {
	from, until atomic.Int64 // ns by the clock of the run

	total  [kinds]atomic.Int64 // also before and after the window
	shards [recorderShards]shard

	disconnected atomic.Int64 // sockets that ended and that the tool didn't close
	unexpected   atomic.Int64 // answers without a request

	mu      sync.Mutex
	refused map[string]int64 // by reason
}

type shard struct {
	mu        sync.Mutex
	histogram [kinds]*hdrhistogram.Histogram
	count     [kinds]int64
}

// newRecorder returns a recorder whose window isn't open yet.
func newRecorder() *recorder {
	r := &recorder{refused: make(map[string]int64)}
	r.from.Store(beyondAllBounds)
	r.until.Store(beyondAllBounds)
	return r
}

// record records something that was due at one time and is done at another, in ns by the run's clock. It counts when it is done in
// the window. Its latency is recorded when it was due in the window: in open loop a send is due by the plan, so that the time it
// had to wait is part of the latency ("coordinated omission").
func (r *recorder) record(who int, k kind, due, now int64) {
	r.total[k].Add(1)
	from, until := r.from.Load(), r.until.Load()
	counts, recorded := now >= from && now < until, due >= from && due < until
	if !counts && !recorded {
		return
	}
	s := &r.shards[who%recorderShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if counts {
		s.count[k]++
	}
	if recorded {
		if s.histogram[k] == nil {
			s.histogram[k] = hdrhistogram.New(lowestLatency, highestLatency, latencyFigures)
		}
		_ = s.histogram[k].RecordValue(min(max((now-due)/1000, lowestLatency), highestLatency))
	}
}

// countRefusal counts a request that was refused, by its reason.
func (r *recorder) countRefusal(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[reason]++
}

// latencies returns the histograms that aren't empty.
func (r *recorder) latencies() (all []Latency) {
	for k := range kinds {
		sum := hdrhistogram.New(lowestLatency, highestLatency, latencyFigures)
		count := int64(0)
		for i := range r.shards {
			s := &r.shards[i]
			s.mu.Lock()
			count += s.count[k]
			if s.histogram[k] != nil {
				sum.Merge(s.histogram[k])
			}
			s.mu.Unlock()
		}
		if sum.TotalCount() == 0 {
			continue
		}
		all = append(all, Latency{
			What: k.String(), Count: sum.TotalCount(), Done: count,
			P50: sum.ValueAtQuantile(50), P99: sum.ValueAtQuantile(99), P999: sum.ValueAtQuantile(99.9), Max: sum.Max(),
		})
	}
	return all
}

// done returns how many of a kind were done in the window.
func (r *recorder) done(k kind) (n int64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += s.count[k]
		s.mu.Unlock()
	}
	return n
}

// clock gives all times of a run.
type clock struct{ began time.Time }

// now returns the ns since the run began. It never goes back.
func (c clock) now() int64 { return int64(time.Since(c.began)) }
