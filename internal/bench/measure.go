package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// errOver is the cause with which a load's context ends when the window is over.
var errOver = errors.New("the load's time is over")

// measure runs a load and measures it after its warm-up. The load returns soon after its context has ended. A nil load is for
// sockets that only have to be there. What the load does it counts in rec.
func (b *bench) measure(ctx context.Context, rec *recorder, w Window, load func(context.Context) error) (Result, error) {
	if w.Warmup+w.Duration > longestRun {
		return Result{}, fmt.Errorf("no run is longer than %v: its tokens would expire", longestRun)
	}
	loading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if load != nil {
			if err := load(loading); err != nil && !errors.Is(err, errOver) {
				stop(err)
			}
		}
	}()
	run, err := b.window(loading, rec, w)
	stop(errOver)
	<-ended
	if cause := context.Cause(loading); !errors.Is(cause, errOver) {
		err = errors.Join(cause, ctx.Err())
	}
	return run, err
}

// window waits for the warm-up, opens the window, and closes it when its time is over.
func (b *bench) window(ctx context.Context, rec *recorder, w Window) (Result, error) {
	watching, err := newMeter(b.site.processes())
	if err == nil {
		err = b.watch(ctx, rec, watching, w.Warmup, "warm-up")
	}
	if err != nil {
		return Result{}, err
	}
	m, err := b.open(rec)
	if err != nil {
		return Result{}, err
	}
	if err := b.watch(ctx, rec, m, w.Duration, "measured"); err != nil {
		return Result{}, err
	}
	return b.close(rec, m)
}

// open opens the measured window.
func (b *bench) open(rec *recorder) (*meter, error) {
	m, err := newMeter(b.site.processes())
	rec.from.Store(b.clock.now())
	return m, err
}

// close closes the window, and returns what was used in it.
func (b *bench) close(rec *recorder, m *meter) (run Result, err error) {
	rec.until.Store(b.clock.now())
	var window time.Duration
	run.Processes, run.Tool, window, err = m.read()
	run.Seconds = window.Seconds()
	return run, err
}

// watch prints a line of progress each second, for a time.
func (b *bench) watch(ctx context.Context, rec *recorder, m *meter, d time.Duration, phase string) error {
	over := time.NewTimer(d)
	defer over.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	line := newProgressLine(rec)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over.C:
			return nil
		case <-look.C:
			memory, err := m.sample()
			if err != nil {
				return err
			}
			b.logf("%s: %s%s", phase, line.next(rec), inMB(memory))
		}
	}
}

func inMB(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f MB", float64(bytes)/1e6)
}

// progressLine says how much was done since it was last asked.
type progressLine struct {
	at   time.Time
	done [kinds]int64
}

func newProgressLine(rec *recorder) *progressLine {
	l := &progressLine{}
	l.next(rec)
	return l
}

func (l *progressLine) next(rec *recorder) string {
	var parts []string
	seconds := time.Since(l.at).Seconds()
	for k := range kinds {
		n := rec.total[k].Load()
		if since := n - l.done[k]; since > 0 && k != late {
			parts = append(parts, fmt.Sprintf("%.0f/s %s", float64(since)/seconds, k))
		}
		l.done[k] = n
	}
	l.at = time.Now()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for reason, n := range rec.refused {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	if parts == nil {
		return "quiet"
	}
	return strings.Join(parts, ", ")
}

// finish completes the figures of a run. Its unit is what was done of a kind in the window.
func (run *Result) finish(rec *recorder, unit string, k kind) {
	run.finishUnits(rec, unit, rec.done(k))
	run.PerSecond = float64(run.Units) / run.Seconds
}

// finishUnits is finish for units that the caller has counted.
func (run *Result) finishUnits(rec *recorder, unit string, units int64) {
	run.Unit, run.Units = unit, units
	run.Latencies = rec.latencies()
	run.Sent, run.Acknowledged, run.Delivered = rec.total[sends].Load(), rec.total[acknowledged].Load(), rec.total[delivered].Load()
	rec.mu.Lock()
	for reason, n := range rec.refused {
		if run.Refused == nil {
			run.Refused = make(map[string]int64)
		}
		run.Refused[reason] = n
	}
	rec.mu.Unlock()
	run.Promises.Disconnected += rec.disconnected.Load()
	run.Promises.Unanswered += rec.unexpected.Load()
	if units == 0 {
		return
	}
	for i := range run.Processes {
		run.Processes[i].CPUPerUnit = run.Processes[i].CPU / float64(units) * 1e6
	}
	run.Tool.CPUPerUnit = run.Tool.CPU / float64(units) * 1e6
}
