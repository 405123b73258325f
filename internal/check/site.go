package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tim/internal/servers"
)

// What the nodes stand on, see [Options].
const (
	onEmbedded = "embedded"
	onServers  = "servers"
	onCluster  = "cluster"
)

// site is the installation under test: its nodes, and the servers that they stand on.
type site struct {
	opts  Options
	home  *servers.Home
	logs  string
	nodes []*node

	database *servers.Server   // nil on the embedded default
	redis    []*servers.Server // none on the embedded default, several in a cluster
	env      []string          // of all nodes
}

// newSite starts everything. The caller closes it, also after an error.
func newSite(ctx context.Context, opts Options) (*site, error) {
	home, err := servers.NewHome()
	if err != nil {
		return nil, err
	}
	s := &site{opts: opts, home: home, logs: home.Folder()}
	if opts.Logs != "" {
		if err := os.MkdirAll(opts.Logs, 0o750); err != nil {
			return s, fmt.Errorf("folder for logs: %w", err)
		}
		s.logs = opts.Logs
	}
	if opts.On != onEmbedded {
		if err := s.startServers(); err != nil {
			return s, err
		}
	}
	for i := range opts.Nodes {
		n, err := s.newNode(ctx, i+1)
		if err != nil {
			return s, err
		}
		s.nodes = append(s.nodes, n)
	}
	for _, n := range s.nodes { // the first one migrates the database
		if err := n.start(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *site) startServers() (err error) {
	if s.database, err = s.home.MariaDB(); err != nil {
		return err
	}
	if s.opts.On == onCluster {
		s.redis, err = s.home.RedisCluster()
	} else {
		var one *servers.Server
		one, err = s.home.Redis()
		s.redis = []*servers.Server{one}
	}
	if err != nil {
		return err
	}
	files, err := s.home.MinIO()
	if err != nil {
		return err
	}
	s.env = []string{
		"TIM_JWT_KEY=a key that is only good for checking", "TIM_S3_ENDPOINT=http://" + files.Endpoint,
		"TIM_S3_ACCESS_KEY=" + files.AccessKey, "TIM_S3_SECRET_KEY=" + files.SecretKey, "TIM_S3_BUCKET=tim-check",
	}
	return nil
}

// newNode makes a node that is down, and the gates between it and the servers. The nodes of a Redis Cluster tell their
// own addresses, so there is no gate before them.
func (s *site) newNode(ctx context.Context, number int) (*node, error) {
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	n := &node{
		name: "node " + strconv.Itoa(number), binary: s.opts.Binary, url: "http://" + address,
		log: filepath.Join(s.logs, fmt.Sprintf("node%d.log", number)),
	}
	n.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TIM_LISTEN=" + address, "TIM_ADMIN_LISTEN=",
		"TIM_BCRYPT_COST=4", "TIM_DATA_DIR=" + filepath.Join(s.home.Folder(), "data"+strconv.Itoa(number)),
	}, s.env...)
	if s.database == nil {
		return n, nil
	}
	if n.database, err = newGate(ctx, s.database.TCPAddress); err != nil {
		return n, err
	}
	n.env = append(n.env, "TIM_MYSQL_DSN=root@tcp("+n.database.address()+")/tim")
	if len(s.redis) > 1 {
		var urls []string
		for _, r := range s.redis {
			urls = append(urls, r.Address)
		}
		n.env = append(n.env, "TIM_REDIS_URL="+strings.Join(urls, ","))
		return n, nil
	}
	if n.redis, err = newGate(ctx, s.redis[0].TCPAddress); err != nil {
		return n, err
	}
	n.env = append(n.env, "TIM_REDIS_URL=redis://"+n.redis.address())
	return n, nil
}

// stopNodes ends the nodes in peace, before the database is read.
func (s *site) stopNodes() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.stop())
	}
	return errors.Join(errs...)
}

// close ends everything and removes its data.
func (s *site) close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(append(errs, s.home.Close())...)
}
