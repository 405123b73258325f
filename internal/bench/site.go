package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"tim/internal/servers"
)

// What the tool's own nodes stand on, see [Options].
const (
	onEmbedded = "embedded"
	onServers  = "servers"
)

const (
	nodeStartTimeout = 60 * time.Second
	nodeStopTimeout  = 40 * time.Second // above the default of TIM_DRAIN_TIMEOUT
	lookEvery        = 20 * time.Millisecond
)

// site is what is measured: somebody else's servers, or nodes of its own and the servers below them.
type site struct {
	urls  []string
	pids  []process // of what doesn't belong to the tool
	home  *servers.Home
	nodes []*node
	below []belowNodes
}

type belowNodes struct {
	name   string
	server *servers.Server
}

// newSite starts what has to be started. The caller closes it, also after an error.
func newSite(ctx context.Context, opts Options) (*site, error) {
	s := &site{}
	for _, u := range opts.URL {
		s.urls = append(s.urls, trimSlash(u))
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
	env := append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TIM_BCRYPT_COST=4", "TIM_LIMIT_SEND_RATE=0",
	}, opts.Env...)
	nodes := 1
	if opts.On == onServers {
		nodes = max(1, opts.Nodes)
		below, err := s.startServers()
		if err != nil {
			return s, err
		}
		env = append(env, below...)
	}
	for i := range nodes {
		n, err := s.newNode(i+1, nodes, opts.Binary)
		if err != nil {
			return s, err
		}
		n.env = append(n.env, env...)
		s.nodes = append(s.nodes, n)
		s.urls = append(s.urls, n.url)
		if err := n.start(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func trimSlash(u string) string {
	for len(u) > 0 && u[len(u)-1] == '/' {
		u = u[:len(u)-1]
	}
	return u
}

// startServers starts MariaDB, Redis and MinIO, and returns how nodes find them.
func (s *site) startServers() ([]string, error) {
	database, err := s.home.MariaDB()
	if err != nil {
		return nil, err
	}
	redis, err := s.home.Redis()
	if err != nil {
		return nil, err
	}
	files, err := s.home.MinIO()
	if err != nil {
		return nil, err
	}
	s.below = []belowNodes{{"mariadbd", database}, {"redis", redis}}
	return []string{
		"TIM_JWT_KEY=a key that is only good for measuring", "TIM_MYSQL_DSN=" + database.Address, "TIM_REDIS_URL=" + redis.Address,
		"TIM_S3_ENDPOINT=http://" + files.Endpoint, "TIM_S3_ACCESS_KEY=" + files.AccessKey, "TIM_S3_SECRET_KEY=" + files.SecretKey,
		"TIM_S3_BUCKET=tim-bench",
	}, nil
}

func (s *site) newNode(number, of int, binary string) (*node, error) {
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	admin, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	n := &node{
		name: "tim", binary: binary, url: "http://127.0.0.1:" + strconv.Itoa(port), admin: "127.0.0.1:" + strconv.Itoa(admin),
		log: filepath.Join(s.home.Folder(), fmt.Sprintf("node%d.log", number)),
	}
	if of > 1 {
		n.name += " " + strconv.Itoa(number)
	}
	n.env = []string{
		"TIM_LISTEN=127.0.0.1:" + strconv.Itoa(port), "TIM_ADMIN_LISTEN=" + n.admin,
		"TIM_DATA_DIR=" + filepath.Join(s.home.Folder(), "data"+strconv.Itoa(number)),
	}
	return n, nil
}

// processes are all whose costs are known.
func (s *site) processes() (all []process) {
	for _, n := range s.nodes {
		all = append(all, process{n.name, n.cmd.Process.Pid})
	}
	for _, b := range s.below {
		all = append(all, process{b.name, b.server.PID()})
	}
	return append(all, s.pids...)
}

// refresh starts the tool's own nodes anew, so that what made the accounts is not in the memory that is measured.
func (s *site) refresh(ctx context.Context) error {
	for _, n := range s.nodes {
		if err := n.stop(); err != nil {
			return err
		}
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends what the tool has started, and removes its data.
func (s *site) close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, n.stop())
	}
	if s.home != nil {
		errs = append(errs, s.home.Close())
	}
	return errors.Join(errs...)
}

// node is one `tim serve`. Its methods are called one at a time.
type node struct {
	name, binary, url, admin string
	env                      []string
	log                      string // a file

	cmd   *exec.Cmd // nil while it is down
	ended chan struct{}
}

// start starts the process and returns when it serves.
func (n *node) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeStartTimeout)
	defer cancel()
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", n.name, err)
	}
	defer log.Close()                      //nolint:errcheck // the process has its own
	cmd := exec.Command(n.binary, "serve") //nolint:noctx // this very program; it lives until stop
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.cmd, n.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) { // ends with the process, which stop ends
		defer close(ended)
		_ = cmd.Wait()
	}(n.ended)
	if err := n.awaitHealth(ctx); err != nil {
		said, _ := os.ReadFile(n.log)
		return errors.Join(fmt.Errorf("%s doesn't serve: %w; it said:\n%s", n.name, err, said[max(0, len(said)-2000):]), n.stop())
	}
	return nil
}

func (n *node) awaitHealth(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/healthz", nil)
		if err != nil {
			return err
		}
		r.Close = true
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			return answer.Body.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-n.ended:
			return fmt.Errorf("it ended: %w", err)
		case <-look.C:
		}
	}
}

// stop ends it in peace; it does nothing when it is down.
func (n *node) stop() error {
	if n.cmd == nil {
		return nil
	}
	cmd := n.cmd
	n.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", n.name, err)
	}
	select {
	case <-n.ended:
		return nil
	case <-time.After(nodeStopTimeout):
	}
	err := cmd.Process.Kill()
	<-n.ended
	return errors.Join(fmt.Errorf("%s didn't end within %v", n.name, nodeStopTimeout), err)
}
