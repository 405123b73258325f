package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tim/internal/testserver"
)

// What needs a server shares the building of its binary.
func TestServers(t *testing.T) {
	t.Parallel()
	binary := build(t)
	t.Run("scenarios", func(t *testing.T) { t.Parallel(); testScenarios(t, binary) })
	t.Run("running server", func(t *testing.T) { t.Parallel(); testRunningServer(t, binary) })
	t.Run("sweep", func(t *testing.T) { t.Parallel(); testSweep(t, binary) })
	t.Run("refused options", func(t *testing.T) { t.Parallel(); testRefusedOptions(t, binary) })
	t.Run("server that fails", func(t *testing.T) { t.Parallel(); testServerThatFails(t, binary) })
}

// Each scenario really runs, shortly, and its figures agree with one another.
func testScenarios(t *testing.T, binary string) {
	t.Helper()
	short := []string{"--warmup=200ms", "--duration=800ms"}
	type scenario struct {
		name  string
		args  []string
		check func(t *testing.T, report *Report)
	}
	scenarios := []scenario{
		{"connect", []string{"connect", "--connections=50"}, checkConnect},
		{"connect and sync", []string{"connect", "--connections=50", "--sync"}, func(t *testing.T, r *Report) {
			if n := latency(t, r.Runs[0], inStep).Count; n != 50 {
				t.Errorf("%d of 50 are in step", n)
			}
		}},
		{"idle", append([]string{"idle", "--connections=200"}, short...), checkIdle},
		{"direct", append([]string{"direct", "--pairs=5", "--in-flight=3"}, short...), checkDirect},
		{"direct at a rate", append([]string{"direct", "--pairs=5", "--rate=100"}, short...), checkRate},
		{"group", append([]string{"group", "--size=10", "--senders=2", "--bytes=1000"}, short...), checkGroup},
		{"mixed", append([]string{
			"mixed", "--connections=40", "--writers=4", "--size=10", "--rate=100", "--churn=20", "--joins=20",
		}, short...), checkMixed},
		{"reconnect", []string{"reconnect", "--connections=40"}, checkReconnect},
		{"rest", append([]string{"rest", "--workers=2", "--messages=60"}, short...), checkRest},
		{"upload", append([]string{"upload", "--bytes=200000"}, short...), checkUpload},
	}
	if testserver.Available() {
		scenarios = append(scenarios, scenario{
			"direct on servers", append([]string{"direct", "--pairs=5", "--on=servers", "--nodes=2"}, short...), func(t *testing.T, r *Report) {
				checkDirect(t, r)
				if got := names(r.Runs[0]); got != "tim 1 tim 2 mariadbd redis" {
					t.Errorf("processes: %s", got)
				}
			},
		})
	}
	for _, test := range scenarios {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := options(t, test.args...)
			o.Binary = binary
			test.check(t, measured(t, o))
		})
	}
}

func checkConnect(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	if run.Units != 50 || latency(t, run, connected).Count != 50 || run.PerSecond <= 0 {
		t.Errorf("not 50 connects: %+v", run)
	}
	if names(run) != "tim" || len(run.Samples) != sampleSteps+1 || run.Samples[sampleSteps].Sockets != 50 {
		t.Errorf("processes and samples: %+v, %+v", run.Processes, run.Samples)
	}
}

func checkIdle(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	if want := int64(200 * run.Seconds); run.Units < want-1 || run.Units > want+1 {
		t.Errorf("%d seconds of sockets, want %d", run.Units, want)
	}
	if p := run.Processes[0]; p.RSSPerSocket <= 0 || p.RSSPerSocket > 2e6 {
		t.Errorf("%.0f bytes each", p.RSSPerSocket)
	}
}

func checkDirect(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	if run.Sent == 0 || run.Sent != run.Acknowledged || run.Sent != run.Delivered {
		t.Errorf("%d sent, %d acknowledged, %d delivered", run.Sent, run.Acknowledged, run.Delivered)
	}
	ack := latency(t, run, acknowledged)
	if ack.Done != run.Units || ack.Count > run.Sent || ack.Count < ack.Done/2 {
		t.Errorf("%d acknowledged in the window, %d counted, %d sent", ack.Done, run.Units, run.Sent)
	}
	if n := latency(t, run, delivered).Count; n != ack.Count {
		t.Errorf("%d delivered, %d acknowledged of those that were due in the window", n, ack.Count)
	}
	if run.Processes[0].CPU <= 0 || run.Processes[0].CPUPerUnit <= 0 {
		t.Errorf("no CPU: %+v", run.Processes)
	}
}

func checkRate(t *testing.T, r *Report) {
	t.Helper()
	checkDirect(t, r)
	run := r.Runs[0]
	// On a busy machine the window is longer than it should be, and messages that are due at its end are not sent any more.
	if n, due := latency(t, run, acknowledged).Count, 100*run.Seconds; float64(n) < due/2 || float64(n) > due+1 {
		t.Errorf("%d messages were due in %.2f s at 100 a second", n, run.Seconds)
	}
	latency(t, run, late)
}

func checkGroup(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	if run.Sent == 0 || run.Sent != run.Acknowledged || run.Delivered != 10*run.Sent || run.Unit != "delivery" {
		t.Errorf("%d sent, %d acknowledged, %d delivered to 10", run.Sent, run.Acknowledged, run.Delivered)
	}
}

func checkMixed(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	if run.Sent == 0 || run.Sent != run.Acknowledged || run.Delivered <= run.Sent {
		t.Errorf("%d sent, %d acknowledged, %d delivered", run.Sent, run.Acknowledged, run.Delivered)
	}
	for _, k := range []kind{inStep, joined} {
		if latency(t, run, k).Count == 0 {
			t.Errorf("nothing %s", k)
		}
	}
}

func checkReconnect(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	back := latency(t, run, inStep)
	if run.Units != 40 || back.Count != 40 {
		t.Errorf("%d of 40 came back", run.Units)
	}
	if run.Delivered != 40 { // to both of a pair, again
		t.Errorf("%d missed messages came, want 40", run.Delivered)
	}
	if fact := run.Facts[len(run.Facts)-1]; fact.Value*1e6 < float64(back.Max)*0.99 {
		t.Errorf("all were back after %.3f s, the last one after %d µs", fact.Value, back.Max)
	}
}

func checkRest(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	sum := int64(0)
	for _, k := range []kind{sends, histories, lists} {
		sum += latency(t, run, k).Done
	}
	if sum != run.Units {
		t.Errorf("%d requests of three kinds, %d in all", sum, run.Units)
	}
}

func checkUpload(t *testing.T, r *Report) {
	t.Helper()
	run := r.Runs[0]
	if latency(t, run, uploads).Count == 0 || latency(t, run, downloads).Count == 0 || len(run.Facts) != 2 || run.Facts[0].Value <= 0 {
		t.Errorf("nothing went up or down: %+v", run)
	}
}

// A server that somebody else runs: its accounts serve twice, its limits are counted, and its end is noticed.
func testRunningServer(t *testing.T, binary string) {
	t.Helper()
	own := Options{On: onEmbedded, Binary: binary, Env: []string{"TIM_LIMIT_SEND_RATE=5", "TIM_LIMIT_SEND_BURST=5"}}
	s, err := newSite(own)
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	server := []string{"--url=" + s.urls[0] + "/", "--pid=" + strconv.Itoa(s.processes()[0].pid), "--warmup=100ms", "--duration=500ms"}

	for range 2 {
		run := measured(t, options(t, append([]string{"direct", "--pairs=2", "--rate=4"}, server...)...)).Runs[0]
		if names(run) != "tim" || run.Sent == 0 || run.Sent != run.Delivered {
			t.Errorf("%s: %d sent, %d delivered", names(run), run.Sent, run.Delivered)
		}
	}
	report := measured(t, options(t, append([]string{"rest", "--operation=send", "--messages=0", "--workers=2"}, server...)...))
	if report.Runs[0].Refused["429 Too Many Requests"] == 0 || !strings.Contains(report.String(), "TIM_LIMIT_SEND_RATE") {
		t.Errorf("the limit was not told:\n%s", report)
	}

	o := options(t, "direct", "--pairs=2", "--rate=4", server[0], "--warmup=0s", "--duration=2s")
	out := &lines{}
	o.Out = out
	ended := make(chan error, 1)
	go func() { ended <- s.nodes[0].Stop() }() // it drains while the accounts are made, or while they write
	report, err = Run(t.Context(), o)
	if err == nil && (report.Passed || report.Runs[0].Promises.Disconnected == 0) {
		t.Errorf("the server ended and nobody noticed:\n%s%s", out, report)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A sweep is drawn, and its JSON says the same.
func testSweep(t *testing.T, binary string) {
	t.Helper()
	folder := t.TempDir()
	o := options(t, "direct", "--pairs=2", "--sweep=50,100", "--warmup=100ms", "--duration=400ms",
		"--json="+filepath.Join(folder, "figures.json"), "--plot="+filepath.Join(folder, "plot.svg"))
	o.Binary = binary
	report := measured(t, o)
	text, err := os.ReadFile(o.JSON)
	if err != nil {
		t.Fatal(err)
	}
	var kept Report
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept.Runs) != 2 || kept.Runs[0].OfferedRate != 50 || kept.Runs[1].OfferedRate != 100 || kept.Runs[1].Sent != report.Runs[1].Sent {
		t.Errorf("the file differs: %s", text)
	}
	if report.Text(true) != string(text) {
		t.Error("standard output would get other JSON than the file")
	}
	picture, err := os.ReadFile(o.Plot)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, string(picture))
	if n := strings.Count(string(picture), "<polyline"); n != 5 {
		t.Errorf("%d lines and axes, want 5", n)
	}
}

func wellFormed(t *testing.T, picture string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, picture)
		}
	}
	if strings.Contains(picture, "NaN") || strings.Contains(picture, "Inf") {
		t.Errorf("a point that is nowhere:\n%s", picture)
	}
}

// What makes no sense is said before anything is started.
func testRefusedOptions(t *testing.T, binary string) {
	t.Helper()
	for want, args := range map[string][]string{
		"a plot needs":       {"direct", "--plot=x.svg"},
		"--pid goes with":    {"idle", "--pid=1"},
		"no run is longer":   {"group", "--size=2", "--duration=1h"},
		"nobody is to send":  {"group", "--size=2", "--senders=0"},
		"process 2147483647": {"idle", "--url=http://127.0.0.1:1", "--pid=2147483647"},
		"mixed needs":        {"mixed", "--connections=2"},
		"a file has at":      {"upload", "--bytes=1"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := options(t, args...)
			o.Binary = binary
			_, err := Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Error(err)
			}
		})
	}
	if _, err := Run(t.Context(), Options{Scenario: "dance"}); err == nil {
		t.Error("an unknown scenario ran")
	}
}

// A server that doesn't start says why.
func testServerThatFails(t *testing.T, binary string) {
	t.Helper()
	o := options(t, "connect", "--env=TIM_BCRYPT_COST=99")
	o.Binary = binary
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "TIM_BCRYPT_COST") && !strings.Contains(err.Error(), "bcrypt") {
		t.Errorf("%v", err)
	}
}
