// Package realtime joins the sockets to the server: it admits handshakes, registers connections, ends them with their
// sessions, and has them catch up after the bus may have lost something. Packages classic and timv1 say what a socket does.
//
//	hub.go        construction, start and stop
//	handshake.go  who may open which socket
//	sessions.go   the sockets of each session
//	catchup.go    checking sockets against the database after a loss
//	timing.go     how long things may take
//
// The packages around it, from the wire inwards: socket is RFC 6455; classic and timv1 are the two faces, the contract's
// sockets and tim.v1; delivery brings a conversation's messages to one socket; feed is what nodes tell each other; presence
// knows who is online.
package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/classic"
	"tim/internal/delivery"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/pace"
	"tim/internal/presence"
	"tim/internal/socket"
	"tim/internal/timv1"
)

// Options of New. Every field but Timing is needed, except that a limit of 0 means none.
type Options struct {
	Chat     *chat.Service
	Auth     *auth.Auth
	Feed     *feed.Feed
	Presence *presence.Presence
	Zone     *time.Location // of the time in messages
	// AllowOrigin tells whether a page that a handshake comes from may open sockets.
	AllowOrigin func(*http.Request) bool
	// IsFull tells errors of a database whose disk is full from others.
	IsFull func(error) bool
	// IsUnavailable tells errors of a database that can't be asked now from others.
	IsUnavailable func(error) bool
	FrameLimit    int64      // bytes of a client's frame
	SendRate      float64    // frames a second that an account may send on average, for hello
	SendBurst     int        // … and at once
	Pace          *pace.Pace // holds them; nil for no limit
	AccountLimit  int        // sockets of one account at once, 0 for any number
	RosterLimit   int        // members online up to which a group's sockets are told their names
	Timing        Timing
	Log           *slog.Logger
	Metrics       prometheus.Registerer
}

// Hub holds this node's sockets. Safe for concurrent use.
type Hub struct {
	Options

	sockets    *socket.Server
	classic    *classic.Service
	timv1      *timv1.Service
	sessions   *sessions
	handshakes socket.Deadline
	open       *prometheus.GaugeVec

	unsubscribe func()
	watching    sync.WaitGroup
	closed      sync.Once
}

// face is one open socket.
type face interface {
	socket.Handler
	// Kind names the kind of socket in metrics.
	Kind() string
	Conn() *socket.Conn
	Session() auth.Session
	// Prepare puts everything in place that the client may rely on once it hears of success. An error refuses the handshake.
	Prepare(ctx context.Context) error
	// Greet makes the first text frame, which goes out with the answer to the handshake; nil for none.
	Greet() func() []byte
	// Begin runs once there is a socket, before anything is read; nil for nothing to do.
	Begin() func()
	// Refuse closes the socket with the code that fits an error.
	Refuse(err error)
}

// New returns a Hub that takes sockets and listens to other nodes. Close ends it.
func New(ctx context.Context, o Options) (*Hub, error) {
	o.Timing = o.Timing.withDefaults()
	h := &Hub{
		Options: o, sessions: newSessions(o.AccountLimit),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tim_sockets", Help: "Open sockets."}, []string{"kind"}),
	}
	stored := prometheus.NewCounter(prometheus.CounterOpts{Name: "tim_messages_total", Help: "Messages stored for this node's sockets."})
	if err := errors.Join(o.Metrics.Register(h.open), o.Metrics.Register(stored)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	unsubscribe, err := o.Feed.OnSessionEnded(ctx, h.endSession)
	if err != nil {
		return nil, err
	}
	h.unsubscribe = unsubscribe
	t := o.Timing
	h.sockets = socket.New(socket.Options{
		Timing: t.socket(), FrameLimit: o.FrameLimit, Pace: wait(o.Pace), Log: o.Log, Ended: h.unregister,
	})
	source := delivery.NewSource(h.sockets, o.Chat, t.StoreTimeout, t.FetchAgain, o.Log)
	h.classic = classic.New(classic.Options{
		Sockets: h.sockets, Chat: o.Chat, Auth: o.Auth, Feed: o.Feed, Presence: o.Presence, Source: source,
		Zone: o.Zone, RosterLimit: o.RosterLimit, Stored: stored, Log: o.Log,
		Timing: classic.Timing{
			FrameTimeout: t.FrameTimeout, StoreTimeout: t.StoreTimeout, StoreEvery: t.StoreEvery, RosterTimeout: t.RosterTimeout,
			SiblingTimeout: t.SiblingTimeout,
		},
	})
	h.timv1 = timv1.New(timv1.Options{
		Sockets: h.sockets, Chat: o.Chat, Auth: o.Auth, Feed: o.Feed, Presence: o.Presence, Source: source,
		IsFull: o.IsFull, IsUnavailable: o.IsUnavailable, SendRate: o.SendRate, SendBurst: o.SendBurst, Stored: stored, Log: o.Log,
		Timing: timv1.Timing{FrameTimeout: t.FrameTimeout, StoreTimeout: t.StoreTimeout, LookAgain: t.LookAgain},
	})
	h.watching.Go(func() { h.timv1.Watch(h.sockets.Life()) })
	return h, nil
}

// wait is how the sockets ask for their accounts' pace.
func wait(p *pace.Pace) func(account string, messages int) time.Duration {
	if p == nil {
		return nil
	}
	return func(account string, messages int) time.Duration { return p.Take(account, messages, time.Now()) }
}

// Routes adds the sockets to a router: those of asyncapi.yaml, and no others.
func (h *Hub) Routes(e *echo.Echo) {
	get := func(route string, open func(echo.Context) error) {
		e.GET(route, open)
		e.HEAD(route, open) // RFC 9110 section 9.1: as a GET without an upgrade
	}
	sockets.Mount[echo.Context](h, func(c echo.Context, name string) string { return c.Param(name) }, get)
}

// Close tells every client to come back elsewhere and waits for all sockets to end. When ctx ends first, it cuts them. It
// returns within Timing.LastWords of that. A second call does nothing.
func (h *Hub) Close(ctx context.Context) {
	h.closed.Do(func() {
		h.sockets.Close(ctx)
		h.watching.Wait()
		h.unsubscribe()
	})
}

// endSession closes the sockets of a session that has ended.
func (h *Hub) endSession(session string, why fault.Reason) {
	h.Auth.Forget(session, why)
	for _, f := range h.sessions.of(session) {
		f.Conn().Abort(socket.Policy, auth.EndText(fault.New(why)))
	}
}

// faces lists the open sockets.
func (h *Hub) faces() []face {
	conns := h.sockets.Conns()
	all := make([]face, 0, len(conns))
	for _, c := range conns {
		if f, ok := c.Handler().(face); ok {
			all = append(all, f)
		}
	}
	return all
}
