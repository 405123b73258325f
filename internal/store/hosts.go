package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	mysqlPort = "3306"
	mostHosts = 16 // each costs a connection and a question a second
	// steadyFor is how long a host that was away must be fit before it is preferred to one that works.
	steadyFor = 5 * time.Second
	// donorGrace is how long a statement may go on at a member that copies its data to another one, while a third one is in use: a
	// donor may have to hold commits back until all is copied.
	donorGrace = 3 * time.Second
)

// hosts are the servers that a DSN names, by preference. All of them have the same data. New connections go to the one that is
// in use: the first that is fit. The connections to a host that no longer is fit are cut at once. Those to a host that is fit
// but not in use any more end when the statement or transaction that uses them does.
//
// The only host of a DSN is in use unless it says that it can't be; when it doesn't answer, it is asked all the same.
type hosts struct {
	network   string
	list      []*host
	inUse     atomic.Pointer[host] // nil while no host is fit
	log       atomic.Pointer[slog.Logger]
	failovers atomic.Int64 // how often another host came into use, or none
	stop      context.CancelFunc
	running   sync.WaitGroup // the goroutines that look at the hosts

	mu      sync.Mutex
	begun   bool
	cluster string // of the first host in use; "" for servers that are in none
}

// host is one of the hosts.
type host struct {
	of      *hosts
	index   int
	address string
	looking driver.Connector // for looking at it
	asked   chan struct{}    // a look is due at once
	looked  chan struct{}    // closed after the first look

	// of.mu guards these.
	health verdict
	judged bool
	since  time.Time // since when it is fit after it wasn't; zero if it always was
	gives  time.Time // since when it is a donor
	links  map[*link]struct{}
}

// HostState is what is known of a server that the DSN names.
type HostState struct {
	Address    string
	Fit, InUse bool
}

// splitHosts takes the list of hosts out of a DSN. It returns the DSN with the first host alone, and the addresses of all, each
// with its port. A DSN with a socket or without an address comes back as it is, and so does one that is none. Errors tell which
// host is wrong by its place, since after a typing error any part may contain the password.
func splitHosts(dsn string) (first string, addresses []string, err error) {
	slash := strings.LastIndexByte(dsn, '/') // as the driver does: the password may contain slashes, too
	if slash < 1 || dsn[slash-1] != ')' {
		return dsn, nil, nil
	}
	at := strings.LastIndexByte(dsn[:slash], '@')
	list, ok := strings.CutPrefix(dsn[at+1:slash-1], "tcp(")
	if !ok || list == "" {
		return dsn, nil, nil
	}
	parts := strings.Split(list, ",")
	if len(parts) > mostHosts {
		return "", nil, fmt.Errorf("the address of the database names %d hosts; at most %d are possible", len(parts), mostHosts)
	}
	for i, part := range parts {
		address, err := hostAddress(strings.TrimSpace(part))
		if err == nil && slices.Contains(addresses, address) {
			err = errors.New("it is there twice")
		}
		if err != nil {
			return "", nil, fmt.Errorf("the address of the database: host %d of %d: %w", i+1, len(parts), err)
		}
		addresses = append(addresses, address)
	}
	return dsn[:at+1] + "tcp(" + addresses[0] + ")" + dsn[slash:], addresses, nil
}

// hostName matches names and addresses, also IPv6 addresses with a zone.
var hostName = regexp.MustCompile(`^[A-Za-z0-9._:-]+(%[A-Za-z0-9._-]+)?$`)

// hostAddress completes the address of a host with its port.
func hostAddress(text string) (string, error) {
	name, port := text, mysqlPort
	switch colons := strings.Count(text, ":"); {
	case text == "":
		return "", errors.New("it is empty")
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		name = text[1 : len(text)-1]
	case strings.HasPrefix(text, "[") || colons == 1:
		var err error
		if name, port, err = net.SplitHostPort(text); err != nil {
			return "", errors.New("it isn't like host, host:port or [IPv6 address]:port")
		}
	case colons > 1:
		return "", errors.New("it is an IPv6 address without brackets, or several hosts without commas")
	}
	if name == "" {
		return "", errors.New("it has a port and no name or address")
	}
	if strings.HasPrefix(text, "[") != strings.Contains(name, ":") || !hostName.MatchString(name) {
		return "", errors.New("it isn't a name or an address, like host, host:port or [IPv6 address]:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("its port is no number from 1 to 65535")
	}
	return net.JoinHostPort(strings.ToLower(name), port), nil
}

// newHosts returns the hosts with these addresses. Nobody looks at them before begin.
func newHosts(config *mysql.Config, addresses []string) (*hosts, error) {
	if len(addresses) == 0 {
		addresses = []string{config.Addr}
	}
	s := &hosts{network: config.Net, stop: func() {}}
	for i, address := range addresses {
		h := &host{
			of: s, index: i, address: address, asked: make(chan struct{}, 1), looked: make(chan struct{}), links: map[*link]struct{}{},
		}
		looking := config.Clone()
		looking.Params, looking.Timeout, looking.ReadTimeout, looking.WriteTimeout = nil, lookWithin, lookWithin, lookWithin
		connector, err := h.connector(looking)
		if err != nil {
			return nil, err
		}
		h.looking = impatient{connector}
		s.list = append(s.list, h)
	}
	if !s.several() {
		s.inUse.Store(s.list[0])
	}
	return s, nil
}

// connector makes connections to the host. The driver fills in TLS anew, with the name of this host.
func (h *host) connector(config *mysql.Config) (driver.Connector, error) {
	config = config.Clone()
	config.Addr, config.TLS, config.DialFunc = h.address, nil, dialLink
	connector, err := mysql.NewConnector(config)
	if err != nil {
		// The driver's error is not passed on, as in parseDSN. At this point it concerns TLS and keys.
		return nil, errors.New("the address of the database names TLS settings or keys that aren't there")
	}
	return connector, nil
}

// connectors returns one for each host.
func (s *hosts) connectors(config *mysql.Config) (all []driver.Connector, err error) {
	for _, h := range s.list {
		connector, err := h.connector(config)
		if err != nil {
			return nil, err
		}
		all = append(all, connector)
	}
	return all, nil
}

func (s *hosts) several() bool { return len(s.list) > 1 }

// String returns the addresses as the DSN has them.
func (s *hosts) String() string {
	addresses := make([]string, 0, len(s.list))
	for _, h := range s.list {
		addresses = append(addresses, h.address)
	}
	return s.network + "(" + strings.Join(addresses, ",") + ")"
}

// begin looks at the hosts, from now on until close. It returns when the first that is fit is known, or an error if none is.
func (s *hosts) begin(ctx context.Context) error {
	s.watch(ctx)
	for _, h := range s.list {
		select {
		case <-h.looked:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNoAnswer, ctx.Err())
		}
		if s.use(h) {
			return nil
		}
	}
	return s.unfit()
}

// use makes a host that is fit the first one in use.
func (s *hosts) use(h *host) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.health.err != nil {
		return false
	}
	s.begun, s.cluster = true, h.health.cluster
	s.choose(time.Now())
	return true
}

// judge takes in what a look at a host has shown.
func (s *hosts) judge(h *host, shown verdict, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, v := h.health, s.corrected(h, shown)
	if h.judged && (was.err == nil) != (v.err == nil) {
		h.since = now
		s.tellOf(h, v)
	}
	if v.donor != was.donor {
		h.gives = now
	}
	h.health = v
	if !h.judged {
		h.judged = true
		close(h.looked)
	}
	if s.begun {
		s.choose(now)
	}
	if s.several() && (v.err != nil || v.donor && s.inUse.Load() != h && now.Sub(h.gives) >= donorGrace) {
		h.cut()
	}
}

// corrected returns what is made of a look at a host.
func (s *hosts) corrected(h *host, v verdict) verdict {
	if v.unclear && h.judged {
		return h.health
	}
	if v.err == nil && s.begun && v.cluster != s.cluster && (s.several() || s.cluster != "") {
		v.err = ErrOtherCluster
	}
	if !s.several() && errors.Is(v.err, errNoAnswer) {
		return h.health // nothing is better than to ask it
	}
	return v
}

// choose decides which host is in use. One that works stays until a preferred one has been fit for a while. A donor, which hands
// the data to another member and may have to wait for that, is used when no other host is fit.
func (s *hosts) choose(now time.Time) {
	was := s.inUse.Load()
	best, bestClass := (*host)(nil), unfitClass
	for _, h := range s.list {
		if class := h.class(was, now); class < bestClass {
			best, bestClass = h, class
		}
	}
	if best == was {
		return
	}
	s.inUse.Store(best)
	if was != nil {
		s.failovers.Add(1)
	}
	s.tellInUse(was, best)
}

const (
	steadyClass = iota // fit, and in use or fit for a while
	freshClass         // fit since a moment ago
	donorClass
	unfitClass
)

func (h *host) class(inUse *host, now time.Time) int {
	switch {
	case h.health.err != nil || h.of.several() && !h.judged:
		return unfitClass
	case h.health.donor:
		return donorClass
	case h == inUse || now.Sub(h.since) >= steadyFor:
		return steadyClass
	}
	return freshClass
}

// candidates returns the hosts that a new connection may go to, the one in use first.
func (s *hosts) candidates() []*host {
	if !s.several() {
		if s.inUse.Load() == nil {
			return nil
		}
		return s.list
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	inUse, now := s.inUse.Load(), time.Now()
	fit := slices.DeleteFunc(slices.Clone(s.list), func(h *host) bool { return h.class(inUse, now) == unfitClass })
	slices.SortStableFunc(fit, func(a, b *host) int { return a.class(inUse, now) - b.class(inUse, now) })
	if at := slices.Index(fit, inUse); at > 0 {
		fit = slices.Insert(slices.Delete(fit, at, at+1), 0, inUse)
	}
	return fit
}

// unfit returns why no host is fit. IsUnavailable holds for it.
func (s *hosts) unfit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all error
	for i, h := range s.list {
		err := h.health.err
		if err == nil {
			err = errNoAnswer // it is fit again since a moment ago, or wasn't looked at
		}
		if err = fmt.Errorf("%s: %w", h.address, err); i > 0 {
			err = fmt.Errorf("%w; %w", all, err)
		}
		all = err
	}
	return all
}

// tellOf logs that a host isn't fit any more, or is again.
func (s *hosts) tellOf(h *host, v verdict) {
	log := s.log.Load()
	switch {
	case log == nil:
	case v.err != nil:
		log.Warn("a database server can't be used", "server", h.address, "err", v.err)
	default:
		log.Info("a database server can be used again", "server", h.address)
	}
}

// tellInUse logs which host is in use.
func (s *hosts) tellInUse(was, is *host) {
	log := s.log.Load()
	switch {
	case log == nil:
	case is == nil:
		log.Warn("no database server can be used: requests are refused until one can", "servers", s.String())
	case was == nil:
		log.Info("a database server is in use again", "server", is.address)
	case was.health.err != nil:
		log.Warn("another database server is in use", "server", is.address, "instead_of", was.address)
	case was.health.donor:
		log.Info("another database server is in use, since the one before copies its data to a member", "server", is.address, "instead_of", was.address)
	default:
		log.Info("another database server is in use, since it comes first", "server", is.address, "instead_of", was.address)
	}
}

// close ends the looks at the hosts, once no pool has connections to them.
func (s *hosts) close() {
	s.stop()
	s.running.Wait()
}

// LogTo makes the database say in the log which of several servers is in use, and which can't be used.
func (d *DB) LogTo(log *slog.Logger) {
	if d.hosts == nil || !d.hosts.watched() {
		return
	}
	d.hosts.log.Store(log)
	if h := d.hosts.inUse.Load(); h != nil && d.hosts.several() {
		log.Info("one of several database servers is in use", "server", h.address, "servers", d.hosts.String())
	}
}

// Hosts returns what is known of the servers that are watched, and how often another one came into use. There are none on the
// embedded engine and on a single server.
func (d *DB) Hosts() (states []HostState, failovers int64) {
	if d.hosts == nil || !d.hosts.watched() {
		return nil, 0
	}
	d.hosts.mu.Lock()
	defer d.hosts.mu.Unlock()
	inUse := d.hosts.inUse.Load()
	for _, h := range d.hosts.list {
		states = append(states, HostState{Address: h.address, Fit: h.judged && h.health.err == nil, InUse: h == inUse})
	}
	return states, d.hosts.failovers.Load()
}
