package cluster_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy is the network between one node and Redis. The test can cut it.
type proxy struct {
	t      testing.TB
	server string
	url    string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	p := &proxy{t: t, server: strings.TrimPrefix(server, "redis://"), conns: map[net.Conn]struct{}{}}
	p.listen("127.0.0.1:0")
	p.url = "redis://" + p.listener.Addr().String()
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) listen(address string) {
	p.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		p.t.Fatalf("proxy: %v", err)
	}
	p.listener = l
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(conn)
		}
	})
}

func (p *proxy) serve(in net.Conn) {
	out, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = in.Close()
		return
	}
	p.mu.Lock()
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_, _ = to.Close(), from.Close()
	}
	p.wg.Go(func() { pass(in, out) })
	p.wg.Go(func() { pass(out, in) })
}

// cut breaks all connections and refuses new ones.
func (p *proxy) cut() {
	_ = p.listener.Close()
	p.hangUp()
	p.wg.Wait()
	p.hangUp() // connections accepted meanwhile
}

func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// heal lets connections through again.
func (p *proxy) heal() {
	p.t.Helper()
	p.listen(strings.TrimPrefix(p.url, "redis://"))
}
