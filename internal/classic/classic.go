// Package classic is the contract's three sockets, as front ends of the original Tim know them: the chat socket, whose life
// makes an account online, and one socket for each one-to-one conversation and each group. They carry bare texts and know
// no acknowledgement, so a pong or a clean close confirms what was written before it.
//
//	chat.go         the chat socket
//	classic.go      construction, and what the sockets have in common
//	conversation.go … what those of a conversation have in common
//	direct.go       a one-to-one socket
//	group.go        a group's socket
//	roster.go       … and what a group is told of who is online
//	acknowledge.go  how far a socket's peer has read: pings, pongs, and storing the mark
//	siblings.go     … and waiting for the marks of the account's other sockets of the same conversation
//	catchup.go      checking rights and newest seqs in the database after the bus may have lost events
//	frames.go       the frames that these sockets send, in the types of gen/sockets
package classic

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/delivery"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/presence"
	"tim/internal/socket"
)

// Options of New. Every field is needed, except that a RosterLimit of 0 means none.
type Options struct {
	Sockets  *socket.Server
	Chat     *chat.Service
	Auth     *auth.Auth
	Feed     *feed.Feed
	Presence *presence.Presence
	Source   *delivery.Source

	Zone        *time.Location // of the time in messages
	RosterLimit int            // members online up to which a group's sockets are told their names
	Timing      Timing
	Stored      prometheus.Counter // of messages
	Log         *slog.Logger
}

// Timing is how long things may take.
type Timing struct {
	// FrameTimeout bounds what a client's frame may take.
	FrameTimeout time.Duration
	// StoreTimeout bounds what a socket asks of the database and of presence for itself.
	StoreTimeout time.Duration
	// StoreEvery is how often a socket's mark is stored at most while it is open.
	StoreEvery time.Duration
	// RosterTimeout is how long a newcomer's messages wait for the texts that announce it.
	RosterTimeout time.Duration
	// SiblingTimeout is how long a new socket waits for the account's others of its conversation to say what they have read.
	SiblingTimeout time.Duration
}

// Service opens the contract's sockets. Safe for concurrent use.
type Service struct {
	Options

	direct, group delivery.Kind
}

// New returns a Service.
func New(o Options) *Service {
	s := &Service{Options: o}
	s.group = delivery.Kind{Source: o.Source, Face: feed.Contract, SenderFace: feed.Contract, Frame: s.messageFrame, Confirmed: true}
	s.direct = s.group
	s.direct.NoEcho = true
	return s
}

func (s *Service) messageFrame(_ chat.Target, m chat.Message) []byte { return chatMessage(m, s.Zone) }

// within is what a socket's own questions to the database and to presence are asked with.
func (s *Service) within() (context.Context, context.CancelFunc) {
	return s.Sockets.Within(s.Timing.StoreTimeout)
}

// base is what the three sockets have in common. It hears of nothing, pings without asking, and closes with the codes of
// the contract.
type base struct {
	deaf

	service *Service
	conn    *socket.Conn
	session auth.Session
}

// Conn is the socket's connection.
func (b *base) Conn() *socket.Conn { return b.conn }

// Session is the session whose token opened the socket.
func (b *base) Session() auth.Session { return b.session }

func (b *base) account() string { return b.session.Account }

// Pong implements socket.Handler.
func (b *base) Pong([]byte) {}

// PingPayload implements socket.Handler.
func (b *base) PingPayload(payload []byte, _ int64) []byte { return payload }

// Written implements socket.Handler.
func (b *base) Written(int64) {}

// More implements socket.Handler.
func (b *base) More() bool { return false }

// Heartbeat implements socket.Handler: a socket outlives its token, but not the end that its session has however it is used.
func (b *base) Heartbeat() {
	if ends := b.session.Ends; !ends.IsZero() && !time.Now().Before(ends) {
		b.Refuse(fault.New(fault.SessionEnded))
	}
}

// LastWords implements socket.Handler.
func (b *base) LastWords(code socket.Code, _ string) (socket.Code, []byte) { return code, nil }

// Greet implements what the hub asks of a socket: the contract's sockets queue their first frames themselves.
func (b *base) Greet() func() []byte { return nil }

// Refuse closes the socket with the code that fits an error.
func (b *base) Refuse(err error) {
	switch fault.From(err).Reason {
	case fault.SessionEnded, fault.TokenReused:
		b.conn.Abort(socket.Policy, auth.EndText(err))
	case fault.NotFriends, fault.NotAMember, fault.UnknownAccount, fault.UnknownGroup:
		b.conn.Abort(socket.Policy, "no longer allowed")
	default:
		b.service.Log.Warn("a socket is asked to come back later", "socket", b.conn.ID(), "account", b.account(), "err", err)
		b.conn.Abort(socket.TryLater, "come back later")
	}
}

// deaf is a feed.Subscriber that hears of nothing. The contract's sockets embed it, since no event that is added later
// concerns them.
type deaf struct{}

func (deaf) MessageStored(*feed.Announcement, *feed.MessageStored)     {}
func (deaf) MarksMoved(*feed.Announcement, *feed.MarksMoved)           {}
func (deaf) AccountTyping(*feed.Announcement, *feed.AccountTyping)     {}
func (deaf) PresenceMoved(*feed.Announcement, *feed.PresenceMoved)     {}
func (deaf) FriendshipBegan(*feed.Announcement, *feed.FriendshipBegan) {}
func (deaf) FriendshipEnded(*feed.Announcement, *feed.FriendshipEnded) {}
func (deaf) MemberJoined(*feed.Announcement, *feed.MemberJoined)       {}
func (deaf) MemberLeft(*feed.Announcement, *feed.MemberLeft)           {}
func (deaf) OwnerChanged(*feed.Announcement, *feed.OwnerChanged)       {}
func (deaf) GroupDissolved(*feed.Announcement, *feed.GroupDissolved)   {}
func (deaf) TextSent(*feed.Announcement, *feed.TextSent)               {}
func (deaf) WentOffline(*feed.Announcement, *feed.WentOffline)         {}
func (deaf) RosterMoved(*feed.Announcement, *feed.RosterMoved)         {}
func (deaf) SessionMoved(*feed.Announcement, *feed.SessionMoved)       {}

// newID names a socket, uniquely among all nodes.
func newID() string { return rand.Text() }
