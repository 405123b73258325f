package classic

import (
	"context"
	"sync"
	"time"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/feed"
	"tim/internal/socket"
)

// Group is a group's socket.
type Group struct {
	Conversation

	mu      sync.Mutex
	entered bool        // its group's room; see leave
	late    *time.Timer // lets the messages flow should the roster's texts not come; may be nil
}

// NewGroup returns a group's socket of a session.
func (s *Service) NewGroup(session auth.Session, group int32) *Group {
	g := new(Group)
	g.init(s, session, chat.ToGroup(group), &s.group, g)
	g.topic = feed.ConversationTopic(g.id)
	return g
}

// Kind names this kind of socket in metrics.
func (g *Group) Kind() string { return "group" }

// Prepare puts everything in place that the client may rely on once it hears of success.
func (g *Group) Prepare(ctx context.Context) error {
	err := g.Conversation.Prepare(ctx)
	if err == nil && !g.online {
		g.refuseOffline(sockets.MemberNotOnline())
	}
	return err
}

// Begin announces the newcomer; its messages flow after that.
func (g *Group) Begin() func() {
	if !g.online {
		return nil
	}
	return func() {
		g.awaitSiblings()
		g.enter()
	}
}

// RosterMoved implements feed.Subscriber.
func (g *Group) RosterMoved(_ *feed.Announcement, e *feed.RosterMoved) {
	if e.OnlySocket && g.conn.ID() != e.Socket {
		return
	}
	for _, text := range e.Texts {
		g.conn.Send([]byte(text))
	}
	if g.conn.ID() == e.Socket {
		g.start()
	}
}

// MemberLeft implements feed.Subscriber.
func (g *Group) MemberLeft(_ *feed.Announcement, e *feed.MemberLeft) {
	if e.Account == g.account() {
		g.conn.Abort(socket.Policy, noMemberText)
	}
}

// GroupDissolved implements feed.Subscriber.
func (g *Group) GroupDissolved(*feed.Announcement, *feed.GroupDissolved) {
	g.conn.Abort(socket.Policy, noMemberText)
}

const noMemberText = "no longer a member"

// PeerClosed implements socket.Handler. The group is told of the end before our answer goes out.
func (g *Group) PeerClosed(clean bool) {
	g.Conversation.PeerClosed(clean)
	g.leave()
}

// Closed implements socket.Handler.
func (g *Group) Closed() {
	defer g.release()
	g.mu.Lock()
	if g.late != nil {
		g.late.Stop()
	}
	g.mu.Unlock()
	g.end()
	g.leave()
}
