package timv1

import (
	"context"
	"crypto/rand"
	"math"
	random "math/rand/v2"
	"sync"
	"time"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/delivery"
	"tim/internal/feed"
	"tim/internal/presence"
	"tim/internal/schema"
	"tim/internal/socket"
)

// Session is one connection of tim.v1. Safe for concurrent use.
type Session struct {
	service *Service
	conn    *socket.Conn
	session auth.Session
	reader  *delivery.Reader
	left    sync.Once // see leave

	mu       sync.Mutex
	expires  int64             // when its token does, in ms since 1970
	renewed  int64             // the generation of its token
	expiry   *time.Timer       // of it, if that is soon
	gone     bool              // it subscribes to nothing any more
	followed map[string]follow // accounts whose presence it follows
	held     *heldNotices      // nil but during the first sync

	syncing    sync.Mutex      // held while topics are joined and left; taken before mu
	subscribed map[string]bool // the topics of its groups and followed accounts, guarded by syncing
}

// NewSession returns a connection of a session.
func (s *Service) NewSession(session auth.Session) *Session {
	c := &Session{service: s, session: session, renewed: session.Generation}
	c.conn = s.Sockets.NewConn(rand.Text(), session.Account, c)
	c.reader = delivery.NewReader(&s.kind, c.conn, session.Account)
	return c
}

// Kind names this kind of socket in metrics.
func (s *Session) Kind() string { return sockets.TimV1Subprotocol }

// Conn is the socket's connection.
func (s *Session) Conn() *socket.Conn { return s.conn }

// Session is the session whose token opened the socket.
func (s *Session) Session() auth.Session { return s.session }

func (s *Session) account() string { return s.session.Account }

// MakesOnline marks it for package presence.
func (s *Session) MakesOnline() {}

// Prepare puts everything in place that the client may rely on once it hears of success.
func (s *Session) Prepare(ctx context.Context) error {
	s.service.Presence.Enter(ctx, presence.DeviceRoom(s.account()), s.account(), s.conn.ID())
	s.expireAt(s.session.Expires)
	return s.service.Feed.Join(ctx, feed.AccountTopic(s.account()), s)
}

// Greet makes the first frame, which goes out with the answer to the handshake.
func (s *Session) Greet() func() []byte { return s.hello }

// Begin tells the client if its token was renewed a moment ago: it came too late to hear of that.
func (s *Session) Begin() func() {
	if !s.session.Renewed {
		return nil
	}
	return func() {
		frame := sockets.SessionFrame{Event: sockets.SessionFrameEventRenewed, Session: s.session.ID}
		s.conn.Send(frame.JSON())
	}
}

func (s *Session) hello() []byte {
	o := s.service.Sockets.Options
	hello := sockets.Hello{
		Account: s.account(), Session: s.session.ID, Time: time.Now().UnixMilli(),
		Expires: s.session.Expires.UnixMilli(), Heartbeat: int32(o.Timing.Heartbeat.Milliseconds()), //nolint:gosec // some seconds
		Limits: sockets.SocketLimits{
			FrameBytes: o.FrameLimit, SendRate: schema.NumberOf(s.service.SendRate), SendBurst: int32(min(s.service.SendBurst, math.MaxInt32)), //nolint:gosec // it fits
		},
	}
	return hello.JSON()
}

// PingPayload implements socket.Handler.
func (s *Session) PingPayload(payload []byte, _ int64) []byte { return payload }

// Pong implements socket.Handler.
func (s *Session) Pong([]byte) {}

// Written implements socket.Handler: clients move their marks themselves.
func (s *Session) Written(int64) {}

// More implements socket.Handler.
func (s *Session) More() bool { return s.reader.More() }

// PeerClosed implements socket.Handler.
func (s *Session) PeerClosed(bool) { s.leave() }

// Closed implements socket.Handler.
func (s *Session) Closed() {
	s.reader.Stop()
	s.leave()
}

// leave takes back what Prepare did, however far that came, and all that was subscribed to since. When the client hears that
// its socket is closed, it may rely on that.
func (s *Session) leave() {
	s.left.Do(func() {
		s.service.Feed.Leave(feed.AccountTopic(s.account()), s)
		ctx, cancel := s.service.within()
		defer cancel()
		_, _ = s.service.Presence.Leave(ctx, presence.DeviceRoom(s.account()), s.account(), s.conn.ID()) // it has logged what failed
		s.unsubscribeAll()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.expiry != nil {
			s.expiry.Stop()
		}
	})
}

// expireAt closes the connection when its token expires, unless it is renewed before.
func (s *Session) expireAt(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expires = t.UnixMilli()
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	s.watchExpiry()
}

// Heartbeat implements socket.Handler.
func (s *Session) Heartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchExpiry()
}

// watchExpiry makes a timer for the end of a token that doesn't outlive the next heartbeat. Until then Heartbeat is enough.
// s.mu is held.
func (s *Session) watchExpiry() {
	if s.expires == 0 || s.gone || s.expiry != nil {
		return
	}
	if left := time.Until(time.UnixMilli(s.expires)); left < 2*s.service.Sockets.Timing.Heartbeat {
		s.expiry = time.AfterFunc(left, func() { s.conn.Guard(s.expire) })
	}
}

// expire closes the connection if its token has expired: it may have been renewed while the timer fired, or the clock been set
// back.
func (s *Session) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch left := time.Until(time.UnixMilli(s.expires)); {
	case left <= 0:
		s.conn.Abort(socket.Code(sockets.TimV1CloseTokenExpired), "the token has expired")
	case s.expiry != nil && !s.gone:
		s.expiry.Reset(left)
	}
}

// Refuse closes the connection with the code that fits an error. What is refused in one conversation is no reason: a
// connection of tim.v1 isn't about one conversation alone.
func (s *Session) Refuse(err error) {
	if auth.HasEnded(err) {
		s.conn.Abort(socket.Policy, auth.EndText(err))
		return
	}
	s.service.Log.Warn("a socket is asked to come back later", "socket", s.conn.ID(), "account", s.account(), "err", err)
	s.conn.Abort(socket.TryLater, "come back later")
}

// LastWords implements socket.Handler: a bye, whose code says whether to come back.
func (s *Session) LastWords(code socket.Code, reason string) (socket.Code, []byte) {
	final := closeCode(code, reason)
	return socket.Code(final), bye(final, reason)
}

// closeCode is what a close code of RFC 6455 is on tim.v1.
func closeCode(code socket.Code, reason string) sockets.TimV1Close {
	switch code {
	case socket.GoingAway:
		return sockets.TimV1CloseGoingAway
	case socket.TryLater:
		if reason == socket.TooSlow {
			return sockets.TimV1CloseTooSlow
		}
		return sockets.TimV1CloseComeBackLater
	case socket.Internal:
		return sockets.TimV1CloseServerFault
	case socket.Policy:
		if reason == socket.TooMany {
			return sockets.TimV1CloseTooManySockets
		}
		return sockets.TimV1CloseSessionEnded
	default:
		return sockets.TimV1Close(code)
	}
}

// mostJitter spreads the return of clients that a node sends away at once.
const mostJitter = 2 * time.Second

// bye is the last frame before a close.
func bye(code sockets.TimV1Close, reason string) []byte {
	frame := sockets.Bye{Code: int32(code), Reason: reason, Reconnect: code.Reconnect()} //nolint:gosec // four digits
	if frame.Reconnect {
		after := random.N(mostJitter).Milliseconds() //nolint:gosec // no secret
		frame.After = &after
	}
	return frame.JSON()
}
