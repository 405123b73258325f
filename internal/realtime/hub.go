// Package realtime serves the sockets: it joins connections to the use cases of package chat, and carries what happened
// on any node to the connections that it concerns.
//
//	handshake.go     who may open which socket, and how one is opened
//	chatsocket.go    … the chat socket, whose life makes an account online
//	conversation.go  … a one-to-one or group socket
//	roster.go        … and what a group is told of who is online
//	frames.go        … and the frames that these are sent
//	modern.go        … or tim.v1, one connection for everything: requests and their answers
//	request.go       … decoded and checked against their schemas
//	plainframe.go    … or, those that come most, in one go
//	encode.go        … and the frames written that go out most
//	sync.go          … how it catches up and goes live
//	membership.go    … and which groups it carries
//	presence.go      who is online, and who follows that
//	connection.go    one connection: its queue and its state
//	writer.go        … its writer, which writes what is queued together
//	reader.go        … its reader and its end
//	workers.go       … who does what its frames ask for
//	deadline.go      … and until when
//	wheel.go         … and its heartbeat
//	timing.go        … and how long all that may take
//	stream.go        … the messages of a conversation on it: in order, none twice, caught up from the database
//	mark.go          … and how far its peer has read them
//	topics.go        which connections hear of what
//	set.go           … in sets that are small while they hold few
//	events.go        what nodes tell each other, and what each makes of it
//	stored.go        … of a message, in a JSON of its own
//	scanner.go       … which reads that and plain frames
//	catchup.go       … and what it asks the database when it may have missed that
//	watch.go         … and presence
//	hub.go           all of them together, from start to stop
package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
)

// Options of New. Every field but Timing is needed, except that a limit of 0 means none.
type Options struct {
	Bus      cluster.Bus
	Presence cluster.Presence
	Zone     *time.Location // of the time in messages
	// AllowOrigin tells whether a page that a handshake comes from may open sockets.
	AllowOrigin func(*http.Request) bool
	// IsUnavailable tells errors of a database that can't be asked now from others.
	IsUnavailable func(error) bool
	FrameLimit    int64   // bytes of a client's frame
	SendRate      float64 // frames a second that one socket may send on average
	SendBurst     int     // … and at once
	RosterLimit   int     // members online up to which a group's sockets are told their names
	Timing        Timing
	Log           *slog.Logger
	Metrics       prometheus.Registerer
}

// Hub holds this node's sockets. Safe for concurrent use.
type Hub struct {
	Options
	chat *chat.Service // set by Serve
	auth *auth.Auth

	// life ends when Close gives up waiting, and with it whatever the sockets still wait for.
	life context.Context //nolint:containedctx // it is what the goroutines of the sockets live by
	end  context.CancelFunc

	topics   *topics
	sessions *sessions
	buffers  sync.Pool // gorilla's write buffers
	batches  sync.Pool // of *batch
	wheel    wheel
	began    time.Time // of its clock, see moment
	workers  *workers

	handshakes deadline // what those under way are to be done with

	mu       sync.Mutex
	draining bool
	open     map[*connection]struct{}
	moves    int            // how many have come and gone
	running  sync.WaitGroup // one for each connection, and one for each that writes

	watch    *watch
	settling chan struct{}      // holds one for each connection that asks where a group stands that is new to it
	syncing  chan struct{}      // … that syncs
	fetches  singleflight.Group // of the same messages by several connections

	directText  *openapi3.Schema
	requests    *requests
	serving     atomic.Bool
	unsubscribe func()
	sockets     *prometheus.GaugeVec
	sent        prometheus.Counter
}

// New returns a Hub that can carry news to other nodes. Serve makes it take sockets, Close ends it.
func New(o Options) (*Hub, error) {
	o.Timing = o.Timing.withDefaults()
	h := &Hub{Options: o, sessions: newSessions(), open: make(map[*connection]struct{}), workers: newWorkers(), began: time.Now()}
	h.watch, h.settling, h.syncing = newWatch(), make(chan struct{}, mostSettling), make(chan struct{}, mostSyncing)
	h.life, h.end = context.WithCancel(context.Background())
	h.topics = newTopics(o.Bus, h.handle)
	h.sockets = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tim_sockets", Help: "Open sockets."}, []string{"kind"})
	h.sent = prometheus.NewCounter(prometheus.CounterOpts{Name: "tim_messages_total", Help: "Messages stored for this node's sockets."})
	if err := errors.Join(o.Metrics.Register(h.sockets), o.Metrics.Register(h.sent)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	spec, err := loadFrames()
	if err != nil {
		return nil, fmt.Errorf("load the frames: %w", err)
	}
	h.directText = spec.Components.Schemas["DirectText"].Value
	h.requests = newRequests(spec)
	return h, nil
}

// Serve adds the sockets to the server's routes and begins to listen to other nodes. Called once.
func (h *Hub) Serve(ctx context.Context, e *echo.Echo, c *chat.Service, a *auth.Auth) error {
	h.chat, h.auth = c, a
	unsubscribe, err := h.Bus.Subscribe(ctx, sessionsTopic, h.handleSession)
	if err != nil {
		return fmt.Errorf("subscribe to sessions: %w", err)
	}
	h.unsubscribe = unsubscribe
	h.watch.running.Go(h.watchPresence)
	h.watch.running.Go(h.beat)
	h.serving.Store(true)
	e.GET("/websocket", h.openModern)
	e.GET("/websocket/:useraccount", h.openChat)
	e.GET("/websocket/OneToOne/:useraccount/:friendaccount", h.openDirect)
	e.GET("/websocket/:GroupID/:useraccount", h.openGroup)
	return nil
}

// Close tells every client to come back elsewhere and waits for all sockets to end; when ctx ends first, it cuts them.
// It returns within Timing.LastWords of that. For whoever called New, also when Serve was not; a second call does nothing.
func (h *Hub) Close(ctx context.Context) {
	h.mu.Lock()
	h.draining = true
	for c := range h.open {
		c.shut(closeGoingAway, "the server is going away", false)
	}
	h.mu.Unlock()
	done := make(chan struct{})
	go func() {
		h.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		h.cutAll(done)
	}
	h.end()
	h.watch.running.Wait()
	h.workers.running.Wait()
	if h.unsubscribe != nil {
		h.unsubscribe()
	}
}

// cutAll ends the sockets that have not ended in time: without a word to their peers, but, for a moment, with a chance
// to tell the database and other nodes.
func (h *Hub) cutAll(done <-chan struct{}) {
	h.mu.Lock()
	for c := range h.open {
		c.cut()
	}
	h.mu.Unlock()
	select {
	case <-done:
	case <-time.After(h.Timing.LastWords):
		h.end()
		<-done
	}
}

// within is what a socket's own questions to the database and to presence are asked with.
func (h *Hub) within(timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.life, timeout)
}
