package realtime

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"tim/gen/sockets"
	"tim/internal/account"
	"tim/internal/auth"
	"tim/internal/fault"
	"tim/internal/socket"
)

// tokenProtocol is what a subprotocol begins with that is a token. tim.v1 should be in the list beside it, and be answered: an
// answer is more easily logged than a request.
const tokenProtocol = "token."

// wireVersion is the version of RFC 6455.
const wireVersion = "13"

// admit checks what every socket's handshake needs: origin, token, the account in the address, and that it is one.
func (h *Hub) admit(ctx context.Context, c echo.Context, account *string) (auth.Session, error) {
	r := c.Request()
	if !h.AllowOrigin(r) {
		return auth.Session{}, fault.New(fault.OriginNotAllowed)
	}
	session, err := h.Auth.Authenticate(ctx, token(r))
	if err != nil {
		return session, err
	}
	if account != nil {
		named, err := accountParam(*account, "useraccount")
		if err != nil {
			return session, err
		}
		if named != session.Account {
			return session, fault.New(fault.NotYourAccount)
		}
	}
	return session, checkHandshake(r, c.Response().Header())
}

// checkHandshake refuses what gorilla would refuse, before anything depends on the upgrade; RFC 6455 section 4.2.
func checkHandshake(r *http.Request, answer http.Header) error {
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) || once(r, "Sec-Websocket-Version") != wireVersion {
		answer.Set("Sec-Websocket-Version", wireVersion)
		if r.ProtoMajor != 1 { // which has no such header
			return fault.Invalid(fault.UpgradeRequired, "protocol", "must be HTTP/1.1")
		}
		answer.Set("Upgrade", "websocket")
		return fault.New(fault.UpgradeRequired)
	}
	if r.ContentLength != 0 { // its bytes would be taken for frames
		return fault.Invalid(fault.InvalidParameter, "Content-Length", "must be 0, or not there")
	}
	if key, err := base64.StdEncoding.DecodeString(once(r, "Sec-Websocket-Key")); err != nil || len(key) != 16 {
		return fault.Invalid(fault.InvalidParameter, "Sec-WebSocket-Key", "must be 16 bytes in base64")
	}
	return nil
}

// once is a header that a handshake must not have twice, RFC 6455 section 11.3: "" if it does.
func once(r *http.Request, name string) string {
	if lines := r.Header[name]; len(lines) == 1 {
		return lines[0]
	}
	return ""
}

// token takes the token from where a client can put it: the header, the subprotocol list, or the query.
func token(r *http.Request) string {
	if t := r.Header.Get("token"); t != "" {
		return t
	}
	for _, p := range subprotocols(r) {
		if t, ok := strings.CutPrefix(p, tokenProtocol); ok {
			return t
		}
	}
	return r.URL.Query().Get("token")
}

// subprotocols are those that a handshake offers, RFC 6455 section 11.3.4: a list, which may be given in several lines.
func subprotocols(r *http.Request) []string {
	var all []string
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for entry := range strings.SplitSeq(line, ",") {
			if entry = strings.Trim(entry, " \t"); entry != "" {
				all = append(all, entry)
			}
		}
	}
	return all
}

// chosen is the subprotocol that a handshake is answered with, "" for none: tim.v1 if it is offered. A browser that has offered the
// token and not tim.v1 gets the token back: it takes no answer that names none of what it has offered.
func chosen(r *http.Request) string {
	offered := subprotocols(r)
	if slices.Contains(offered, sockets.TimV1Subprotocol) {
		return sockets.TimV1Subprotocol
	}
	if own := tokenProtocol + token(r); slices.Contains(offered, own) {
		return own
	}
	return ""
}

// accountParam decodes an account in the path, once.
func accountParam(escaped, name string) (string, error) {
	text, err := url.PathUnescape(escaped)
	if err != nil || !account.Valid(text) {
		return "", fault.Invalid(fault.InvalidParameter, name, "must be an account, percent-encoded UTF-8")
	}
	return account.Normal(text), nil
}

func groupParam(text, name string) (int32, error) {
	group, err := strconv.ParseUint(text, 10, 31)
	if err != nil || group < 1 {
		return 0, fault.Invalid(fault.InvalidParameter, name, "must be a positive integer")
	}
	return int32(group), nil
}

// OpenTimV1 implements sockets.Server.
func (h *Hub) OpenTimV1(c echo.Context, _ sockets.TimV1Params) error {
	if !slices.Contains(subprotocols(c.Request()), sockets.TimV1Subprotocol) && websocket.IsWebSocketUpgrade(c.Request()) {
		return fault.Invalid(fault.InvalidParameter, "Sec-WebSocket-Protocol", "must contain "+sockets.TimV1Subprotocol)
	}
	return h.accept(c, nil, func(session auth.Session) (face, error) { return h.timv1.NewSession(session), nil })
}

// OpenChat implements sockets.Server.
func (h *Hub) OpenChat(c echo.Context, p sockets.ChatParams) error {
	return h.accept(c, &p.Useraccount, func(session auth.Session) (face, error) { return h.classic.NewChat(session), nil })
}

// OpenOneToOne implements sockets.Server.
func (h *Hub) OpenOneToOne(c echo.Context, p sockets.OneToOneParams) error {
	return h.accept(c, &p.Useraccount, func(session auth.Session) (face, error) {
		friend, err := accountParam(p.Friendaccount, "friendaccount")
		if err != nil {
			return nil, err
		}
		return h.classic.NewDirect(session, friend), nil
	})
}

// OpenGroup implements sockets.Server.
func (h *Hub) OpenGroup(c echo.Context, p sockets.GroupParams) error {
	return h.accept(c, &p.Useraccount, func(session auth.Session) (face, error) {
		group, err := groupParam(p.GroupID, "GroupID")
		if err != nil {
			return nil, err
		}
		return h.classic.NewGroup(session, group), nil
	})
}

// accept turns a handshake into a running connection. account is the caller's in the address, nil for none; describe makes the
// socket of an admitted session.
func (h *Hub) accept(c echo.Context, account *string, describe func(auth.Session) (face, error)) error {
	// Not a child of the request's context: the runtime keeps stopped timers for a while, and with them all of the request.
	ctx, cancel := context.WithCancel(h.handshakes.Within(h.sockets.Life(), h.Timing.Handshake))
	defer cancel()
	defer context.AfterFunc(c.Request().Context(), cancel)()
	session, err := h.admit(ctx, c, account)
	if err != nil {
		return err
	}
	c.Set(auth.AccountKey, session.Account)
	f, err := describe(session)
	if err != nil {
		return err
	}
	if err := h.register(f); err != nil {
		return err
	}
	started := false
	defer func() { // also after a panic
		if !started {
			h.sockets.Discard(f.Conn())
		}
	}()
	// A session that ended before it was registered has told nobody here.
	if err := h.Auth.Check(ctx, session); err != nil {
		return err
	}
	if err := f.Prepare(ctx); err != nil {
		return err
	}
	network, err := h.sockets.Upgrade(c.Response(), c.Request(), chosen(c.Request()), f.Greet())
	c.Response().Committed = true
	c.Response().Status = http.StatusSwitchingProtocols // for the log
	if err != nil {
		c.Response().Status = http.StatusBadRequest
		h.Log.Debug("handshake failed", "err", err)
		return nil
	}
	started = true
	if oldest := h.sessions.begin(f); oldest != nil {
		oldest.Conn().Abort(socket.Policy, socket.TooMany)
	}
	f.Conn().Start(network, f.Begin())
	return nil
}

// register makes a socket one of this node's, which Close waits for, and makes its session's end reach it.
func (h *Hub) register(f face) error {
	if err := h.sockets.Register(f.Conn()); err != nil {
		return fault.New(fault.Unavailable)
	}
	h.sessions.add(f)
	h.open.WithLabelValues(f.Kind()).Inc()
	return nil
}

// unregister undoes register when the connection has ended.
func (h *Hub) unregister(c *socket.Conn) {
	if f, ok := c.Handler().(face); ok {
		h.open.WithLabelValues(f.Kind()).Dec()
		h.sessions.remove(f)
	}
}
