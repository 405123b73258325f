// Package realtime serves the sockets: it joins connections to the use cases of package chat, and carries what happened
// on any node to the connections that it concerns.
//
//	handshake.go     who may open which socket
//	chatsocket.go    … the chat socket, whose life makes an account online
//	conversation.go  … a one-to-one or group socket
//	connection.go    one connection: its queue, its one writer, its end
//	stream.go        … the messages of a conversation on it: in order, none twice, caught up from the database
//	topics.go        which connections hear of what
//	hub.go           what nodes tell each other, and what each makes of it
package realtime

import (
	"context"
	"encoding/json"
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

	"tim/gen/frames"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
)

// Options of New. Every field is needed, except that a limit of 0 means none.
type Options struct {
	Bus      cluster.Bus
	Presence cluster.Presence
	Zone     *time.Location // of the time in messages
	// AllowOrigin tells whether a page that a handshake comes from may open sockets.
	AllowOrigin func(*http.Request) bool
	FrameLimit  int64   // bytes of a client's frame
	SendRate    float64 // frames a second that one socket may send on average
	SendBurst   int     // … and at once
	RosterLimit int     // members online up to which a group's sockets are told their names
	Log         *slog.Logger
	Metrics     prometheus.Registerer
}

// Hub holds this node's sockets. Safe for concurrent use.
type Hub struct {
	Options
	chat *chat.Service // set by Serve
	auth *auth.Auth

	topics   *topics
	sessions *sessions
	buffers  sync.Pool // gorilla's write buffers

	mu       sync.Mutex
	draining bool
	open     map[*connection]struct{}
	running  sync.WaitGroup // one for each connection

	directText  *openapi3.Schema
	serving     atomic.Bool
	unsubscribe func()
	sockets     *prometheus.GaugeVec
	sent        prometheus.Counter
}

// New returns a Hub that can carry news to other nodes. Serve makes it take sockets, Close ends it.
func New(o Options) (*Hub, error) {
	h := &Hub{Options: o, sessions: newSessions(), open: make(map[*connection]struct{})}
	h.topics = newTopics(o.Bus, h.handle)
	h.sockets = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tim_sockets", Help: "Open sockets."}, []string{"kind"})
	h.sent = prometheus.NewCounter(prometheus.CounterOpts{Name: "tim_messages_total", Help: "Messages stored for this node's sockets."})
	if err := errors.Join(o.Metrics.Register(h.sockets), o.Metrics.Register(h.sent)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	spec, err := frames.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("load the frames: %w", err)
	}
	h.directText = spec.Components.Schemas["DirectText"].Value
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
	h.serving.Store(true)
	e.GET("/websocket/:useraccount", h.openChat)
	e.GET("/websocket/OneToOne/:useraccount/:friendaccount", h.openDirect)
	e.GET("/websocket/:GroupID/:useraccount", h.openGroup)
	return nil
}

// Close tells every client to come back elsewhere and waits for all sockets to end; when ctx ends first, it cuts them.
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
		h.mu.Lock()
		for c := range h.open {
			c.cut()
		}
		h.mu.Unlock()
		<-done
	}
	if h.unsubscribe != nil {
		h.unsubscribe()
	}
}

// What travels on the bus. Topics: sessionsTopic for all nodes, accountTopic and conversationTopic for those that have
// such a socket open.
const sessionsTopic = "sessions"

func accountTopic(account string) string           { return "a:" + account }
func conversationTopic(conversation string) string { return "c:" + conversation }

// The events of this package; package chat has its own.
const (
	textSent    chat.EventKind = "text"    // DirectText from Account
	wentOffline chat.EventKind = "offline" // Account
	rosterMoved chat.EventKind = "roster"  // Texts, for all or for Socket alone
)

// event is what nodes tell each other.
type event struct {
	chat.Event
	Text   string   `json:"text,omitempty"`
	Texts  []string `json:"texts,omitempty"`
	Socket string   `json:"socket,omitempty"`
	Alone  bool     `json:"alone,omitempty"`
}

// sessionEnded is what nodes tell each other on sessionsTopic.
type sessionEnded struct {
	Session string `json:"session"`
}

// Notify carries an event of package chat to every node. It never fails: who misses it catches up from the database.
func (h *Hub) Notify(ctx context.Context, e chat.Event) {
	h.publish(ctx, conversationTopic(e.Conversation), event{Event: e})
}

// SessionEnded tells every node that a session has ended.
func (h *Hub) SessionEnded(ctx context.Context, _, session string) error {
	payload, err := json.Marshal(sessionEnded{session})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return h.Bus.Publish(ctx, sessionsTopic, payload)
}

func (h *Hub) publish(ctx context.Context, topic string, e event) {
	payload, err := json.Marshal(e)
	if err == nil {
		err = h.Bus.Publish(ctx, topic, payload)
	}
	if err != nil {
		h.Log.Warn("other nodes were not told; they will catch up", "event", string(e.Kind), "err", err)
	}
}

func (h *Hub) handleSession(payload []byte) {
	var e sessionEnded
	if err := json.Unmarshal(payload, &e); err != nil {
		h.Log.Error("unreadable news of a session", "err", err)
		return
	}
	h.auth.Forget(e.Session)
	for _, c := range h.sessions.of(e.Session) {
		c.shut(closePolicy, "the session has ended", true)
	}
}

// handle brings an event to the connections of its topic. It runs on the bus's goroutine and must not block.
func (h *Hub) handle(t *topic, payload []byte) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		h.Log.Error("unreadable event", "topic", t.name, "err", err)
		return
	}
	switch e.Kind {
	case chat.MessageStored:
		frame := h.chatMessage(*e.Message) // encoded once for all
		t.each(func(c *connection) { c.offer(*e.Message, frame) })
	case chat.FriendshipEnded:
		t.each(func(c *connection) { c.shut(closePolicy, "no longer friends", true) })
	case chat.MemberLeft:
		t.each(func(c *connection) {
			if c.account == e.Account {
				c.shut(closePolicy, "no longer a member", true)
			}
		})
	case textSent:
		frame := directText(e.Account, e.Text)
		t.each(func(c *connection) {
			if c.kind == kindChat {
				c.enqueue(frame)
			}
		})
	case wentOffline:
		t.each(func(c *connection) {
			if c.kind == kindDirect {
				c.enqueue([]byte(e.Account + directEndedText))
				c.shut(closeNormal, "", false)
			}
		})
	case rosterMoved:
		h.handleRoster(t, e)
	}
}

func (h *Hub) handleRoster(t *topic, e event) {
	t.each(func(c *connection) {
		if e.Alone && c.id != e.Socket {
			return
		}
		for _, text := range e.Texts {
			c.enqueue([]byte(text))
		}
		if c.id == e.Socket {
			c.start()
		}
	})
}

// Online tells which accounts have a live chat socket. While other nodes can't be asked, this node's own count.
func (h *Hub) Online(ctx context.Context, accounts []string) []bool {
	rooms := make([]string, len(accounts))
	for i, account := range accounts {
		rooms[i] = accountRoom(account)
	}
	online, err := h.Presence.Online(ctx, rooms)
	if err == nil {
		return online
	}
	h.Log.Warn("presence can't be asked; this node's own sockets count", "err", err)
	online = make([]bool, len(accounts))
	for i, account := range accounts {
		online[i] = h.topics.has(accountTopic(account), kindChat)
	}
	return online
}

// CatchUp asks the database what the bus may have lost: sessions, rights and messages of this node's sockets. The bus
// calls it; never twice at the same time.
func (h *Hub) CatchUp(ctx context.Context) {
	if !h.serving.Load() {
		return
	}
	h.auth.ForgetAll()
	h.mu.Lock()
	connections := make([]*connection, 0, len(h.open))
	for c := range h.open {
		connections = append(connections, c)
	}
	h.mu.Unlock()
	last := make(map[string]int64)
	for _, c := range connections {
		if ctx.Err() != nil {
			return
		}
		if err := h.auth.Check(ctx, c.session); err != nil {
			c.refuse(err)
			continue
		}
		if c.kind == kindChat {
			continue
		}
		if err := h.chat.MayWrite(ctx, c.account, c.target); err != nil {
			c.refuse(err)
			continue
		}
		seq, known := last[c.conversation]
		if !known {
			var err error
			if seq, err = h.chat.LastSeq(ctx, c.conversation); err != nil {
				h.Log.Warn("can't catch up now", "err", err)
				return
			}
			last[c.conversation] = seq
		}
		c.learn(seq)
	}
}
