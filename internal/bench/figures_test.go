package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	rest "tim/gen/client"
)

// What was due before the window opens, or done after it closes, counts for neither more nor less than it should.
func TestRecorderWindow(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	r.record(1, acknowledged, 0, 50) // before it opens
	r.from.Store(100)
	r.until.Store(10_000_000)
	r.record(1, acknowledged, 50, 150)                // due before, done within
	r.record(2, acknowledged, 2_000_000, 5_000_000)   // within
	r.record(3, acknowledged, 9_000_000, 109_000_000) // due within, done after
	r.record(4, acknowledged, 11_000_000, 12_000_000)
	r.record(4, delivered, 1000, math.MaxInt64) // beyond what a histogram has room for
	all := r.latencies()
	if len(all) != 2 || all[0].What != "acknowledged" || all[1].What != "delivered" {
		t.Fatalf("%+v", all)
	}
	near := func(got, want int64) bool { return math.Abs(float64(got-want)) <= float64(want)/500 }
	if a := all[0]; a.Count != 2 || a.Done != 2 || !near(a.P50, 3000) || !near(a.Max, 100_000) {
		t.Errorf("%+v", a)
	}
	if d := all[1]; d.Count != 1 || d.Done != 0 || !near(d.Max, highestLatency) {
		t.Errorf("%+v", d)
	}
	if n := r.total[acknowledged].Load(); n != 5 {
		t.Errorf("%d in all", n)
	}
}

// When something stalls, what was due meanwhile is late, too: that is what open loop is for.
func TestPaceOmitsNothing(t *testing.T) {
	t.Parallel()
	const rate, stall, messages = 1000, 100 * time.Millisecond, 300
	c := clock{time.Now()}
	r := newRecorder()
	r.from.Store(0)
	over := errors.New("over")
	err := c.pace(t.Context(), rate, func(i int, due int64) error {
		if i == 50 {
			sleep(stall)
		}
		r.record(0, late, due, c.now())
		if i == messages-1 {
			return over
		}
		return nil
	})
	if !errors.Is(err, over) {
		t.Fatal(err)
	}
	if took := time.Duration(c.now()); took < (messages-1)*time.Second/rate {
		t.Errorf("%d took %v", messages, took)
	}
	l := r.latencies()[0]
	if l.Count != messages || l.Max < stall.Microseconds() {
		t.Fatalf("%+v", l)
	}
	// A third of all were due while it stalled, half of them more than half of the stall before its end.
	if l.P99 < stall.Microseconds()/2 {
		t.Errorf("one message alone paid for the stall: %+v", l)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.pace(ended, 1, func(int, int64) error { return errors.New("it went on") }); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	p, err := newProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMeter([]process{p})
	if err != nil {
		t.Fatal(err)
	}
	memory := bytes.Repeat([]byte{1}, 64<<20)
	for before := ownCPU(); ownCPU()-before < 200*time.Millisecond; {
		memory[0]++
	}
	used, tool, window, err := m.read()
	if err != nil {
		t.Fatal(err)
	}
	if u := used[0]; u.CPU < 0.15 || u.CPU > 2*tool.CPU || tool.CPU > 2*u.CPU || u.RSSAfter-u.RSSBefore < 32<<20 || u.RSSPeak < u.RSSAfter {
		t.Errorf("%+v, %+v, %d bytes", u, tool, len(memory))
	}
	if want := tool.CPU / window.Seconds(); math.Abs(tool.Share-want) > 1e-9 {
		t.Errorf("share %f, want %f", tool.Share, want)
	}
	gone := process{"gone", math.MaxInt32}
	if _, err := newMeter([]process{gone}); err == nil {
		t.Error("a process that isn't there was measured")
	}
	if _, err := gone.rss(); err == nil {
		t.Error("its memory, too")
	}
}

func TestRaiseFileLimit(t *testing.T) {
	t.Parallel()
	if err := raiseFileLimit(100); err != nil {
		t.Error(err)
	}
	if err := raiseFileLimit(math.MaxInt64); err == nil {
		t.Error("no kernel has so many files")
	}
}

func TestEach(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	all := make([]int, 100)
	for i := range all {
		all[i] = i
	}
	done := make([]int32, 100)
	if err := each(t.Context(), all, 7, func(_ context.Context, i int) error { done[i]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for i, n := range done {
		if n != 1 {
			t.Errorf("%d was done %d times", i, n)
		}
	}
	if err := each(t.Context(), all, 7, func(_ context.Context, i int) error {
		if i == 50 {
			return boom
		}
		return nil
	}); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if err := each(t.Context(), nil, 7, func(context.Context, int) error { return boom }); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for index, want := range map[int]string{0: "127.0.0.1", portsOfAddress - 1: "127.0.0.1", portsOfAddress: "127.0.0.2", 5 * portsOfAddress: "127.0.0.6"} {
		if got := loopbackAddress(index).String(); got != want {
			t.Errorf("%d comes from %s, want %s", index, got, want)
		}
	}
}

// A file is the same however it is read, and another one is another.
func TestVideo(t *testing.T) {
	t.Parallel()
	const size = 200_000
	whole, err := io.ReadAll(newVideo(size, 7))
	if err != nil || len(whole) != size || !bytes.HasPrefix(whole, []byte(videoHeader())) {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	v := newVideo(size, 7)
	sum := checksum()
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{v}, make([]byte, 333)); err != nil {
		t.Fatal(err)
	}
	if v.sum != sum.Sum32() {
		t.Error("its checksum is not that of its bytes")
	}
	other, err := io.ReadAll(newVideo(size, 8))
	if err != nil || bytes.Equal(whole, other) {
		t.Errorf("two files are one: %v", err)
	}
}

func TestComparePage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		seqs   []int64
		before int64
		want   Promises
	}{
		{[]int64{7, 8, 9}, 10, Promises{}},
		{[]int64{1}, 2, Promises{}},
		{[]int64{8, 9}, 10, Promises{Lost: 1}},
		{[]int64{7, 9, 8}, 10, Promises{OutOfOrder: 2}},
		{[]int64{7, 7, 9}, 10, Promises{OutOfOrder: 1}},
		{nil, 1, Promises{}},
	} {
		w := &worker{RestOptions: RestOptions{Page: 3}}
		var page []rest.Message
		for _, seq := range test.seqs {
			page = append(page, rest.Message{Seq: seq})
		}
		if w.comparePage(page, test.before); w.broken != test.want {
			t.Errorf("%v before %d: %v", test.seqs, test.before, w.broken)
		}
	}
}

func TestAxis(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]float64{1: 1, 1.1: 2, 3: 5, 6: 10, 0.03: 0.05, 1234: 2000} {
		if got := roundStep(v); math.Abs(got-want) > want*1e-9 {
			t.Errorf("step of %v is %v, want %v", v, got, want)
		}
	}
	a := newAxis([]float64{3, 9_700}, false, 100, 500)
	if a.at(0) != 100 || a.at(a.high) != 500 || a.high < 9_700 || len(a.ticks()) < 4 || len(a.ticks()) > 12 {
		t.Errorf("%+v: %v", a, a.ticks())
	}
	l := newAxis([]float64{0.4, 250}, true, 300, 0)
	if l.low != 0.1 || l.high != 1000 || len(l.ticks()) != 5 || math.Abs(l.at(1)-225) > 1e-6 {
		t.Errorf("%+v: %v", l, l.ticks())
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	memory := &Report{Scenario: "idle", On: "a < b", Runs: []Result{{Samples: []Sample{{0, 30e6}, {5000, 60e6}, {10_000, 90e6}}}}}
	picture := memory.plot().svg()
	wellFormed(t, picture)
	for _, want := range []string{"a &lt; b", ">10 000<", "prefers-color-scheme: dark", "MB"} {
		if !strings.Contains(picture, want) {
			t.Errorf("%q is not in it:\n%s", want, picture)
		}
	}
	wellFormed(t, (&Report{}).plot().svg()) // nothing was measured
	wellFormed(t, (&Report{Runs: []Result{{Samples: []Sample{{0, 0}}}}}).plot().svg())
}

// The report says what one must know to believe its figures.
func TestReport(t *testing.T) {
	t.Parallel()
	r := &Report{Scenario: "direct", On: "embedded", Runs: []Result{{
		OfferedRate: 100, Seconds: 10, Unit: "message", Units: 1000, PerSecond: 100, Sent: 1000, Acknowledged: 998, Delivered: 998,
		Refused:   map[string]int64{"rate_limited": 2, "": 1},
		Latencies: []Latency{{What: acknowledged.String(), Count: 998, P50: 1500, P99: 20_000, P999: 21_000, Max: 22_000}, {What: late.String(), P99: 9000}},
		Processes: []Process{{Name: "tim", CPU: 0.5, CPUPerUnit: 500, RSSAfter: 5e7}, {Name: "mariadbd", CPU: 0.25, CPUPerUnit: 250}},
		Tool:      Tool{CPU: 2, CPUPerUnit: 2000},
		Promises:  Promises{Lost: 3},
	}}}
	r.judge()
	text := r.String()
	for _, want := range []string{
		"100 messages a second were due", "100 messages a second", "1.500", "750.00", "2 × rate_limited", "1 × without a reason", "lost 3",
		"A PROMISE WAS BROKEN", "TIM_LIMIT_SEND_RATE", "more CPU than the servers", "could not keep to the plan", "998 acknowledged",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in it:\n%s", want, text)
		}
	}
	if r.Runs[0].Promises = (Promises{}); r.Passed {
		t.Error("it passed")
	}
	if r.judge(); !r.Passed || !strings.Contains(r.String(), "every promise was kept") {
		t.Error("it didn't pass")
	}
	for unit, want := range map[string]string{"message": "messages", "delivery": "deliveries", "file, up or down": "files, up or down"} {
		if got := plural(unit); got != want {
			t.Errorf("%s", got)
		}
	}
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	l := newProgressLine(rec)
	if got := l.next(rec); got != "quiet" {
		t.Error(got)
	}
	for range 10 {
		rec.record(0, delivered, 0, 1)
		rec.record(0, late, 0, 1)
	}
	rec.countRefusal("rate_limited")
	l.at = time.Now().Add(-2 * time.Second)
	if got := l.next(rec); got != "5/s delivered, 1 rate_limited" {
		t.Error(got)
	}
}
