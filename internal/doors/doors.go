// Package doors bounds the connections that a node takes: all together, so that descriptors are left for the database and the
// files, and of each address those that haven't shown a good token. What is refused is answered cheaply.
//
//	doors.go    the counts, and the state for /readyz
//	listener.go  the listener, and the connections that it accepts
//	files.go    how many connections the limit on open files allows
package doors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of New. In a limit, 0 means none.
type Options struct {
	Connections int // at once
	// PerAddress is the number of connections at once from one address that haven't shown a good token. Of IPv6 a network of
	// /64 counts as one address.
	PerAddress int
	// Trusted tells the addresses of proxies, whose connections are those of many clients: there requests count, by the address
	// that the proxy tells.
	Trusted func(netip.Addr) bool
	Message string // what the client of a refused connection is told
	Files   uint64 // the limit on open files, for the log
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// The states of Doors.
const (
	OK    = "ok"
	Full  = "full"
	Files = "no files left" // the limit on open files is reached
)

const (
	// filesFor is how long the state tells of a connection that couldn't be accepted.
	filesFor = 10 * time.Second
	// tellEvery is how often refused addresses are logged at most.
	tellEvery = time.Minute
	// again is the share of the connections, in percent of fully, at which an episode of refusals ends.
	again, fully = 90, 100
)

// Doors counts a node's connections. Safe for concurrent use.
type Doors struct {
	Options

	refusal   []byte // the whole answer, with the message
	openGauge prometheus.Gauge
	refusals  *prometheus.CounterVec

	mu        sync.Mutex
	open      int
	addresses map[netip.Addr]*address

	full        int       // connections refused since the limit was reached; 0 while it isn't
	failed      time.Time // when a connection couldn't be accepted last
	failing     bool      // it has been logged
	fromAddress int       // connections and requests of addresses refused since that was logged
	told        time.Time // when that was
}

// address is a client's, with what it has open without a good token. It exists while that is something.
type address struct {
	ip      netip.Addr
	waiting int
}

// New returns doors that are open.
func New(o Options) (*Doors, error) {
	d := &Doors{
		Options: o, refusal: refusal(o.Message), addresses: make(map[netip.Addr]*address),
		openGauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tim_connections", Help: "Open connections, sockets included."}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tim_connections_refused_total", Help: "Connections, and requests through proxies, that a limit refused.",
		}, []string{"limit"}),
	}
	if err := errors.Join(o.Metrics.Register(d.openGauge), o.Metrics.Register(d.refusals)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return d, nil
}

// State says for /readyz whether connections are accepted.
func (d *Doors) State() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.failed.IsZero() && time.Since(d.failed) < filesFor:
		return Files
	case d.Connections > 0 && d.open >= d.Connections:
		return Full
	default:
		return OK
	}
}

// Enter counts a request that has shown no good token yet, whose connection isn't its client's alone: that of a proxy, or one
// of HTTP/2. It reports whether the client's address may have another one. leave must be called when the request has shown a good
// token or has ended; further calls do nothing.
func (d *Doors) Enter(client string) (leave func(), ok bool) {
	ip, err := netip.ParseAddr(client)
	if err != nil || d.PerAddress <= 0 || d.Trusted(ip.Unmap()) { // the proxy itself asks, such as for /readyz
		return func() {}, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.wait(ip)
	if a == nil {
		return nil, false
	}
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.leave(a)
	}), true
}

// wait counts something without a good token. It returns nil if its address has too many. d.mu is held.
func (d *Doors) wait(ip netip.Addr) *address {
	ip = network(ip)
	a := d.addresses[ip]
	if a == nil {
		a = &address{ip: ip}
		d.addresses[ip] = a
	}
	if a.waiting >= d.PerAddress {
		d.refuseAddress(ip)
		return nil
	}
	a.waiting++
	return a
}

// leave undoes wait. d.mu is held.
func (d *Doors) leave(a *address) {
	if a.waiting--; a.waiting == 0 {
		delete(d.addresses, a.ip)
	}
}

// network is what counts as one address: whoever has one of IPv6 has a network of /64.
func network(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	prefix, err := ip.Prefix(64)
	if err != nil { // ip is an address
		return ip
	}
	return prefix.Addr()
}

// refuseAddress tells of the refusal of an address. d.mu is held.
func (d *Doors) refuseAddress(ip netip.Addr) {
	d.refusals.WithLabelValues("address").Inc()
	d.fromAddress++
	if now := time.Now(); now.Sub(d.told) >= tellEvery {
		d.Log.Warn("an address has too many connections without a token; see TIM_LIMIT_ADDRESS_CONNECTIONS, and TIM_TRUSTED_PROXIES if it is a proxy",
			"address", ip, "limit", d.PerAddress, "refused", d.fromAddress)
		d.told, d.fromAddress = now, 0
	}
}

// refuseAll tells of the refusal of a connection, once until there is room again. d.mu is held.
func (d *Doors) refuseAll() {
	d.refusals.WithLabelValues("all").Inc()
	if d.full++; d.full == 1 {
		d.Log.Warn("new connections are refused: there are as many as this node takes; raise TIM_LIMIT_CONNECTIONS and the limit on open files (ulimit -n, LimitNOFILE=), or add a node",
			"connections", d.open, "open_files_limit", d.Files)
	}
}

// room ends an episode of refusals when connections have ended. d.mu is held.
func (d *Doors) room() {
	if d.full > 0 && d.open*fully < d.Connections*again {
		d.Log.Info("connections are accepted again", "refused", d.full)
		d.full = 0
	}
}

// accepted takes an answer of the listener into account.
func (d *Doors) accepted(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil && d.failing:
		d.failing = false
		d.Log.Info("connections are accepted again")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		d.failed = time.Now()
		d.refusals.WithLabelValues("files").Inc()
		if !d.failing {
			d.failing = true
			d.Log.Error("no connection can be accepted: the limit on open files is reached; raise it (ulimit -n, LimitNOFILE=)", "open_files_limit", d.Files, "err", err)
		}
	}
}

type connKey struct{}

// Authenticated tells that the connection of a request's context has shown a good token: it doesn't count for its address any
// more.
func Authenticated(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.authenticated()
	}
}
