package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tim/internal/servers"
)

// What the nodes use, see [Options].
const (
	onEmbedded = "embedded"
	onServers  = "servers"
	onMySQL    = "mysql"
	onCluster  = "cluster"
	onGalera   = "galera"
	onVitess   = "vitess"
)

const (
	galeraMembers = 3
	// inSync makes a member answer a read when it has all that any member had committed before.
	inSync = "?wsrep_sync_wait=1"
)

// site is the installation under test: nodes and the servers that they use.
type site struct {
	opts  Options
	home  *servers.Home
	nodes []*node
	stack *servers.Stack // nil on embedded
}

// newSite starts everything. The caller closes it, also after an error.
func newSite(ctx context.Context, opts Options) (*site, error) {
	home, err := servers.NewHome()
	if err != nil {
		return nil, err
	}
	s := &site{opts: opts, home: home}
	if opts.Logs != "" {
		if err := os.MkdirAll(opts.Logs, 0o750); err != nil {
			return s, fmt.Errorf("folder for logs: %w", err)
		}
	}
	if opts.On != onEmbedded {
		options := servers.StackOptions{RedisCluster: opts.On == onCluster}
		switch opts.On {
		case onGalera:
			options.GaleraMembers = galeraMembers
		case onMySQL:
			options.Database = servers.KindMySQL
		case onVitess:
			options.Database = servers.KindVitess
		}
		if s.stack, err = home.StartStack(options); err != nil {
			return s, err
		}
	}
	for i := range opts.Nodes {
		n, err := s.newNode(ctx, i+1)
		s.nodes = append(s.nodes, n)
		if err != nil {
			return s, err
		}
	}
	return s, s.startNodes()
}

// startNodes starts all nodes at once. All of them want to migrate the database.
func (s *site) startNodes() error {
	errs := make([]error, len(s.nodes))
	var starting sync.WaitGroup
	for i, n := range s.nodes {
		starting.Go(func() { errs[i] = n.Start() })
	}
	starting.Wait()
	return errors.Join(errs...)
}

// node is one `tim serve`, with proxies between it and the servers that it uses.
type node struct {
	*servers.Node

	name     string
	database []*proxy // in the order in which the node prefers what is behind them; none on embedded
	redis    *proxy   // nil on embedded and on a Redis Cluster
}

// newNode makes a node that is down, and its proxies.
func (s *site) newNode(ctx context.Context, number int) (*node, error) {
	n := &node{name: "node " + strconv.Itoa(number)}
	options := servers.NodeOptions{Binary: s.opts.Binary}
	if s.opts.Logs != "" {
		options.Log = filepath.Join(s.opts.Logs, fmt.Sprintf("node%d.log", number))
	}
	if s.stack != nil {
		dsn, redisURL, err := s.throughProxies(ctx, n, number)
		if err != nil {
			return n, err
		}
		options.Env = s.stack.Env(dsn, redisURL)
	}
	var err error
	n.Node, err = s.home.NewNode(options)
	return n, err
}

// throughProxies makes the proxies of a node, and returns the addresses at which it finds MariaDB and Redis. Each node prefers another
// member of a Galera cluster. A Redis Cluster tells clients the addresses of its masters, so it has no proxy.
func (s *site) throughProxies(ctx context.Context, n *node, number int) (dsn, redisURL string, err error) {
	var addresses []string
	for i := range s.stack.Database {
		g, err := newProxy(ctx, s.stack.Database[(number-1+i)%len(s.stack.Database)].TCPAddress)
		if err != nil {
			return "", "", err
		}
		n.database, addresses = append(n.database, g), append(addresses, g.address())
	}
	dsn = "root@tcp(" + strings.Join(addresses, ",") + ")/tim"
	if s.opts.On == onCluster {
		return dsn, s.stack.RedisURL(), nil
	}
	if n.redis, err = newProxy(ctx, s.stack.Redis[0].TCPAddress); err != nil {
		return "", "", err
	}
	return dsn, "redis://" + n.redis.address(), nil
}

// database is the name of the one server of the database.
func (s *site) database() string {
	switch s.opts.On {
	case onMySQL:
		return "MySQL"
	case onVitess:
		return "Vitess"
	}
	return "MariaDB"
}

// reading is what a DSN needs so that all rows can be read.
func (s *site) reading() string {
	if s.opts.On == onVitess { // which otherwise returns 10,000 at most
		return "?workload=olap"
	}
	return ""
}

// proxies returns the proxies that the node has.
func (n *node) proxies() (proxies []*proxy) {
	if n.redis == nil {
		return n.database
	}
	return append(slices.Clone(n.database), n.redis)
}

// stopNodes stops the nodes by SIGTERM, before the database is read.
func (s *site) stopNodes() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.Stop())
	}
	return errors.Join(errs...)
}

// close ends everything and removes its data.
func (s *site) close() error {
	var errs []error
	for _, n := range s.nodes {
		if n.Node != nil {
			errs = append(errs, n.Kill())
		}
		for _, g := range n.proxies() {
			errs = append(errs, g.close())
		}
	}
	return errors.Join(append(errs, s.home.Close())...)
}
