package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tim/internal/servers"
)

// process is a process that is measured.
type process struct {
	name string
	pid  int
}

// newProcess returns a running process with its name.
func newProcess(pid int) (process, error) {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return process{strings.TrimSpace(string(name)), pid}, nil
}

// tick is the unit of CPU time in /proc; it is the same on all Linux systems that Go supports.
const tick = time.Second / 100

// cpu returns how long all threads of the process have run so far, in the kernel, too.
func (p process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, fmt.Errorf("cpu of %s: %w", p.name, err)
	}
	// The name stands in parentheses, and may hold anything; utime and stime are the 12th and 13th after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("cpu of %s: unknown form of /proc", p.name)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// rss returns the resident set of the process, in bytes.
func (p process) rss() (int64, error) {
	rss, err := servers.ResidentSet(p.pid)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	return rss, nil
}

// ownCPU returns how long the load tool itself has run.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// meter measures what processes use from its making on. Not safe for concurrent use.
type meter struct {
	processes []process
	began     time.Time
	own       time.Duration
	used      []Process
	cpu       []time.Duration // before
}

func newMeter(processes []process) (*meter, error) {
	m := &meter{processes: processes, began: time.Now(), own: ownCPU()}
	for _, p := range processes {
		cpu, err := p.cpu()
		if err != nil {
			return nil, err
		}
		rss, err := p.rss()
		if err != nil {
			return nil, err
		}
		m.cpu = append(m.cpu, cpu)
		m.used = append(m.used, Process{Name: p.name, PID: p.pid, RSSBefore: rss, RSSPeak: rss})
	}
	return m, nil
}

// sample measures the memory, and returns the sum of all processes.
func (m *meter) sample() (sum int64, err error) {
	for i, p := range m.processes {
		rss, err := p.rss()
		if err != nil {
			return 0, err
		}
		m.used[i].RSSAfter, m.used[i].RSSPeak = rss, max(m.used[i].RSSPeak, rss)
		sum += rss
	}
	return sum, nil
}

// read returns what was used since the meter was made.
func (m *meter) read() (used []Process, tool Tool, window time.Duration, err error) {
	if _, err := m.sample(); err != nil {
		return nil, tool, 0, err
	}
	window = time.Since(m.began)
	for i, p := range m.processes {
		cpu, err := p.cpu()
		if err != nil {
			return nil, tool, 0, err
		}
		m.used[i].CPU = (cpu - m.cpu[i]).Seconds()
	}
	tool.CPU = (ownCPU() - m.own).Seconds()
	tool.Share = tool.CPU / window.Seconds()
	return append(used, m.used...), tool, window, nil
}

// raiseFileLimit raises the limit of open files of this process, and of those it starts, to need.
func raiseFileLimit(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur >= need {
		return nil
	}
	wanted := syscall.Rlimit{Cur: need, Max: max(need, limit.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wanted); err != nil {
		return fmt.Errorf("%d open files are needed, the limit is %d (ulimit -n): %w", need, limit.Max, err)
	}
	return nil
}
