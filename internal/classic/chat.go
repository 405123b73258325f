package classic

import (
	"context"
	"sync"

	"tim/gen/sockets"
	"tim/internal/account"
	"tim/internal/auth"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/presence"
	"tim/internal/schema"
	"tim/internal/socket"
)

// readersPerFrame is how many readers of a text make it count as one frame more.
const readersPerFrame = 16

// leaveText only closes the socket.
const leaveText = "out"

// Chat is a chat socket, which makes its account online.
type Chat struct {
	base

	left sync.Once // see leave
}

// NewChat returns a chat socket of a session.
func (s *Service) NewChat(session auth.Session) *Chat {
	c := &Chat{base: base{service: s, session: session}}
	c.conn = s.Sockets.NewConn(newID(), session.Account, c)
	return c
}

// Kind names this kind of socket in metrics.
func (c *Chat) Kind() string { return "chat" }

// MakesOnline marks it for package presence.
func (c *Chat) MakesOnline() {}

// Prepare makes the account online and queues the first two frames. Everything that the client may rely on is in place before
// it hears of success.
func (c *Chat) Prepare(ctx context.Context) error {
	s := c.service
	s.Presence.Enter(ctx, presence.ChatRoom(c.account()), c.account(), c.conn.ID())
	visible, err := s.Chat.VisibleOnline(ctx, c.account())
	if err != nil {
		return err
	}
	c.conn.Send(connected())
	c.conn.Send(onlineUsers(append([]string{c.account()}, visible...)))
	return s.Feed.Join(ctx, feed.AccountTopic(c.account()), c)
}

// Begin has nothing to do.
func (c *Chat) Begin() func() { return nil }

// TextSent implements feed.Subscriber.
func (c *Chat) TextSent(n *feed.Announcement, e *feed.TextSent) {
	if n.Frames[feed.Contract] == nil {
		n.Frames[feed.Contract] = directText(e.From, e.Text)
	}
	c.conn.Send(n.Frames[feed.Contract])
}

// PeerClosed implements socket.Handler.
func (c *Chat) PeerClosed(bool) { c.leave() }

// Closed implements socket.Handler.
func (c *Chat) Closed() { c.leave() }

// leave takes back what Prepare did, however far that came. With an account's last chat socket go its one-to-one sockets, on
// every node. When the client hears that its socket is closed, it may rely on that.
func (c *Chat) leave() {
	c.left.Do(func() {
		s := c.service
		s.Feed.Leave(feed.AccountTopic(c.account()), c)
		ctx, cancel := s.within()
		defer cancel()
		last, err := s.Presence.Leave(ctx, presence.ChatRoom(c.account()), c.account(), c.conn.ID())
		if err != nil { // then this node's own count
			last = !c.hasSibling()
		}
		if last {
			s.Feed.Publish(&feed.WentOffline{Account: c.account()})
		}
	})
}

// hasSibling tells whether the account has another chat socket on this node.
func (c *Chat) hasSibling() bool {
	for _, s := range c.service.Feed.Subscribers(feed.AccountTopic(c.account())) {
		if _, ok := s.(*Chat); ok {
			return true
		}
	}
	return false
}

// decodeText reads a client's frame. Where a value isn't a string its JSON is the string, as with the original.
func decodeText(frame []byte) (sockets.DirectText, error) {
	text, err := sockets.DecodeDirectText(frame)
	if err == nil {
		return text, nil
	}
	lenient := schema.Lenient{Fields: map[string]schema.Lenience{"to": {Any: true}, "text": {Any: true}}}
	return sockets.DecodeDirectText(lenient.Convert(frame))
}

// Text implements socket.Handler: a transient text, to one account or to all that the sender may see. An account
// that is offline, or that the sender may not text, doesn't get it, and the sender isn't told, as in the original.
func (c *Chat) Text(ctx context.Context, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, c.service.Timing.FrameTimeout)
	defer cancel()
	if err := c.service.Auth.Check(ctx, c.session); err != nil {
		c.Refuse(err)
		return
	}
	text, err := decodeText(frame)
	switch {
	case err != nil:
		c.conn.Abort(socket.Invalid, problemOf(err))
		return
	case text.Text == leaveText:
		c.leave()
		c.conn.Close(socket.Normal, "")
		return
	case text.To == "":
		c.conn.Abort(socket.Invalid, "to "+schema.Missing)
		return
	}
	readers, err := c.readers(ctx, text.To)
	if err != nil {
		c.Refuse(err)
		return
	}
	c.conn.Count(len(readers) / readersPerFrame)
	for _, reader := range readers {
		c.service.Feed.Publish(&feed.TextSent{From: c.account(), To: reader, Text: text.Text})
	}
}

// readers are the accounts that a transient text goes to.
func (c *Chat) readers(ctx context.Context, to string) ([]string, error) {
	if to == account.Everyone {
		visible, err := c.service.Chat.VisibleOnline(ctx, c.account())
		return append(visible, c.account()), err
	}
	may, err := c.service.Chat.MayText(ctx, c.account(), to)
	if err != nil || !may {
		return nil, err
	}
	return []string{account.Normal(to)}, nil
}

// problemOf says in few words what is wrong with a frame.
func problemOf(err error) string {
	f := fault.From(err)
	switch {
	case f.Reason == fault.MalformedJSON:
		return "not JSON"
	case f.Field == "frame":
		return f.Problem
	default:
		return f.Field + " " + f.Problem
	}
}
