package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"tim/internal/servers"
)

// What the nodes use, see [Options].
const (
	onEmbedded = "embedded"
	onServers  = "servers"
	onCluster  = "cluster"
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
		if s.stack, err = home.StartStack(opts.On == onCluster); err != nil {
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
	for _, n := range s.nodes { // the first one migrates the database
		if err := n.Start(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// node is one `tim serve`, with proxies between it and the servers that it uses.
type node struct {
	*servers.Node

	name     string
	database *proxy // nil on embedded
	redis    *proxy // nil on embedded and on a Redis Cluster
}

// newNode makes a node that is down, and its proxies.
func (s *site) newNode(ctx context.Context, number int) (*node, error) {
	n := &node{name: "node " + strconv.Itoa(number)}
	options := servers.NodeOptions{Binary: s.opts.Binary}
	if s.opts.Logs != "" {
		options.Log = filepath.Join(s.opts.Logs, fmt.Sprintf("node%d.log", number))
	}
	if s.stack != nil {
		dsn, redisURL, err := s.throughProxies(ctx, n)
		if err != nil {
			return n, err
		}
		options.Env = s.stack.Env(dsn, redisURL)
	}
	var err error
	n.Node, err = s.home.NewNode(options)
	return n, err
}

// throughProxies makes the proxies of a node, and returns the addresses at which it finds MariaDB and Redis. A Redis Cluster tells
// clients the addresses of its masters, so it has no proxy.
func (s *site) throughProxies(ctx context.Context, n *node) (dsn, redisURL string, err error) {
	if n.database, err = newProxy(ctx, s.stack.MariaDB.TCPAddress); err != nil {
		return "", "", err
	}
	dsn = "root@tcp(" + n.database.address() + ")/tim"
	if s.opts.On == onCluster {
		return dsn, s.stack.RedisURL(), nil
	}
	if n.redis, err = newProxy(ctx, s.stack.Redis[0].TCPAddress); err != nil {
		return "", "", err
	}
	return dsn, "redis://" + n.redis.address(), nil
}

// proxies returns the proxies that the node has.
func (n *node) proxies() (proxies []*proxy) {
	for _, g := range []*proxy{n.database, n.redis} {
		if g != nil {
			proxies = append(proxies, g)
		}
	}
	return proxies
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
