package realtime

import (
	"context"
	"slices"

	"github.com/labstack/echo/v4"

	"tim/internal/auth"
	"tim/internal/chat"
)

// openDirect opens a one-to-one socket.
func (h *Hub) openDirect(c echo.Context) error {
	return h.accept(c, func(session auth.Session) (*connection, face, error) {
		friend, err := accountParam(c.Param("friendaccount"), "friendaccount")
		if err != nil {
			return nil, face{}, err
		}
		conn := h.newConnection(kindDirect, newID(), session)
		return conn, h.conversation(conn, chat.ToUser(friend), session.Account+notOnlineText), nil
	})
}

// openGroup opens a group's socket.
func (h *Hub) openGroup(c echo.Context) error {
	return h.accept(c, func(session auth.Session) (*connection, face, error) {
		group, err := groupParam(c.Param("GroupID"), "GroupID")
		if err != nil {
			return nil, face{}, err
		}
		conn := h.newConnection(kindGroup, newID(), session)
		return conn, h.conversation(conn, chat.ToGroup(group), notOnlineText), nil
	})
}

// conversation is the face of a conversation's socket, for an account that has a live chat socket; without one it says
// notOnline and closes.
func (h *Hub) conversation(conn *connection, target chat.Target, notOnline string) face {
	conn.target, conn.conversation = target, target.Conversation(conn.account)
	conn.ended = make(chan struct{})
	conn.streams = map[string]*stream{conn.conversation: {conversation: conn.conversation, target: target}}
	var online, entered bool
	var others []*connection
	return face{
		prepare: func(ctx context.Context) (err error) {
			online, others, err = h.prepareConversation(ctx, conn)
			if err == nil && !online {
				conn.enqueue([]byte(notOnline))
				conn.shut(closeNormal, "", false)
			}
			return err
		},
		begin: func() {
			if !online {
				return
			}
			h.settle(conn, others)
			if conn.kind == kindGroup {
				entered = true
				h.enter(conn)
			} else {
				conn.start()
			}
		},
		receive: func(ctx context.Context, frame []byte) { h.receiveMessage(ctx, conn, frame) },
		farewell: func() {
			if entered {
				h.leave(conn)
			}
		},
		release: func() { h.topics.leave(conn.topic(), conn) },
	}
}

// prepareConversation makes a connection hear of its conversation, checks its rights, and tells whether its account is
// online and which others of its sockets of this conversation are open here. It listens before it asks, so that nothing
// falls between.
func (h *Hub) prepareConversation(ctx context.Context, conn *connection) (online bool, others []*connection, err error) {
	if err := h.topics.join(ctx, conn.topic(), conn); err != nil {
		return false, nil, err
	}
	// Before the mark is read: one that isn't there any more has stored its own.
	others = slices.DeleteFunc(h.topics.of(conn.topic()), func(c *connection) bool {
		return c == conn || c.kind != conn.kind || c.account != conn.account || c.conversation != conn.conversation
	})
	opening, err := h.chat.Open(ctx, conn.account, conn.target)
	if err != nil {
		return false, nil, err
	}
	conn.resume(opening.Delivered)
	states, err := h.Presence.Online(ctx, []string{accountRoom(conn.account)})
	if err != nil {
		h.Log.Warn("presence can't be asked; a socket is admitted", "account", conn.account, "err", err)
		return true, others, nil
	}
	return states[0], others, nil
}

// topic is where a conversation's socket hears of it: a group has one of its own; what is one to one goes to both
// accounts.
func (c *connection) topic() string {
	if c.kind == kindDirect {
		return accountTopic(c.account)
	}
	return conversationTopic(c.conversation)
}

// receiveMessage stores a message. Its readers hear of it by the bus, wherever they are.
func (h *Hub) receiveMessage(ctx context.Context, conn *connection, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.FrameTimeout)
	defer cancel()
	err := h.auth.Check(ctx, conn.session)
	if err == nil {
		_, err = h.chat.Send(ctx, conn.account, conn.target, chat.TextContent(string(frame)), "")
	}
	if err != nil {
		conn.refuse(err)
		return
	}
	h.sent.Inc()
}
