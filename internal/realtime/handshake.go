package realtime

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
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

// admit checks what every socket's handshake needs: origin, token, the account in the path, and that it is one.
func (h *Hub) admit(c echo.Context) (auth.Session, error) {
	r := c.Request()
	if !h.AllowOrigin(r) {
		return auth.Session{}, fault.New(fault.OriginNotAllowed)
	}
	session, err := h.auth.Authenticate(r.Context(), token(r))
	if err != nil {
		return session, err
	}
	account, err := accountParam(c, "useraccount")
	if err != nil {
		return session, err
	}
	if account != session.Account {
		return session, fault.New(fault.NotYourAccount)
	}
	if !websocket.IsWebSocketUpgrade(r) {
		c.Response().Header().Set("Upgrade", "websocket")
		return session, fault.New(fault.UpgradeRequired)
	}
	return session, checkHandshake(r)
}

// checkHandshake refuses what gorilla would refuse, before anything depends on the upgrade; RFC 6455 section 4.2.1.
func checkHandshake(r *http.Request) error {
	if r.Header.Get("Sec-Websocket-Version") != "13" {
		return fault.Invalid(fault.InvalidParameter, "Sec-WebSocket-Version", "must be 13")
	}
	if len(r.Header.Get("Sec-Websocket-Key")) != 24 {
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
func accountParam(c echo.Context, name string) (string, error) {
	account, err := url.PathUnescape(c.Param(name))
	if err != nil || account == "" || !utf8.ValidString(account) || strings.ContainsFunc(account, unicode.IsControl) {
		return "", fault.Invalid(fault.InvalidParameter, name, "must be an account, percent-encoded UTF-8")
	}
	return chat.Normal(account), nil
}

func groupParam(c echo.Context, name string) (int32, error) {
	group, err := strconv.ParseInt(c.Param(name), 10, 32)
	if err != nil || group < 1 {
		return 0, fault.Invalid(fault.InvalidParameter, name, "must be a positive integer")
	}
	return int32(group), nil
}

// register makes a connection one of this node's, which Close waits for, and makes its session's end reach it.
func (h *Hub) register(ctx context.Context, c *connection) error {
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		return fault.New(fault.Unavailable)
	}
	h.open[c] = struct{}{}
	h.running.Add(1)
	h.mu.Unlock()
	h.sessions.add(c)
	h.sockets.WithLabelValues(string(c.kind)).Inc()
	// A session that ended before it was added has told nobody here.
	if err := h.auth.Check(ctx, c.session); err != nil {
		h.unregister(c)
		return err
	}
	return nil
}

func (h *Hub) unregister(c *connection) {
	h.sockets.WithLabelValues(string(c.kind)).Dec()
	h.sessions.remove(c)
	h.mu.Lock()
	delete(h.open, c)
	h.mu.Unlock()
	h.running.Done()
}

// upgrade turns the request into a socket. gorilla has answered when it fails.
func (h *Hub) upgrade(c echo.Context) (*websocket.Conn, error) {
	upgrader := websocket.Upgrader{
		ReadBufferSize: 512, WriteBufferSize: 2048, WriteBufferPool: &h.buffers,
		Subprotocols: []string{subprotocol},
		CheckOrigin:  func(*http.Request) bool { return true }, // admit has
	}
	socket, err := upgrader.Upgrade(c.Response(), c.Request(), nil)
	if err != nil {
		h.Log.Debug("handshake failed", "err", err)
		return nil, err
	}
	c.Response().Status = http.StatusSwitchingProtocols // for the log
	c.Response().Committed = true
	return socket, nil
}

// newID names a socket, uniquely among all nodes.
func newID() string { return rand.Text() }
