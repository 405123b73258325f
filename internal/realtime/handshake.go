package realtime

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/fault"
)

// subprotocol is what a client that sends its token in the subprotocol list is answered: browsers insist on an answer,
// and the token must not be it.
const subprotocol = "tim.v1"

const tokenProtocol = "token."

// wireVersion is the version of RFC 6455.
const wireVersion = "13"

// admit checks what every socket's handshake needs: origin, token, the account in the path, and that it is one.
func (h *Hub) admit(ctx context.Context, c echo.Context) (auth.Session, error) {
	r := c.Request()
	if !h.AllowOrigin(r) {
		return auth.Session{}, fault.New(fault.OriginNotAllowed)
	}
	session, err := h.auth.Authenticate(ctx, token(r))
	if err != nil {
		return session, err
	}
	if slices.Contains(c.ParamNames(), "useraccount") {
		account, err := accountParam(c.Param("useraccount"), "useraccount")
		if err != nil {
			return session, err
		}
		if account != session.Account {
			return session, fault.New(fault.NotYourAccount)
		}
	}
	return session, checkHandshake(r, c.Response().Header())
}

// checkHandshake refuses what gorilla would refuse, before anything depends on the upgrade; RFC 6455 section 4.2.
func checkHandshake(r *http.Request, answer http.Header) error {
	if !websocket.IsWebSocketUpgrade(r) || r.Header.Get("Sec-Websocket-Version") != wireVersion {
		answer.Set("Upgrade", "websocket")
		answer.Set("Sec-Websocket-Version", wireVersion)
		return fault.New(fault.UpgradeRequired)
	}
	if key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key")); err != nil || len(key) != 16 {
		return fault.Invalid(fault.InvalidParameter, "Sec-WebSocket-Key", "must be 16 bytes in base64")
	}
	return nil
}

// token takes the token from where a client can put it: the header, the subprotocol list, or the query.
func token(r *http.Request) string {
	if t := r.Header.Get("token"); t != "" {
		return t
	}
	for _, p := range websocket.Subprotocols(r) {
		if t, ok := strings.CutPrefix(p, tokenProtocol); ok {
			return t
		}
	}
	return r.URL.Query().Get("token")
}

// accountParam decodes an account in the path, once.
func accountParam(escaped, name string) (string, error) {
	account, err := url.PathUnescape(escaped)
	if err != nil || account == "" || !utf8.ValidString(account) || strings.ContainsFunc(account, unicode.IsControl) {
		return "", fault.Invalid(fault.InvalidParameter, name, "must be an account, percent-encoded UTF-8")
	}
	return chat.Normal(account), nil
}

func groupParam(text, name string) (int32, error) {
	group, err := strconv.ParseUint(text, 10, 31)
	if err != nil || group < 1 {
		return 0, fault.Invalid(fault.InvalidParameter, name, "must be a positive integer")
	}
	return int32(group), nil
}

// face is what one kind of socket does at each stage of its life.
type face struct {
	// prepare puts everything in place that the client may rely on once it hears of success. An error refuses the
	// handshake.
	prepare func(ctx context.Context) error
	// greet makes the first text frame, which goes out together with the answer to the handshake. May be nil.
	greet func() []byte
	// begin runs once there is a socket, in the connection's own goroutine. May be nil.
	begin func()
	// receive takes a text frame of the client.
	receive func(ctx context.Context, frame []byte)
	// farewell takes back what others see of the socket, however far prepare and begin came: when the client hears that
	// its socket is closed, it may rely on that. Called once.
	farewell func()
	// release takes back the rest. May be nil.
	release func()
}

// accept turns a handshake into a running connection. describe makes the connection and its face of an admitted session.
func (h *Hub) accept(c echo.Context, describe func(auth.Session) (*connection, face, error)) error {
	// Not a child of the request's context: the runtime keeps stopped timers for a while, and with them all of the request.
	ctx, cancel := context.WithCancel(h.handshakes.within(h.life, h.Timing.Handshake))
	defer cancel()
	defer context.AfterFunc(c.Request().Context(), cancel)()
	session, err := h.admit(ctx, c)
	if err != nil {
		return err
	}
	c.Set(auth.AccountKey, session.Account)
	conn, f, err := describe(session)
	if err != nil {
		return err
	}
	conn.face = f
	if err := h.register(ctx, conn); err != nil {
		return err
	}
	running := false
	defer func() {
		if !running {
			h.release(conn)
		}
	}()
	if err := f.prepare(ctx); err != nil {
		return err
	}
	if network := h.upgrade(c, f.greet); network != nil {
		conn.face.prepare, conn.face.greet = nil, nil // which the collector may take
		conn.attach(network)
		running = true
		// Goroutines of its own, so that the handler's, with the stack that the handshake has grown, can end. Close
		// waits for them.
		if f.begin == nil {
			go conn.read()
		} else {
			go h.live(conn)
		}
	}
	return nil
}

// live begins the life of a connection that has something to do then.
func (h *Hub) live(conn *connection) {
	conn.guard(conn.face.begin)
	go conn.read()
}

// farewell is the face's, the first time that it is called. Without c.mu.
func (c *connection) farewell() { c.parted.Do(c.face.farewell) }

// register makes a connection one of this node's, which Close waits for, and makes its session's end reach it.
func (h *Hub) register(ctx context.Context, c *connection) error {
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		return fault.New(fault.Unavailable)
	}
	h.open[c] = struct{}{}
	h.moves++
	h.running.Add(1)
	h.mu.Unlock()
	h.sessions.add(c)
	h.sockets.WithLabelValues(c.kind.String()).Inc()
	// A session that ended before it was added has told nobody here.
	if err := h.auth.Check(ctx, c.session); err != nil {
		h.unregister(c)
		return err
	}
	return nil
}

func (h *Hub) release(c *connection) {
	defer h.unregister(c)
	defer h.survive("the end of a socket")
	if c.face.release != nil {
		defer c.face.release()
	}
	c.farewell()
}

func (h *Hub) unregister(c *connection) {
	c.bury()
	h.sockets.WithLabelValues(c.kind.String()).Dec()
	h.sessions.remove(c)
	h.mu.Lock()
	delete(h.open, c)
	h.moves++
	h.mu.Unlock()
	h.running.Done()
}

// upgrade turns the request into a socket; nil when gorilla couldn't, which has answered then, or there is nobody left
// to answer.
func (h *Hub) upgrade(c echo.Context, greet func() []byte) net.Conn {
	upgrader := websocket.Upgrader{
		// Nothing but the answer goes through gorilla: this only keeps it from making buffers.
		ReadBufferSize: 1, WriteBufferPool: &h.buffers,
		HandshakeTimeout: h.Timing.Handshake,
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // admit has
	}
	greeter := greeter{ResponseWriter: c.Response(), greet: greet}
	_, err := upgrader.Upgrade(&greeter, c.Request(), nil)
	c.Response().Committed = true
	c.Response().Status = http.StatusSwitchingProtocols // for the log
	if err != nil {
		c.Response().Status = http.StatusBadRequest
		h.Log.Debug("handshake failed", "err", err)
		return nil
	}
	return greeter.network
}

// greeting is the network as gorilla has it during the handshake: its answer, which it writes in one piece, takes the first
// frame along.
type greeting struct {
	net.Conn

	greet func() []byte // see face; nil for none
}

// Write implements net.Conn.
func (g greeting) Write(p []byte) (int, error) {
	if g.greet == nil {
		return g.Conn.Write(p)
	}
	first := g.greet()
	both := append(make([]byte, 0, len(p)+len(first)+frameOverhead), p...)
	n, err := g.Conn.Write(appendFrame(both, websocket.TextMessage, first))
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

// newID names a socket, uniquely among all nodes.
func newID() string { return rand.Text() }
