package realtime

import (
	"context"
	"fmt"
	"time"

	"github.com/labstack/echo/v4"

	"tim/internal/auth"
	"tim/internal/chat"
)

func groupRoom(group int32) string { return fmt.Sprintf("g:%d", group) }

// rosterTimeout is how long a newcomer's messages wait for the frames that announce it.
const rosterTimeout = 2 * time.Second

// openDirect opens a one-to-one socket.
func (h *Hub) openDirect(c echo.Context) error {
	session, err := h.admit(c)
	if err != nil {
		return err
	}
	friend, err := accountParam(c, "friendaccount")
	if err != nil {
		return err
	}
	return h.openConversation(c, kindDirect, session, chat.ToUser(friend), session.Account+notOnlineText)
}

// openGroup opens a group's socket.
func (h *Hub) openGroup(c echo.Context) error {
	session, err := h.admit(c)
	if err != nil {
		return err
	}
	group, err := groupParam(c, "GroupID")
	if err != nil {
		return err
	}
	return h.openConversation(c, kindGroup, session, chat.ToGroup(group), notOnlineText)
}

// openConversation opens a conversation's socket for an account that has a live chat socket; without one it says
// notOnline and closes.
func (h *Hub) openConversation(c echo.Context, k kind, session auth.Session, target chat.Target, notOnline string) error {
	ctx := c.Request().Context()
	conn := h.newConnection(k, newID(), session)
	conn.target, conn.conversation = target, target.Conversation(session.Account)
	if err := h.register(ctx, conn); err != nil {
		return err
	}
	online, err := h.prepare(ctx, conn)
	if err != nil {
		h.closeConversation(conn)
		return err
	}
	if !online {
		conn.enqueue([]byte(notOnline))
		conn.shut(closeNormal, "", false)
	}
	socket, err := h.upgrade(c)
	if err != nil {
		h.closeConversation(conn)
		return err
	}
	conn.attach(socket)
	// A goroutine of its own, so that the handler's, with the stack that the handshake has grown, can end.
	go func() {
		defer h.closeConversation(conn)
		if !online {
			conn.run(context.Background(), func(context.Context, []byte) {})
			return
		}
		if k == kindGroup {
			h.enter(conn)
			defer h.leave(conn)
		} else {
			conn.start()
		}
		conn.run(context.Background(), func(ctx context.Context, frame []byte) { h.receiveMessage(ctx, conn, frame) })
	}()
	return nil
}

// prepare makes a connection hear of its conversation, checks its rights, and tells whether its account is online. It
// listens before it asks, so that nothing falls between.
func (h *Hub) prepare(ctx context.Context, conn *connection) (online bool, err error) {
	if err := h.topics.join(ctx, conversationTopic(conn.conversation), conn); err != nil {
		return false, err
	}
	if conn.kind == kindDirect { // which ends with the account's last chat socket
		if err := h.topics.join(ctx, accountTopic(conn.account), conn); err != nil {
			return false, err
		}
	}
	opening, err := h.chat.Open(ctx, conn.account, conn.target)
	if err != nil {
		return false, err
	}
	conn.resume(opening.Delivered)
	states, err := h.Presence.Online(ctx, []string{accountRoom(conn.account)})
	if err != nil {
		h.Log.Warn("presence can't be asked; a socket is admitted", "account", conn.account, "err", err)
		return true, nil
	}
	return states[0], nil
}

func (h *Hub) closeConversation(conn *connection) {
	defer h.unregister(conn)
	h.topics.leave(conversationTopic(conn.conversation), conn)
	if conn.kind == kindDirect {
		h.topics.leave(accountTopic(conn.account), conn)
	}
}

// receiveMessage stores a message. Its readers hear of it by the bus, wherever they are.
func (h *Hub) receiveMessage(ctx context.Context, conn *connection, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, frameTimeout)
	defer cancel()
	err := h.auth.Check(ctx, conn.session)
	if err == nil {
		_, err = h.chat.Send(ctx, conn.account, conn.target, chat.TextBody(string(frame)))
	}
	if err != nil {
		conn.refuse(err)
		return
	}
	h.sent.Inc()
}

// enter tells the group of an account's first socket, or its further device of the list, and then lets the messages
// flow. For the connection's own goroutine.
func (h *Hub) enter(conn *connection) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	first, err := h.Presence.Join(ctx, groupRoom(conn.target.Group), conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "group", conn.target.Group, "err", err)
	}
	roster, err := h.roster(ctx, conn, onlineList)
	if err != nil {
		h.Log.Warn("a group is not told who is online", "group", conn.target.Group, "err", err)
		conn.start()
		return
	}
	e := event{Event: chat.Event{Kind: rosterMoved}, Texts: []string{roster.list}, Socket: conn.id, Alone: !first}
	if first {
		e.Texts = []string{memberOpened(roster.self), roster.list}
	}
	time.AfterFunc(rosterTimeout, conn.start) // should the bus lose the event
	h.publish(ctx, conversationTopic(conn.conversation), e)
}

// leave tells the group of the end of an account's last socket.
func (h *Hub) leave(conn *connection) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	last, err := h.Presence.Leave(ctx, groupRoom(conn.target.Group), conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "group", conn.target.Group, "err", err)
	}
	if !last {
		return
	}
	roster, err := h.roster(ctx, conn, remainingList)
	if err != nil {
		h.Log.Warn("a group is not told who is online", "group", conn.target.Group, "err", err)
		return
	}
	h.publish(ctx, conversationTopic(conn.conversation), event{
		Event: chat.Event{Kind: rosterMoved}, Texts: []string{memberClosed(roster.self), roster.list},
	})
}

// roster is what a group is told of who is online.
type roster struct {
	self string // display name of the one who came or went
	list string
}

func (h *Hub) roster(ctx context.Context, conn *connection, list func([]string) string) (roster, error) {
	limit := h.RosterLimit
	if limit == 0 {
		limit = 1 << 20
	}
	members, total, err := h.Presence.Members(ctx, groupRoom(conn.target.Group), limit)
	if err != nil {
		return roster{}, err
	}
	names, err := h.chat.Usernames(ctx, append(members, conn.account))
	if err != nil {
		return roster{}, err
	}
	r := roster{self: names[len(names)-1], list: list(names[:len(names)-1])}
	if total > limit {
		r.list = onlineCount(total)
	}
	return r, nil
}
