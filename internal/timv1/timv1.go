// Package timv1 is the socket of subprotocol tim.v1: one connection of a device for all its conversations, whose requests are
// answered, whose messages are numbered, and which catches up after a break.
//
//	timv1.go       construction, and what all connections share
//	session.go     one connection: its first frame, its last, and the expiry of its token
//	requests.go    one method for each request, but sync and subscribe
//	sync.go        the request sync: the connection catches up and goes live
//	membership.go  the groups that a connection carries, and the topics that it subscribes to
//	follow.go      the request subscribe: the accounts whose presence a connection follows
//	watch.go       … and checking them again after the bus may have lost events
//	events.go      one method for each kind of event: the frame that it becomes
//	held.go        … and which notices of groups are sent, since the answer to the first sync shows what happened before it
//	catchup.go     comparing memberships and seqs with the database after the bus may have lost events
//	frames.go      messages, conversations and errors as frames
//
// The types of frames, the interface of requests and the close codes are generated from asyncapi.yaml, into gen/sockets.
package timv1

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/delivery"
	"tim/internal/feed"
	"tim/internal/presence"
	"tim/internal/socket"
)

// Options of New. Every field is needed.
type Options struct {
	Sockets  *socket.Server
	Chat     *chat.Service
	Auth     *auth.Auth
	Feed     *feed.Feed
	Presence *presence.Presence
	Source   *delivery.Source

	// IsFull tells errors of a database whose disk is full from others.
	IsFull func(error) bool
	// IsUnavailable tells errors of a database that can't be asked now from others.
	IsUnavailable func(error) bool
	SendRate      float64 // frames a second that an account may send on average, for hello; 0 for no limit
	SendBurst     int     // … and at once
	Timing        Timing
	Stored        prometheus.Counter // of messages
	Log           *slog.Logger
}

// Timing is how long things may take.
type Timing struct {
	// FrameTimeout bounds what a client's frame may take; it covers a group commit and its retries.
	FrameTimeout time.Duration
	// StoreTimeout bounds what a connection asks of the database and of presence for itself.
	StoreTimeout time.Duration
	// LookAgain is when presence is asked about once more after the bus may have lost news: by then what a dead node left is
	// forgotten.
	LookAgain time.Duration
}

// Service opens connections of tim.v1. Safe for concurrent use.
type Service struct {
	Options

	kind     delivery.Kind
	deadline socket.Deadline // of requests

	lost         chan struct{} // the bus may have lost news of presence
	syncing      chan struct{} // holds one for each connection that syncs
	groupLookups chan struct{} // holds one for each connection that asks for the newest seq of a group that is new to it
}

// New returns a Service. Its Watch must run.
func New(o Options) *Service {
	s := &Service{
		Options: o,
		lost:    make(chan struct{}, 1), syncing: make(chan struct{}, mostSyncing), groupLookups: make(chan struct{}, mostGroupLookups),
	}
	s.kind = delivery.Kind{Source: o.Source, Face: feed.TimV1, SenderFace: feed.TimV1Sender, Frame: messageFrame}
	return s
}

// within is what a connection's own questions to the database and to presence are asked with.
func (s *Service) within() (context.Context, context.CancelFunc) {
	return s.Sockets.Within(s.Timing.StoreTimeout)
}

// turn takes one of a bounded number of turns, and gives it back by done.
func turn(ctx context.Context, turns chan struct{}) (done func(), err error) {
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
}
