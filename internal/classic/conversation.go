package classic

import (
	"context"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/delivery"
	"tim/internal/feed"
	"tim/internal/socket"
)

// Conversation is what the sockets of one conversation have in common.
type Conversation struct {
	base

	self   feed.Subscriber // the Direct or Group that this is part of
	target chat.Target
	id     string // the conversation's
	topic  string // where it hears of the conversation
	reader *delivery.Reader
	mark   mark
	ended  chan struct{} // closed when the socket has ended

	online   bool // the account had a chat socket when this one opened
	siblings []*Conversation
}

// member is a Direct or a Group.
type member interface {
	socket.Handler
	feed.Subscriber
}

func (c *Conversation) init(s *Service, session auth.Session, t chat.Target, k *delivery.Kind, self member) {
	c.base = base{service: s, session: session}
	c.self, c.target, c.id = self, t, t.Conversation(session.Account)
	c.ended = make(chan struct{})
	c.conn = s.Sockets.NewConn(newID(), session.Account, self)
	c.reader = delivery.NewReader(k, c.conn, session.Account)
	c.reader.Open(c.id, t)
}

// Common is what it is named for: of a Direct or a Group, the part that both have.
func (c *Conversation) Common() *Conversation { return c }

// Prepare makes the socket hear of its conversation, checks the account's rights, and looks whether it is online and which of
// its other sockets of this conversation are open here. It subscribes before it asks, so that no event is missed.
func (c *Conversation) Prepare(ctx context.Context) error {
	s := c.service
	if err := s.Feed.Join(ctx, c.topic, c.self); err != nil {
		return err
	}
	c.siblings = c.findSiblings() // before the mark is read: one that isn't there any more has stored its own
	opening, err := s.Chat.Open(ctx, c.account(), c.target)
	if err != nil {
		return err
	}
	c.resume(opening.Delivered)
	if c.online, err = s.Presence.HasChat(ctx, c.account()); err != nil {
		s.Log.Debug("presence can't be asked; a socket is admitted", "account", c.account(), "err", err)
		c.online = true
	}
	return nil
}

// refuseOffline says that the account has no chat socket, and closes.
func (c *Conversation) refuseOffline(frame []byte) {
	c.conn.Send(frame)
	c.conn.Close(socket.Normal, "")
}

// resume has the messages begin after a seq that was confirmed. Before they flow.
func (c *Conversation) resume(delivered int64) {
	c.reader.Resume(c.id, delivered)
	c.mark.resume(delivered)
}

// start lets the messages flow, those missed first.
func (c *Conversation) start() { c.reader.Start(c.id) }

// MessageStored implements feed.Subscriber.
func (c *Conversation) MessageStored(n *feed.Announcement, e *feed.MessageStored) {
	c.reader.Offer(n, e)
}

// More implements socket.Handler.
func (c *Conversation) More() bool { return c.reader.More() }

// Text implements socket.Handler: it stores a message. Its readers hear of it by the bus, wherever they are.
func (c *Conversation) Text(ctx context.Context, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, c.service.Timing.FrameTimeout)
	defer cancel()
	err := c.service.Auth.Check(ctx, c.session)
	if err == nil {
		_, err = c.service.Chat.Send(ctx, c.account(), c.target, chat.TextContent(string(frame)), "")
	}
	if err != nil {
		c.Refuse(err)
		return
	}
	c.service.Stored.Inc()
}

// PeerClosed implements socket.Handler: what was written before a clean close has been read. The mark is stored before
// our answer goes out, so that a client that comes back after it gets nothing twice.
func (c *Conversation) PeerClosed(clean bool) {
	if clean {
		c.confirmWritten()
	}
	c.store()
}

// end stores the mark for the last time and stops what would be done later.
func (c *Conversation) end() {
	c.stopMark()
	c.reader.Stop()
	c.store()
}

// release ends the subscription, and tells those who wait for this socket's end.
func (c *Conversation) release() {
	c.service.Feed.Leave(c.topic, c.self)
	close(c.ended)
}
