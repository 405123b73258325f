package classic

import (
	"context"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/feed"
	"tim/internal/socket"
)

// Direct is a one-to-one socket. It subscribes to its own account's topic: one-to-one messages are published on those of both
// accounts.
type Direct struct{ Conversation }

// NewDirect returns a one-to-one socket of a session, towards a friend.
func (s *Service) NewDirect(session auth.Session, friend string) *Direct {
	d := new(Direct)
	d.init(s, session, chat.ToUser(friend), &s.direct, d)
	d.topic = feed.AccountTopic(session.Account)
	return d
}

// Kind names this kind of socket in metrics.
func (d *Direct) Kind() string { return "direct" }

// Prepare puts everything in place that the client may rely on once it hears of success.
func (d *Direct) Prepare(ctx context.Context) error {
	err := d.Conversation.Prepare(ctx)
	if err == nil && !d.online {
		d.refuseOffline(sockets.PeerNotOnline(d.account()))
	}
	return err
}

// Begin lets the messages flow.
func (d *Direct) Begin() func() {
	if !d.online {
		return nil
	}
	return func() {
		d.awaitSiblings()
		d.start()
	}
}

// FriendshipEnded implements feed.Subscriber.
func (d *Direct) FriendshipEnded(_ *feed.Announcement, e *feed.FriendshipEnded) {
	if e.Conversation == d.id {
		d.conn.Abort(socket.Policy, "no longer friends")
	}
}

// WentOffline implements feed.Subscriber.
func (d *Direct) WentOffline(_ *feed.Announcement, e *feed.WentOffline) {
	d.conn.Send(sockets.DirectEnded(e.Account))
	d.conn.Close(socket.Normal, "")
}

// Closed implements socket.Handler.
func (d *Direct) Closed() {
	defer d.release()
	d.end()
}
