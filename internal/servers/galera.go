package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Galera is a cluster of MariaDB servers, each of which takes writes and has all data. Kill, Stop and Pause of a member leave the
// cluster without it, Start and Resume bring it back. A member's Start needs another one that runs; [Galera.Start] doesn't.
type Galera struct {
	Members []*Server

	name     string
	provider string
	program  string
	ports    []memberPorts

	mu    sync.Mutex
	first *Server // the member that starts the cluster; nil for none
}

// memberPorts are what a member listens on beside its own port.
type memberPorts struct {
	group  int // what the members say to each other
	missed int // the transactions that it lacks
	copied int // a copy of all data, when it lacks too much
}

const (
	galeraProvider = "/usr/lib/galera/libgalera_smm.so" // of the package galera-4

	memberSynced = "4" // wsrep_local_state of a member that has everything
)

// Galera starts a cluster with one empty utf8mb4 database, "tim", whose DSN at a member is the member's Address. Each member commits
// durably, as [Home.MariaDB] does. Where this process is root they run as the user mysql, or nobody.
func (h *Home) Galera(members int) (*Galera, error) {
	for attempt := 1; ; attempt++ {
		g, err := h.newGalera(members)
		if err != nil {
			return nil, err
		}
		if err = g.Start(); err == nil {
			return g, nil
		}
		err = errors.Join(fmt.Errorf("galera: %w", err), g.Remove())
		if !errors.Is(err, errDied) || attempt == startAttempts { // another process may have taken a port
			return nil, err
		}
	}
}

// newGalera makes the members, which are down, from one installation.
func (h *Home) newGalera(members int) (*Galera, error) {
	g := &Galera{provider: galeraProvider}
	if _, err := os.Stat(g.provider); err != nil {
		return nil, fmt.Errorf("galera-4 is not installed: run `make deps`: %w", err)
	}
	var err error
	if g.program, err = LookPath("mariadbd"); err != nil {
		return nil, err
	}
	installer, err := LookPath("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	owner, err := servant()
	if err != nil {
		return nil, err
	}
	if owner != nil {
		if err := os.Chmod(h.folder, 0o711); err != nil { //nolint:gosec // the members pass through it as another user
			return nil, fmt.Errorf("galera: %w", err)
		}
	}
	for range members {
		if err = g.add(h, owner); err != nil {
			break
		}
	}
	if err == nil {
		err = g.installAll(installer)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("galera: %w", err), g.Remove())
	}
	return g, nil
}

// add makes one more member, without data.
func (g *Galera) add(h *Home, owner *syscall.Credential) error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	transfer, err := FreePort()
	if err != nil {
		return err
	}
	s := &Server{kind: "galera", port: port, TCPAddress: loopback(port), owner: owner}
	if err := h.add(s); err != nil {
		return err
	}
	if g.name == "" {
		g.name = "tim-" + strconv.Itoa(port)
	}
	s.Address = mariadbDSN(s, "tim")
	s.prepare = func(ctx context.Context) error { return g.prepare(ctx, s) }
	s.ready = func(ctx context.Context, _ int) error { return galeraReady(ctx, s) }
	g.Members = append(g.Members, s)
	g.ports = append(g.ports, memberPorts{group: port + busDistance, missed: transfer, copied: transfer + busDistance})
	return nil
}

// installAll gives all members the same data: those of the first, which was a cluster of its own for a moment. So all are at the same
// position of the same history, and none has to copy another's data when the cluster starts.
func (g *Galera) installAll(installer string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	first := g.Members[0]
	if err := installMariaDB(ctx, installer, first); err != nil {
		return err
	}
	if err := errors.Join(first.give(), g.startFirst(first)); err != nil {
		return err
	}
	_, err := first.CreateDatabase("tim")
	if err = errors.Join(err, first.Stop()); err != nil {
		return err
	}
	for _, s := range g.Members[1:] {
		if err := os.CopyFS(s.path("data"), os.DirFS(first.path("data"))); err != nil {
			return fmt.Errorf("copy of the installed data: %w", err)
		}
		if err := s.give(); err != nil {
			return err
		}
	}
	return nil
}

// give makes the server's user the owner of its folder.
func (s *Server) give() error {
	if s.owner == nil {
		return nil
	}
	return filepath.WalkDir(s.folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)) //nolint:gosec // nobody else can write there yet
	})
}

// servant returns the user that members run as; nil for this process's own. MariaDB refuses to run as root unless it is told to, and
// the programs with which members copy data drop root's rights.
func servant() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is the answer
	}
	found, err := user.Lookup("mysql")
	if err != nil {
		if found, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("a user for MariaDB: %w", err)
		}
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("a user for MariaDB: %w", err)
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("a user for MariaDB: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// options returns what a member is started with.
func (g *Galera) options(s *Server) []string {
	var all []string
	own := memberPorts{}
	for i, m := range g.Members {
		all = append(all, loopback(g.ports[i].group))
		if m == s {
			own = g.ports[i]
		}
	}
	provider := []string{
		"base_host=127.0.0.1", "base_port=" + strconv.Itoa(own.group), "gmcast.listen_addr=tcp://" + loopback(own.group),
		"ist.recv_addr=" + loopback(own.missed), "gcache.size=32M", "pc.recovery=no", // Start decides who is first
	}
	options := append(mariadbData(s),
		"--socket="+mariadbSocket(s), "--pid-file="+s.path("pid"), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.port),
		"--skip-name-resolve", "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M", "--max-connections=500",
		"--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON", "--wsrep-provider="+g.provider, "--wsrep-cluster-name="+g.name, "--wsrep-cluster-address=gcomm://"+strings.Join(all, ","),
		"--wsrep-node-address=127.0.0.1", "--wsrep-node-name="+filepath.Base(s.folder), "--wsrep-slave-threads=4",
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address="+loopback(own.copied),
		"--wsrep-provider-options="+strings.Join(provider, ";"))
	return options
}

// prepare decides how a member starts: from which position, and whether it waits for others.
func (g *Galera) prepare(ctx context.Context, s *Server) error {
	at, err := g.position(ctx, s)
	if err != nil {
		return err
	}
	s.argv = append([]string{g.program}, g.options(s)...)
	if at.history != "" {
		s.argv = append(s.argv, fmt.Sprintf("--wsrep-start-position=%s:%d", at.history, at.seqno))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first != s {
		return nil
	}
	s.argv = append(s.argv, "--wsrep-new-cluster")
	return at.permit(s)
}

// Start starts the members that are down. When none runs, it first starts the one with the newest data, and the others join it.
func (g *Galera) Start() error {
	var down []*Server
	for _, s := range g.Members {
		if s.PID() == 0 {
			down = append(down, s)
		}
	}
	if len(down) == len(g.Members) {
		first, err := g.newest()
		if err != nil {
			return err
		}
		if err := g.startFirst(first); err != nil {
			return err
		}
		down = slices.DeleteFunc(down, func(s *Server) bool { return s == first })
	}
	// One by one: a member that joins while another does waits for several seconds until the group has settled.
	for _, s := range down {
		if err := s.restart(); err != nil {
			return err
		}
	}
	return nil
}

// restart starts a server that may have ended by itself.
func (s *Server) restart() error { return errors.Join(s.Kill(), s.Start()) }

func (g *Galera) startFirst(first *Server) error {
	g.mu.Lock()
	g.first = first
	g.mu.Unlock()
	err := first.restart()
	g.mu.Lock()
	g.first = nil
	g.mu.Unlock()
	return err
}

// newest returns the member that has the last transaction. All are down.
func (g *Galera) newest() (newest *Server, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	last := int64(-1)
	for _, s := range g.Members {
		at, err := g.position(ctx, s)
		if err != nil {
			return nil, err
		}
		if newest == nil || at.seqno > last {
			newest, last = s, at.seqno
		}
	}
	return newest, nil
}

// Isolate cuts a member from the others, as a network does that drops their packets to each other. Clients reach it.
func (g *Galera) Isolate(s *Server) error { return isolate(s, "1") }

// Rejoin ends an Isolate, and returns when the member has what it missed.
func (g *Galera) Rejoin(s *Server) error {
	if err := isolate(s, "0"); err != nil {
		return err
	}
	return g.AwaitSynced(s)
}

func isolate(s *Server, value string) error {
	return mariadbExec(mariadbDSN(s, ""), "SET GLOBAL wsrep_provider_options = 'gmcast.isolate="+value+"'")
}

// AwaitSynced returns when a member is in the cluster and has all data.
func (g *Galera) AwaitSynced(s *Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	return until(startWithin, func() error { return galeraReady(ctx, s) })
}

// CreateDatabase makes one more empty utf8mb4 database, and returns its DSN at each member once all have it. The name isn't quoted.
func (g *Galera) CreateDatabase(name string) (dsns []string, err error) {
	_, err = g.Members[0].CreateDatabase(name)
	for _, s := range g.Members {
		dsns = append(dsns, mariadbDSN(s, name))
		if err == nil { // it waits for what the first has done
			err = mariadbExec(mariadbDSN(s, "")+"?wsrep_sync_wait=1", "START TRANSACTION")
		}
	}
	return dsns, err
}

// DropDatabase deletes a database. It is no error when there is none of that name.
func (g *Galera) DropDatabase(name string) error { return g.Members[0].DropDatabase(name) }

// Remove kills the members and deletes their folders.
func (g *Galera) Remove() error {
	var errs []error
	for _, s := range g.Members {
		errs = append(errs, s.Remove())
	}
	return errors.Join(errs...)
}

// galeraReady tells whether a member is in the cluster and has all data. A member that stood still believes so until it hears from the
// others, so the question waits for what they have committed.
func galeraReady(ctx context.Context, s *Server) error {
	if _, err := os.Stat(mariadbSocket(s)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return onMariaDB(mariadbDSN(s, "")+"?wsrep_sync_wait=1", func(db *sql.DB) error {
		var ready, state string
		err := db.QueryRowContext(ctx, `SELECT MAX(IF(variable_name = 'WSREP_READY', variable_value, '')),
			MAX(IF(variable_name = 'WSREP_LOCAL_STATE', variable_value, ''))
			FROM information_schema.global_status WHERE variable_name IN ('WSREP_READY', 'WSREP_LOCAL_STATE')`).Scan(&ready, &state)
		if err != nil {
			return err
		}
		if ready != "ON" || state != memberSynced {
			return fmt.Errorf("wsrep_ready is %s, wsrep_local_state %s", ready, state)
		}
		return nil
	})
}

// position is how much of which history a member has.
type position struct {
	history string
	seqno   int64
}

// savedPosition finds what a member has written when it was stopped; recoveredPosition what its program has found in its data.
var (
	savedPosition     = regexp.MustCompile(`uuid:\s+(\S+)\nseqno:\s+(-?\d+)`)
	recoveredPosition = regexp.MustCompile(`WSREP: Recovered position:\s*([0-9a-f-]+):(-?\d+)`)
)

func stateFile(s *Server) string { return filepath.Join(s.path("data"), "grastate.dat") }

// permit tells a member that it may start a cluster, which it refuses unless it was the last that was stopped.
func (p position) permit(s *Server) error {
	if p.history == "" { // it has never run
		return nil
	}
	state := fmt.Sprintf("# GALERA saved state\nversion: 2.1\nuuid:    %s\nseqno:   %d\nsafe_to_bootstrap: 1\n", p.history, p.seqno)
	if err := os.WriteFile(stateFile(s), []byte(state), 0o600); err != nil {
		return fmt.Errorf("position of a member: %w", err)
	}
	return nil
}

// position returns what a member that is down has. After a kill only the data itself says so; then the program reads them.
func (g *Galera) position(ctx context.Context, s *Server) (position, error) {
	state, err := os.ReadFile(stateFile(s))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return position{}, fmt.Errorf("position of a member: %w", err)
	}
	at, ok := findPosition(savedPosition, state)
	if ok && at.seqno >= 0 || errors.Is(err, fs.ErrNotExist) { // it has never run
		return at, nil
	}
	cmd := exec.CommandContext(ctx, g.program, append(g.options(s), "--wsrep-recover")...)
	cmd.Dir, cmd.SysProcAttr = s.folder, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.owner}
	log, err := cmd.CombinedOutput()
	if at, ok = findPosition(recoveredPosition, log); err != nil || !ok {
		return position{}, fmt.Errorf("position of a member: %w\n%s", err, log)
	}
	return at, nil
}

// findPosition returns the last position in a text. The expression's groups are a history and a number.
func findPosition(in *regexp.Regexp, text []byte) (position, bool) {
	found := in.FindAllSubmatch(text, -1)
	if len(found) == 0 {
		return position{}, false
	}
	last := found[len(found)-1]
	seqno, err := strconv.ParseInt(string(last[2]), 10, 64)
	return position{history: string(last[1]), seqno: seqno}, err == nil
}
