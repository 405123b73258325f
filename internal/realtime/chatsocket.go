package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"tim/gen/frames"
	"tim/internal/chat"
)

// everyone addresses all that the sender may see.
const everyone = "all"

// leaveText only closes the socket.
const leaveText = "out"

// frameTimeout bounds what a client's frame may take; it covers a group commit and its retries.
const frameTimeout = 35 * time.Second

func accountRoom(account string) string { return "u:" + account }

// openChat opens the chat socket, which makes its account online. Everything that the client may rely on is in place
// before it hears of success.
func (h *Hub) openChat(c echo.Context) error {
	session, err := h.admit(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	conn := h.newConnection(kindChat, newID(), session)
	if err := h.register(ctx, conn); err != nil {
		return err
	}
	h.goOnline(ctx, conn)
	err = h.greet(ctx, conn)
	if err == nil {
		err = h.topics.join(ctx, accountTopic(conn.account), conn)
	}
	if err != nil {
		h.closeChat(conn)
		return err
	}
	socket, err := h.upgrade(c)
	if err != nil {
		h.closeChat(conn)
		return err
	}
	conn.attach(socket)
	// A goroutine of its own, so that the handler's, with the stack that the handshake has grown, can end.
	go func() {
		defer h.closeChat(conn)
		conn.run(context.Background(), func(ctx context.Context, frame []byte) { h.receiveText(ctx, conn, frame) })
	}()
	return nil
}

func (h *Hub) goOnline(ctx context.Context, conn *connection) {
	if _, err := h.Presence.Join(ctx, accountRoom(conn.account), conn.account, conn.id); err != nil {
		h.Log.Warn("presence will be told later", "account", conn.account, "err", err)
	}
}

// greet queues the first two frames.
func (h *Hub) greet(ctx context.Context, conn *connection) error {
	visible, err := h.chat.VisibleOnline(ctx, conn.account)
	if err != nil {
		return err
	}
	conn.enqueue(connected())
	conn.enqueue(onlineUsers(append([]string{conn.account}, visible...)))
	return nil
}

// closeChat takes back what openChat began. With an account's last chat socket go its one-to-one sockets, on every node.
func (h *Hub) closeChat(conn *connection) {
	defer h.unregister(conn)
	h.topics.leave(accountTopic(conn.account), conn)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	last, err := h.Presence.Leave(ctx, accountRoom(conn.account), conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "account", conn.account, "err", err)
		last = !h.topics.has(accountTopic(conn.account), kindChat)
	}
	if last {
		h.publish(ctx, accountTopic(conn.account), event{Event: chat.Event{Kind: wentOffline, Account: conn.account}})
	}
}

// receiveText takes a transient text: to one account or to all that the sender may see. Who is not online, or not to be
// seen, doesn't get it, and the sender isn't told, as in the original.
func (h *Hub) receiveText(ctx context.Context, conn *connection, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, frameTimeout)
	defer cancel()
	if err := h.auth.Check(ctx, conn.session); err != nil {
		conn.refuse(err)
		return
	}
	text, problem := h.decodeText(frame)
	switch {
	case problem != "":
		conn.shut(closeInvalid, problem, true)
		return
	case text.Text == leaveText:
		conn.shut(closeNormal, "", false)
		return
	case text.To == nil:
		conn.shut(closeInvalid, "to is missing", true)
		return
	}
	readers, err := h.readers(ctx, conn.account, *text.To)
	if err != nil {
		conn.refuse(err)
		return
	}
	for _, reader := range readers {
		h.publish(ctx, accountTopic(reader), event{Event: chat.Event{Kind: textSent, Account: conn.account}, Text: text.Text})
	}
}

// readers are the accounts that a transient text goes to.
func (h *Hub) readers(ctx context.Context, from, to string) ([]string, error) {
	if to == everyone {
		visible, err := h.chat.VisibleOnline(ctx, from)
		return append(visible, from), err
	}
	visible, err := h.chat.MaySee(ctx, from, to)
	if err != nil || !visible {
		return nil, err
	}
	return []string{chat.Normal(to)}, nil
}

// decodeText checks a frame against its schema and decodes it. The problem says what is wrong, in few words: a close
// frame holds 123 bytes.
func (h *Hub) decodeText(frame []byte) (text frames.DirectText, problem string) {
	var value any
	if err := json.Unmarshal(frame, &value); err != nil {
		return text, "not JSON"
	}
	if err := h.directText.VisitJSON(value); err != nil {
		var schema *openapi3.SchemaError
		if errors.As(err, &schema) {
			problem = strings.Join(append(schema.JSONPointer(), schema.Reason), " ")
			return text, problem[:min(len(problem), 100)]
		}
		return text, "not as the schema has it"
	}
	if err := json.Unmarshal(frame, &text); err != nil {
		return text, "not as the schema has it"
	}
	return text, ""
}
