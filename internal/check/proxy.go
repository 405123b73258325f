package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// proxy passes TCP connections from a node to a server, and can stall or cut them. Safe for concurrent use.
type proxy struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	state proxyState
	moved chan struct{} // closed when state changes
	conns map[net.Conn]struct{}
}

type proxyState int

const (
	proxyOpen proxyState = iota
	// proxyStalled passes nothing on, as a network that drops packets.
	proxyStalled
	// proxyCut has ended all connections and refuses new ones.
	proxyCut
	proxyClosed
)

const dialTimeout = 5 * time.Second

// newProxy listens on a free port of the loopback address. The caller closes it.
func newProxy(ctx context.Context, target string) (*proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	g := &proxy{target: target, listener: listener, moved: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	g.work.Go(g.accept)
	return g, nil
}

func (g *proxy) address() string { return g.listener.Addr().String() }

func (g *proxy) accept() {
	for {
		conn, err := g.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			g.work.Go(func() { g.serve(conn) })
		}
	}
}

func (g *proxy) serve(near net.Conn) {
	defer near.Close() //nolint:errcheck // it ends either way
	if !g.enter(near) {
		return
	}
	defer g.leave(near)
	far, err := (&net.Dialer{Timeout: dialTimeout}).Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer far.Close() //nolint:errcheck // as near
	if !g.enter(far) {
		return
	}
	defer g.leave(far)
	var back sync.WaitGroup
	back.Go(func() { g.pump(near, far) })
	g.pump(far, near)
	back.Wait()
}

// pump copies bytes one way until either side ends, and then ends both.
func (g *proxy) pump(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // it ends either way
	defer from.Close() //nolint:errcheck // as to
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.pass()
		if n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass returns when the proxy isn't stalled.
func (g *proxy) pass() {
	for {
		g.mu.Lock()
		stalled, moved := g.state == proxyStalled, g.moved
		g.mu.Unlock()
		if !stalled {
			return
		}
		<-moved
	}
}

func (g *proxy) enter(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state >= proxyCut {
		return false
	}
	g.conns[conn] = struct{}{}
	return true
}

func (g *proxy) leave(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
}

// set changes what the proxy does.
func (g *proxy) set(state proxyState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = state
	close(g.moved)
	g.moved = make(chan struct{})
	if state < proxyCut {
		return
	}
	for conn := range g.conns {
		_ = conn.Close()
	}
}

// close ends the proxy and its connections, and waits for them.
func (g *proxy) close() error {
	g.set(proxyClosed)
	err := g.listener.Close()
	g.work.Wait()
	return err
}
