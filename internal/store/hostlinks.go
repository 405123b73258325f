package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
)

// link is a connection to a host, from before it is dialed until it is closed. Whatever happens on it, cut ends it at once.
type link struct {
	host   *host
	cancel context.CancelFunc // ends dialing and the handshake
	spent  atomic.Bool        // it isn't used again

	mu  sync.Mutex
	raw net.Conn // nil before it is dialed
	cut bool
}

// linkKey is the key of a context value: the link that is being made.
type linkKey struct{}

// dialLink is the driver's DialFunc. It must return the system's connection itself, at which the driver looks for bytes that
// nobody awaits.
func dialLink(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // IsUnavailable looks at it
	}
	if l, ok := ctx.Value(linkKey{}).(*link); ok && !l.dialed(raw) {
		return nil, errors.Join(errNoAnswer, raw.Close())
	}
	return raw, nil
}

// newLink begins a link to the host. The context is for making it.
func (h *host) newLink(ctx context.Context) (*link, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l := &link{host: h, cancel: cancel}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.links[l] = struct{}{}
	if h.of.several() && h.health.err != nil { // since a moment ago
		l.end()
	}
	return l, context.WithValue(ctx, linkKey{}, l)
}

// cut ends all links to the host. The caller holds of.mu.
func (h *host) cut() {
	for l := range h.links {
		l.end()
	}
}

func (l *link) dialed(raw net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw = raw
	return !l.cut
}

// end closes the connection under the driver: what waits for an answer fails now.
func (l *link) end() {
	l.spent.Store(true)
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	if l.raw != nil {
		_ = l.raw.Close() // the driver closes it once more
	}
}

// failed ends a link that couldn't be made. It returns the error, as one that isn't taken for the end of the caller's context.
func (l *link) failed(err error) error {
	cut := l.wasCut()
	l.forget()
	if cut {
		return fmt.Errorf("%s: %w", l.host.address, errNoAnswer)
	}
	return l.note(err)
}

func (l *link) wasCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// forget is for a link that is closed, or couldn't be made.
func (l *link) forget() {
	l.cancel()
	l.host.of.mu.Lock()
	defer l.host.of.mu.Unlock()
	delete(l.host.links, l)
}

// good reports whether the connection may be used for another statement.
func (l *link) good() bool { return !l.spent.Load() && l.host.of.inUse.Load() == l.host }

// note acts on what an error tells of the host, and returns the error. A connection whose server is out of its cluster, read-only or
// on its way down isn't used again: a new one may reach another server, also behind a proxy.
func (l *link) note(err error) error {
	if err == nil || errors.Is(err, driver.ErrSkip) {
		return err
	}
	if refusesWork(mysqlNumber(err)) {
		l.spent.Store(true)
	}
	// Most conflicts are with other transactions. One that has waited for a lock may have waited for the cluster.
	if mysqlNumber(err) != deadlock && IsUnavailable(err) {
		l.host.lookSoon()
	}
	broken := isBroken(err)
	if _, ok := errors.AsType[*net.OpError](err); ok && broken {
		// The driver passes it on when it has written a part of a statement.
		return fmt.Errorf("%w: %w", mysql.ErrInvalidConn, err)
	}
	return err
}

// isBroken reports whether an error says that the connection is.
func isBroken(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, mysql.ErrMalformPkt)
}
