package bench

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/internal/client"
)

// Whatever reaches a reader is compared with what was acknowledged.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		heard        []int64
		acknowledged int64 // 1 up to this one
		open         int64
		guest        bool
		want         Promises
	}{
		{name: "all, in order", heard: []int64{1, 2, 3}, acknowledged: 3},
		{name: "nothing, of nothing"},
		{name: "one too few", heard: []int64{1, 2}, acknowledged: 3, want: Promises{Lost: 1}},
		{name: "none at all", acknowledged: 3, want: Promises{Lost: 3}},
		{name: "a gap", heard: []int64{1, 4}, acknowledged: 4, want: Promises{Lost: 2}},
		{name: "the first is missing", heard: []int64{2}, acknowledged: 2, want: Promises{Lost: 1}},
		{name: "one twice", heard: []int64{1, 2, 2, 3}, acknowledged: 3, want: Promises{Doubled: 1}},
		{name: "an old one again", heard: []int64{1, 2, 3, 1}, acknowledged: 3, want: Promises{Doubled: 1}},
		{name: "swapped", heard: []int64{1, 3, 2, 4}, acknowledged: 4, want: Promises{OutOfOrder: 1}},
		{name: "the middle of a gap comes late", heard: []int64{1, 5, 3}, acknowledged: 5, want: Promises{Lost: 2, OutOfOrder: 1}},
		{name: "a gap fills backwards", heard: []int64{4, 3, 2, 1}, acknowledged: 4, want: Promises{OutOfOrder: 3}},
		{name: "stored twice", heard: []int64{1, 2, 3}, acknowledged: 2, want: Promises{Doubled: 1}},
		{name: "stored, the answer is to come", heard: []int64{1, 2, 3}, acknowledged: 2, open: 1},
		{name: "a guest misses what it may not have", heard: []int64{1, 5, 6}, acknowledged: 9, guest: true},
		{name: "a guest hears nothing twice", heard: []int64{5, 5}, acknowledged: 9, guest: true, want: Promises{Doubled: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			of := &conversation{}
			of.open.Store(test.acknowledged + test.open)
			for seq := test.acknowledged; seq > 0; seq-- { // answers come in any order
				of.acknowledge(seq)
			}
			s := &stream{of: of, guest: test.guest}
			for _, seq := range test.heard {
				s.receive(seq, true)
			}
			got := s.judge()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (test.want == Promises{}) != got.kept() {
				t.Error("kept says otherwise")
			}
			if s.inStep() != (test.guest || s.last >= test.acknowledged) {
				t.Error("in step, or not, by mistake")
			}
		})
	}
}

// A socket that claims to have missed the last message gets it again, which is neither lost nor doubled.
func TestRewind(t *testing.T) {
	t.Parallel()
	of := &conversation{}
	of.open.Store(1)
	of.acknowledge(5)
	s := &stream{of: of, last: 4}
	s.forgetLast() // nothing of this run was heard
	if s.last != 4 {
		t.Errorf("rewound to %d", s.last)
	}
	s.receive(5, true)
	s.forgetLast()
	if s.inStep() || s.judge().Lost != 1 {
		t.Error("it is in step without the message")
	}
	s.receive(5, true)
	if p := s.judge(); !s.inStep() || !p.kept() {
		t.Error(&p)
	}
}

// What goes wrong on a socket reaches the verdict.
func TestBrokenPromisesAreReported(t *testing.T) {
	t.Parallel()
	message := func(seq int) string {
		return fmt.Sprintf(`{"message":{"body":{"kind":"text","text":"r 0 "},"conversation":{"user":"b"},"seq":%d},"type":"message"}`, seq)
	}
	for _, test := range []struct {
		name   string
		frames []string
		want   Promises
	}{
		{"as it should be", []string{message(1), `{"type":"sent","id":"1","conversation":{"user":"b"},"seq":1}`}, Promises{}},
		{"a doubled seq", []string{message(1), message(1), `{"type":"sent","id":"1","seq":1}`}, Promises{Doubled: 1}},
		{"never delivered", []string{`{"type":"sent","id":"1","seq":1}`}, Promises{Lost: 1}},
		{"never answered", []string{message(1)}, Promises{Unanswered: 1}},
		{"answered twice", []string{message(1), `{"type":"sent","id":"1","seq":1}`, `{"type":"sent","id":"1","seq":1}`}, Promises{Unanswered: 1}},
		{"refused", []string{`{"type":"error","id":"1","reason":"rate_limited"}`}, Promises{}},
		{"refused and stored", []string{message(1), `{"type":"error","id":"1","reason":"internal"}`}, Promises{Doubled: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &pool{run: []byte("r")}
			rec := newRecorder()
			c.current.Store(rec)
			s := &socket{pool: c, streams: make(map[string]*stream)}
			c.sockets = []*socket{s}
			of := &conversation{}
			s.follow(client.UserTarget("b"), of, false)
			of.open.Store(1)
			s.pending = []pending{{1, 0, of}}
			for _, raw := range test.frames {
				s.take([]byte(raw))
			}
			run := Result{Promises: c.judge()}
			run.finishUnits(rec, "message", 1)
			if diff := cmp.Diff(test.want, run.Promises); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			report := &Report{Runs: []Result{{}, run}}
			report.judge()
			if report.Passed != test.want.kept() {
				t.Errorf("passed: %t\n%s", report.Passed, report)
			}
		})
	}
}

func TestWorkerComparesSeqs(t *testing.T) {
	t.Parallel()
	w := &worker{RestOptions: RestOptions{Page: 3}}
	for _, seq := range []int64{5, 6, 8, 7} {
		w.follow(seq)
	}
	if diff := cmp.Diff(Promises{Doubled: 1, OutOfOrder: 1}, w.broken); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
