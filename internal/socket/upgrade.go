package socket

import (
	"bufio"
	"fmt"
	"net"
	"net/http"

	"github.com/gorilla/websocket"
)

// Upgrade answers a handshake, RFC 6455 section 4.2, with a subprotocol, "" for none, and returns its network. greet makes the first text frame, which goes
// out in the same write as the answer; nil for none. The caller has checked the origin and the request's header: after an
// error the request has its answer, or there is nobody left to answer.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request, subprotocol string, greet func() []byte) (net.Conn, error) {
	upgrader := websocket.Upgrader{
		// Nothing but the answer goes through gorilla: a size of 1 keeps it from making a buffer.
		ReadBufferSize: 1, WriteBufferPool: &s.buffers,
		HandshakeTimeout: s.Timing.Handshake,
		CheckOrigin:      func(*http.Request) bool { return true }, // the caller has
	}
	var answer http.Header
	if subprotocol != "" {
		answer = http.Header{"Sec-Websocket-Protocol": {subprotocol}}
	}
	g := greeter{ResponseWriter: w, greet: greet}
	if _, err := upgrader.Upgrade(&g, r, answer); err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	return g.network, nil
}

// greeting is the network as gorilla has it during the handshake: its answer, which it writes in one piece, takes the first
// frame along.
type greeting struct {
	net.Conn

	greet func() []byte // see Upgrade
}

// Write implements net.Conn.
func (g greeting) Write(p []byte) (int, error) {
	if g.greet == nil {
		return g.Conn.Write(p)
	}
	first := g.greet()
	both := append(make([]byte, 0, len(p)+len(first)+frameOverhead), p...)
	n, err := g.Conn.Write(appendFrame(both, opText, first))
	return min(n, len(p)), err
}

// greeter is a response whose network gorilla gets as a greeting.
type greeter struct {
	http.ResponseWriter

	greet   func() []byte
	network net.Conn
}

// Hijack implements http.Hijacker.
func (g *greeter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	network, buffers, err := http.NewResponseController(g.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	g.network = network
	return greeting{network, g.greet}, buffers, nil
}
