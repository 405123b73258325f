// Package bench is `tim bench`, a load generator for tim.v1 and REST. It measures what a server can do on a machine, and
// checks that no message is lost, doubled or delivered out of order.
//
//	bench.go     the options, and a run from beginning to end
//	site.go      what is measured: servers that run already, or the tool's own nodes and servers
//	people.go    accounts, friends and groups, over REST
//	socket.go    a device on tim.v1; pool.go many of them
//	text.go      the messages that the tool sends, and how it recognises them
//	stream.go    what a socket receives of a conversation: gaps, doubles, disorder
//	measure.go   the measured window; pace.go sends by a plan (open loop)
//	recorder.go  latencies and counts; usage.go CPU and memory of processes
//	sockets.go   the scenarios connect, idle and reconnect
//	chat.go      the scenarios direct and group; mixed.go, rest.go and upload.go have one each
//	report.go    the figures as a table and as JSON; plot.go as SVG
//
// A scenario prepares accounts and sockets, and then measures for a window of time. What happens before and after the window
// is checked, and doesn't count in the figures. Sender and receiver are in one process, so all times come from one clock. The
// tool uses only what the specs say, as any client does.
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
	On          string   `help:"What the tool's own nodes use: embedded (SQLite), servers (MariaDB, Redis, MinIO), mysql (the same with MySQL) or galera (the same with a Galera cluster of three members, of which each node uses another). They limit no senders, and hash passwords cheaply." enum:"embedded,servers,mysql,galera" default:"embedded"`
	Nodes       int      `help:"How many nodes the tool starts; with --on=embedded always one." default:"1"`
	Binary      string   `help:"The program that the nodes run, to compare another version; by default this program." placeholder:"FILE" type:"path"`
	Env         []string `help:"A setting of the tool's own nodes, such as TIM_LOG_LEVEL=warn." placeholder:"NAME=VALUE" sep:"none"`
	URL         []string `help:"Measure a server that runs already, http://host:port, instead of starting one; once for each node. The accounts and messages stay there. Its limits hold, see TIM_LIMIT_SEND_RATE." placeholder:"URL" sep:"none"`
	PID         []int    `help:"A process of the server at --url, or of its database, whose CPU and memory are measured." placeholder:"PID" sep:"none"`
	Prefix      string   `help:"What the accounts' names begin with. A run with the same prefix uses the same accounts again." default:"bench"`
	Concurrency int      `help:"How many accounts are made at once, and how many sockets opened." default:"64"`
	JSON        string   `help:"Also write the figures to a file as JSON; - writes them to standard output instead of the table." placeholder:"FILE"`
	Plot        string   `help:"Draw a picture (SVG): throughput against latency for a --sweep, memory against sockets for idle and connect." placeholder:"FILE"`

	Connect   ConnectOptions   `cmd:"" help:"Open sockets, each of its own account: connects a second, CPU and memory of each."`
	Idle      IdleOptions      `cmd:"" help:"Hold sockets that are idle: memory and CPU of each, with heartbeats."`
	Direct    DirectOptions    `cmd:"" help:"Pairs of accounts, of which one writes to the other."`
	Group     GroupOptions     `cmd:"" help:"A group whose members are all online, and of whom some write."`
	Mixed     MixedOptions     `cmd:"" help:"A mix as of a usual day: most sockets are idle, a few write to friends and groups, sockets break and return, members join and leave."`
	Reconnect ReconnectOptions `cmd:"" help:"All sockets break at once and return, and each has missed a message: how long until all are connected and have everything."`
	Rest      RestOptions      `cmd:"" help:"Requests over REST, each when the last is answered: messages, pages of history, lists of conversations."`
	Upload    UploadOptions    `cmd:"" help:"Upload files and download them again; every byte is compared."`

	Scenario string    `kong:"-"` // the name of one of the commands above
	Out      io.Writer `kong:"-"` // receives a line of progress each second
}

// Window is how long a load runs before it is measured, and how long it is measured.
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

// longestRun is less than the hour after which tokens expire.
const longestRun = 50 * time.Minute

const requestTimeout = 60 * time.Second

// Run runs a scenario, until ctx ends at the latest. It returns a report also when a promise about delivery was broken; an error
// means that there is no report.
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

// scenario returns the scenario that the options name, and its own options.
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
		return nil, nil, errors.New("--pid goes with --url; the tool measures the processes that it starts by itself")
	}
	return run, settings, nil
}

// writeFiles writes the JSON and the plot, as far as the options ask for them.
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

// progress prints what begins now. The function that it returns prints how long it took, if that was more than a second.
func (b *bench) progress(what string) (done func()) {
	b.logf("%s …", what)
	began := time.Now()
	return func() {
		if took := time.Since(began); took > time.Second {
			b.logf("… after %.1f s", took.Seconds())
		}
	}
}
