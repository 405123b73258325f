// Package bench is `tim bench`, a load generator for the project's own protocols: it answers what a server holds on a
// given machine, and checks meanwhile that nothing is lost, doubled or out of order.
//
//	bench.go     options and the run from beginning to end
//	site.go      what is measured: servers that run already, or nodes of its own and what they stand on
//	people.go    accounts, friends and groups, over REST
//	socket.go    a device on tim.v1; crowd.go many of them; wire.go what they write through
//	frame.go     frames built and read without JSON's cost
//	stream.go    what a socket hears of a conversation: gaps, doubles, disorder
//	measure.go   the measured window, in closed loop or open (pace.go)
//	recorder.go  latencies and counts; usage.go CPU and memory of processes
//	sockets.go   the scenarios connect, idle and reconnect
//	chat.go      direct and group; mixed.go
//	rest.go      rest; upload.go
//	report.go    the figures, as table and JSON; plot.go as SVG
//
// A scenario prepares accounts and sockets, then lets a measure run: what happens before the window opens and after it
// closes counts for the promises, not for the figures. All times come from one clock, as sender and receiver are in one
// process. It knows the server by its specs alone, as any client does.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Options of Run. The command line fills them in.
//
//nolint:tagalign // the tags read as sentences
type Options struct {
	On          string   `help:"What the tool's own server stands on: embedded (SQLite) or servers (MariaDB, Redis, MinIO). It limits no senders, and hashes passwords cheaply." enum:"embedded,servers" default:"embedded"`
	Nodes       int      `help:"How many nodes it starts; on embedded it is one." default:"1"`
	Binary      string   `help:"The program that its own nodes are: another version of this one, to compare; this one by default." placeholder:"FILE" type:"path"`
	Env         []string `help:"A setting of its own nodes, as TIM_LOG_LEVEL=warn." placeholder:"NAME=VALUE" sep:"none"`
	URL         []string `help:"Measure a server that runs already, http://host:port, instead of an own one; once for each node. Accounts and messages are left behind there. Its limits hold: see TIM_LIMIT_SEND_RATE." placeholder:"URL" sep:"none"`
	PID         []int    `help:"A process whose CPU and memory are measured, too: of the server at --url, of its database." placeholder:"PID" sep:"none"`
	Prefix      string   `help:"What the accounts' names begin with. The same prefix uses the same accounts again." default:"bench"`
	Concurrency int      `help:"How many accounts are made, and sockets opened, at once." default:"64"`
	JSON        string   `help:"Write the figures to a file as JSON, too; - for standard output, instead of the table." placeholder:"FILE"`
	Plot        string   `help:"Draw a picture (SVG): throughput against latency for a --sweep, memory against sockets for idle and connect." placeholder:"FILE"`

	Connect   ConnectOptions   `cmd:"" help:"Open sockets, each with its account: connects a second, CPU and memory of each."`
	Idle      IdleOptions      `cmd:"" help:"Hold sockets that say nothing: memory of each, CPU with heartbeats."`
	Direct    DirectOptions    `cmd:"" help:"Pairs of accounts; one of each writes to the other."`
	Group     GroupOptions     `cmd:"" help:"A group whose members are all online, some write."`
	Mixed     MixedOptions     `cmd:"" help:"A day's shape: many idle, few writing to friends and groups, sockets come and go, members join and leave."`
	Reconnect ReconnectOptions `cmd:"" help:"All sockets break at once and come back, each having missed a message: how long until all are back and in step."`
	Rest      RestOptions      `cmd:"" help:"Requests over REST, in closed loop: messages, pages of history, lists of conversations."`
	Upload    UploadOptions    `cmd:"" help:"Files up and down again; every byte is compared."`

	Scenario string    `kong:"-"` // the name of one of the commands above
	Out      io.Writer `kong:"-"` // gets a line a second while it runs
}

// Window is when it is measured.
//
//nolint:tagalign // as above
type Window struct {
	Warmup   time.Duration `help:"How long the load runs before it is measured." default:"3s" json:"-"`
	Duration time.Duration `help:"How long it is measured." default:"10s" json:"-"`
}

// bench is one run under way.
type bench struct {
	opts  Options
	site  *site
	http  *http.Client
	clock clock
	run   []byte
}

// longestRun is short of an hour, after which the tokens expire.
const longestRun = 50 * time.Minute

const requestTimeout = 60 * time.Second

// Run runs a scenario. The report is there also when a promise was broken; an error says that there is none. It ends
// early with ctx.
func Run(ctx context.Context, opts Options) (report *Report, err error) {
	scenario, settings, err := opts.scenario()
	if err != nil {
		return nil, err
	}
	b := &bench{opts: opts, clock: clock{time.Now()}, run: newRun()}
	connections := max(16, opts.Concurrency)
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: 4 * connections, DisableCompression: true}
	b.http = &http.Client{Transport: transport, Timeout: requestTimeout}
	defer transport.CloseIdleConnections()
	done := b.progress("the server is started")
	b.site, err = newSite(opts)
	defer func() { err = errors.Join(err, b.site.close()) }()
	if err != nil {
		return nil, err
	}
	done()
	for i, n := range b.site.nodes {
		b.logf("node %d: %s, metrics and profiles at %s", i+1, n.URL, n.Admin)
	}
	report = &Report{Scenario: opts.Scenario, On: opts.On, Settings: settings}
	if len(opts.URL) > 0 {
		report.On = fmt.Sprint(opts.URL)
	}
	if report.Runs, err = scenario(ctx, b); err != nil {
		return nil, err
	}
	report.judge()
	return report, b.writeFiles(report)
}

// scenario finds the one that was asked for, and what it was asked with.
func (o *Options) scenario() (run func(context.Context, *bench) ([]Result, error), settings any, err error) {
	plots := false
	switch o.Scenario {
	case "connect":
		run, settings, plots = o.Connect.run, o.Connect, true
	case "idle":
		run, settings, plots = o.Idle.run, o.Idle, true
	case "direct":
		run, settings, plots = o.Direct.run, o.Direct, len(o.Direct.Sweep) > 0
	case "group":
		run, settings, plots = o.Group.run, o.Group, len(o.Group.Sweep) > 0
	case "mixed":
		run, settings = o.Mixed.run, o.Mixed
	case "reconnect":
		run, settings = o.Reconnect.run, o.Reconnect
	case "rest":
		run, settings = o.Rest.run, o.Rest
	case "upload":
		run, settings = o.Upload.run, o.Upload
	default:
		return nil, nil, fmt.Errorf("there is no scenario %q", o.Scenario)
	}
	if o.Plot != "" && !plots {
		return nil, nil, errors.New("a plot needs a --sweep of rates, or the scenarios idle or connect")
	}
	if len(o.URL) == 0 && len(o.PID) > 0 {
		return nil, nil, errors.New("--pid goes with --url; the tool knows its own processes")
	}
	return run, settings, nil
}

// writeFiles writes what was asked for into files.
func (b *bench) writeFiles(report *Report) error {
	if b.opts.JSON != "" && b.opts.JSON != "-" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.opts.JSON, append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("figures: %w", err)
		}
	}
	if b.opts.Plot != "" {
		if err := os.WriteFile(b.opts.Plot, []byte(report.plot().svg()), 0o600); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
	}
	return nil
}

func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.opts.Out, "%6.1fs  %s\n", time.Since(b.clock.began).Seconds(), fmt.Sprintf(format, args...)) //nolint:errcheck // nobody may be looking
}

// progress says what is begun; the function it returns says that it is done.
func (b *bench) progress(what string) (done func()) {
	b.logf("%s …", what)
	began := time.Now()
	return func() {
		if took := time.Since(began); took > time.Second {
			b.logf("… after %.1f s", took.Seconds())
		}
	}
}
