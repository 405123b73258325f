package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report has the figures of a scenario. Its JSON is for programs, its String for people.
type Report struct {
	Scenario string   `json:"scenario"`
	On       string   `json:"on"`
	Settings any      `json:"settings"`
	CPUs     int      `json:"cpus"` // that all shared
	Runs     []Result `json:"runs"` // one, or one for each rate
	Passed   bool     `json:"passed"`
}

// Result has the figures of one window.
type Result struct {
	OfferedRate float64 `json:"offeredRate,omitempty"` // messages a second, in open loop
	Seconds     float64 `json:"seconds"`
	Unit        string  `json:"unit"`
	Units       int64   `json:"units"` // in the window
	PerSecond   float64 `json:"perSecond,omitempty"`

	// Before, in and after the window.
	Sent         int64            `json:"sent,omitempty"`
	Acknowledged int64            `json:"acknowledged,omitempty"`
	Delivered    int64            `json:"delivered,omitempty"`
	Refused      map[string]int64 `json:"refused,omitempty"` // by reason, as rate_limited

	Latencies []Latency `json:"latencies,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	Tool      Tool      `json:"tool"`
	Facts     []Fact    `json:"facts,omitempty"`
	Samples   []Sample  `json:"samples,omitempty"`
	Promises  Promises  `json:"promises"`
}

// Latency is the summary of a histogram, in µs.
type Latency struct {
	What  string `json:"what"`
	Count int64  `json:"count"` // that were due in the window
	Done  int64  `json:"done"`  // that were done in the window
	P50   int64  `json:"p50"`
	P99   int64  `json:"p99"`
	P999  int64  `json:"p999"`
	Max   int64  `json:"max"`
}

// Process is what a process of the server used in the window. Memory is in bytes.
type Process struct {
	Name         string  `json:"name"`
	PID          int     `json:"pid"`
	CPU          float64 `json:"cpuSeconds"`
	CPUPerUnit   float64 `json:"cpuMicrosecondsPerUnit"`
	RSSBefore    int64   `json:"rssBefore"`
	RSSAfter     int64   `json:"rssAfter"`
	RSSPeak      int64   `json:"rssPeak"`
	RSSPerSocket float64 `json:"rssPerSocket,omitempty"` // its growth for each socket
}

// Tool is what the load tool itself used. When that is most of the machine, the server could do more than the figures say.
type Tool struct {
	CPU        float64 `json:"cpuSeconds"`
	CPUPerUnit float64 `json:"cpuMicrosecondsPerUnit"`
	Share      float64 `json:"share"` // CPUs that it kept busy
}

// Fact is a figure of one scenario alone.
type Fact struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Sample is the memory of the servers' processes while so many sockets were open.
type Sample struct {
	Sockets int   `json:"sockets"`
	RSS     int64 `json:"rss"`
}

// Promises counts the promises about delivery that were broken since the sockets were opened. All must be 0.
type Promises struct {
	Lost         int64 `json:"lost"`         // acknowledged, and some reader doesn't have it in the end
	Doubled      int64 `json:"doubled"`      // a reader has received it twice
	OutOfOrder   int64 `json:"outOfOrder"`   // received later than a message with a higher seq
	Unanswered   int64 `json:"unanswered"`   // requests without exactly one answer
	Corrupted    int64 `json:"corrupted"`    // files that came back different
	Disconnected int64 `json:"disconnected"` // sockets that the server closed; the reasons are among the refusals
}

func (run *Result) facts(name string, value float64, unit string) {
	run.Facts = append(run.Facts, Fact{name, value, unit})
}

// judge completes the report.
func (r *Report) judge() {
	r.CPUs, r.Passed = runtime.NumCPU(), true
	for _, run := range r.Runs {
		r.Passed = r.Passed && run.Promises.kept()
	}
}

// Text is the report as the command prints it: as JSON or for people.
func (r *Report) Text(asJSON bool) string {
	if !asJSON {
		return r.String()
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text) + "\n"
}

// String is the report for people.
func (r *Report) String() string {
	var out strings.Builder
	settings, err := json.Marshal(r.Settings)
	if err != nil {
		return err.Error()
	}
	fmt.Fprintf(&out, "\n%s on %s, %d CPUs shared by all; %s\n", r.Scenario, r.On, r.CPUs, settings)
	for i := range r.Runs {
		r.Runs[i].write(&out)
	}
	verdict := "every promise was kept"
	if !r.Passed {
		verdict = "A PROMISE WAS BROKEN"
	}
	fmt.Fprintf(&out, "\n%s\n", verdict)
	return out.String()
}

func (run *Result) write(out *strings.Builder) {
	fmt.Fprintf(out, "\n")
	if run.OfferedRate > 0 {
		fmt.Fprintf(out, "%.0f messages a second were due; ", run.OfferedRate)
	}
	fmt.Fprintf(out, "%.1f s measured", run.Seconds)
	if run.PerSecond > 0 {
		fmt.Fprintf(out, ", %.0f %s a second", run.PerSecond, plural(run.Unit))
	}
	fmt.Fprintf(out, "\n")
	for _, f := range run.Facts {
		fmt.Fprintf(out, "%s: %.3g %s\n", f.Name, f.Value, f.Unit)
	}
	t := newTable(out)
	if len(run.Latencies) > 0 {
		t.cellsf("\nms\tp50\tp99\tp99.9\tmax\tcount\t\n")
	}
	for _, l := range run.Latencies {
		t.cellsf("%s\t%s\t%s\t%s\t%s\t%d\t\n", l.What, ms(l.P50), ms(l.P99), ms(l.P999), ms(l.Max), l.Count)
	}
	t.flush()
	run.writeUsage(out)
	fmt.Fprintf(out, "\n%s\n", &run.Promises)
	if run.Acknowledged > 0 {
		fmt.Fprintf(out, "%d sent, %d acknowledged, %d delivered in all\n", run.Sent, run.Acknowledged, run.Delivered)
	}
	for _, reason := range slices.Sorted(maps.Keys(run.Refused)) {
		fmt.Fprintf(out, "refused or broken off: %d × %s\n", run.Refused[reason], cmp.Or(reason, "without a reason"))
	}
	for _, remark := range run.remarks() {
		fmt.Fprintf(out, "note: %s\n", remark)
	}
}

func (run *Result) writeUsage(out *strings.Builder) {
	t := newTable(out)
	t.cellsf("\nprocess\tCPU s\tµs each %s\tMB before\tMB after\tMB peak\t", run.Unit)
	sockets := slices.ContainsFunc(run.Processes, func(p Process) bool { return p.RSSPerSocket != 0 })
	if sockets {
		t.cellsf("kB each socket\t")
	}
	t.cellsf("\n")
	sum := Process{Name: "together"}
	for _, p := range run.Processes {
		run.writeProcess(t, p, sockets)
		sum.CPU += p.CPU
		sum.CPUPerUnit += p.CPUPerUnit
		sum.RSSBefore += p.RSSBefore
		sum.RSSAfter += p.RSSAfter
		sum.RSSPeak += p.RSSPeak
		sum.RSSPerSocket += p.RSSPerSocket
	}
	if len(run.Processes) > 1 {
		run.writeProcess(t, sum, sockets)
	}
	t.cellsf("this tool\t%.2f\t%.2f\t\t\t\t\n", run.Tool.CPU, run.Tool.CPUPerUnit)
	t.flush()
}

func (run *Result) writeProcess(t table, p Process, sockets bool) {
	t.cellsf("%s\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t", p.Name, p.CPU, p.CPUPerUnit, mb(p.RSSBefore), mb(p.RSSAfter), mb(p.RSSPeak))
	if sockets {
		t.cellsf("%.2f\t", p.RSSPerSocket/1000)
	}
	t.cellsf("\n")
}

// table writes figures to memory, which can't fail.
type table struct{ w *tabwriter.Writer }

func newTable(out *strings.Builder) table {
	return table{tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)}
}

// cellsf writes cells. Each ends with a tab, and each row with a line break.
func (t table) cellsf(format string, args ...any) {
	fmt.Fprintf(t.w, format, args...) //nolint:errcheck // as above
}

func (t table) flush() { _ = t.w.Flush() }

// remarks warn where a figure may mislead.
func (run *Result) remarks() (remarks []string) {
	servers := 0.0
	for _, p := range run.Processes {
		servers += p.CPU
	}
	if servers > 0 && run.Tool.CPU > servers {
		remarks = append(remarks, "this tool used more CPU than the servers; where CPUs are scarce, they could do more")
	}
	for _, l := range run.Latencies {
		if l.What == late.String() && l.P99 > maxDelay {
			remarks = append(remarks, "this tool could not keep to the plan; latencies count from when a message was due, so its own delay is in them")
		}
	}
	if n := run.Refused["rate_limited"] + run.Refused["429 Too Many Requests"]; n > 0 {
		remarks = append(remarks, "the server's limit on senders was reached, see TIM_LIMIT_SEND_RATE")
	}
	return remarks
}

// maxDelay is the tool's own delay, in µs at p99, above which the report has a remark.
const maxDelay = 5000

func plural(unit string) string {
	if rest, ok := strings.CutSuffix(unit, "y"); ok {
		return rest + "ies"
	}
	if rest, ok := strings.CutPrefix(unit, "file"); ok {
		return "files" + rest
	}
	return unit + "s"
}

func ms(us int64) string { return fmt.Sprintf("%.3f", float64(us)/1000) }

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
