package bench

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"tim/internal/servers"
)

// What the tool's own nodes use, see [Options].
const (
	onEmbedded = "embedded"
	onServers  = "servers"
	onMySQL    = "mysql"
	onGalera   = "galera"
)

const galeraMembers = 3

// site is what is measured: servers that run already, or the tool's own nodes and the servers that they use.
type site struct {
	urls  []string
	pids  []process // of servers that run already
	home  *servers.Home
	nodes []*servers.Node
	below []belowNodes
}

type belowNodes struct {
	name   string
	server *servers.Server
}

// newSite starts what has to be started. The caller closes it, also after an error.
func newSite(opts Options) (*site, error) {
	s := &site{}
	for _, u := range opts.URL {
		s.urls = append(s.urls, strings.TrimRight(u, "/"))
	}
	for _, pid := range opts.PID {
		p, err := newProcess(pid)
		if err != nil {
			return s, err
		}
		s.pids = append(s.pids, p)
	}
	if len(s.urls) > 0 {
		return s, nil
	}
	var err error
	if s.home, err = servers.NewHome(); err != nil {
		return s, err
	}
	return s, s.startNodes(opts)
}

func (s *site) startNodes(opts Options) error {
	count, env := 1, []string{"TIM_LIMIT_SEND_RATE=0"}
	var stack *servers.Stack
	if opts.On != onEmbedded {
		options := servers.StackOptions{}
		switch opts.On {
		case onGalera:
			options.GaleraMembers = galeraMembers
		case onMySQL:
			options.Database = servers.KindMySQL
		}
		var err error
		if stack, err = s.home.StartStack(options); err != nil {
			return err
		}
		count = max(1, opts.Nodes)
		s.notice(stack, opts.On)
	}
	for i := range count {
		own := slices.Clone(env)
		if stack != nil {
			own = append(own, stack.Env(stack.Database[i%len(stack.Database)].Address, stack.RedisURL())...)
		}
		n, err := s.home.NewNode(servers.NodeOptions{Binary: opts.Binary, Env: append(own, opts.Env...)})
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
		s.urls = append(s.urls, n.URL)
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// notice makes the servers of a stack be measured.
func (s *site) notice(stack *servers.Stack, on string) {
	program := "mariadbd"
	if on == onMySQL {
		program = "mysqld"
	}
	for i, m := range stack.Database {
		name := program
		if len(stack.Database) > 1 {
			name += " " + strconv.Itoa(i+1)
		}
		s.below = append(s.below, belowNodes{name, m})
	}
	s.below = append(s.below, belowNodes{"redis", stack.Redis[0]})
}

// processes returns all processes whose CPU and memory are measured.
func (s *site) processes() (all []process) {
	for i, n := range s.nodes {
		name := "tim"
		if len(s.nodes) > 1 {
			name += " " + strconv.Itoa(i+1)
		}
		all = append(all, process{name, n.PID()})
	}
	for _, b := range s.below {
		all = append(all, process{b.name, b.server.PID()})
	}
	return append(all, s.pids...)
}

// refresh restarts the tool's own nodes, so that what made the accounts is not in the memory that is measured.
func (s *site) refresh(ctx context.Context) error {
	for _, n := range s.nodes {
		if err := errors.Join(ctx.Err(), n.Stop()); err != nil {
			return err
		}
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// close ends what the tool has started, and removes its data.
func (s *site) close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.Stop())
	}
	if s.home != nil {
		errs = append(errs, s.home.Close())
	}
	return errors.Join(errs...)
}
