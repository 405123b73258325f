package bench

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// kind is something that is counted, and whose latency is recorded.
type kind int

const (
	connected kind = iota
	inStep
	acknowledged
	delivered
	late // how long after it was due the tool itself sent it
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
	highestLatency  = 10 * 60 * 1e6 // µs; what is longer counts as this
	latencyFigures  = 3             // significant ones
	beyondAllBounds = math.MaxInt64 // when the measured window ends as long as it is open
)

// recorder gathers latencies and counts of one measured window. Its methods may be called from any goroutine.
type recorder struct {
	from, until atomic.Int64 // ns by the clock of the run

	total  [kinds]atomic.Int64 // also outside of the window
	shards [recorderShards]shard

	disconnected atomic.Int64 // sockets that the tool didn't close
	unexpected   atomic.Int64 // answers to nothing that was asked

	mu      sync.Mutex
	refused map[string]int64 // by reason
}

type shard struct {
	mu        sync.Mutex
	histogram [kinds]*hdrhistogram.Histogram
	count     [kinds]int64
}

// newRecorder makes one whose window is not open yet.
func newRecorder() *recorder {
	r := &recorder{refused: make(map[string]int64)}
	r.from.Store(beyondAllBounds)
	r.until.Store(beyondAllBounds)
	return r
}

// record takes note of something that was due at one time and is done at another. It counts when it is done in the window,
// and its latency is recorded when it was due there: in open loop a send is due by the plan, not when the tool or the
// server came to it, so that waiting is not left out ("coordinated omission").
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

// countRefusal takes note of a request that was answered, but not as it was meant.
func (r *recorder) countRefusal(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[reason]++
}

// latencies are the histograms that have something in them.
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

// done is how many of a kind were done in the window.
func (r *recorder) done(k kind) (n int64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += s.count[k]
		s.mu.Unlock()
	}
	return n
}

// clock is the one that everything in a run is timed by.
type clock struct{ began time.Time }

// now is ns since the run began; it never goes back.
func (c clock) now() int64 { return int64(time.Since(c.began)) }
