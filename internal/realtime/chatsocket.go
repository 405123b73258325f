package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"tim/gen/frames"
	"tim/internal/auth"
	"tim/internal/chat"
)

// everyone addresses all that the sender may see.
const everyone = "all"

// leaveText only closes the socket.
const leaveText = "out"

// maxProblem bounds what a close frame, which holds 123 bytes, says of a bad frame.
const maxProblem = 100

// openChat opens the chat socket, which makes its account online. Everything that the client may rely on is in place
// before it hears of success.
func (h *Hub) openChat(c echo.Context) error {
	return h.accept(c, func(session auth.Session) (*connection, face, error) {
		conn := h.newConnection(kindChat, newID(), session)
		return conn, face{
			prepare:  func(ctx context.Context) error { return h.prepareChat(ctx, conn) },
			receive:  func(ctx context.Context, frame []byte) { h.receiveText(ctx, conn, frame) },
			farewell: func() { h.closeChat(conn) },
		}, nil
	})
}

// prepareChat makes the account online and queues the first two frames.
func (h *Hub) prepareChat(ctx context.Context, conn *connection) error {
	h.come(ctx, conn, accountRoom(conn.account))
	visible, err := h.chat.VisibleOnline(ctx, conn.account)
	if err != nil {
		return err
	}
	conn.enqueue(connected())
	conn.enqueue(onlineUsers(append([]string{conn.account}, visible...)))
	return h.topics.join(ctx, accountTopic(conn.account), conn)
}

// closeChat takes back what prepareChat did. With an account's last chat socket go its one-to-one sockets, on every
// node.
func (h *Hub) closeChat(conn *connection) {
	h.topics.leave(accountTopic(conn.account), conn)
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	if h.part(ctx, conn, accountRoom(conn.account)) {
		h.publish(accountTopic(conn.account), event{Event: chat.Event{Kind: wentOffline, Account: conn.account}})
	}
}

// receiveText takes a transient text: to one account or to all that the sender may see. Who is not online, or not to be
// seen, doesn't get it, and the sender isn't told, as in the original.
func (h *Hub) receiveText(ctx context.Context, conn *connection, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.FrameTimeout)
	defer cancel()
	if err := h.auth.Check(ctx, conn.session); err != nil {
		conn.refuse(err)
		return
	}
	text, problem := decodeText(h.directText, frame)
	switch {
	case problem != "":
		conn.shut(closeInvalid, problem, true)
		return
	case text.Text == leaveText:
		conn.farewell()
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
		h.publish(accountTopic(reader), event{Event: chat.Event{Kind: textSent, Account: conn.account}, Text: text.Text})
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

// clipped is as much of a problem as fits into a close frame.
func clipped(problem string) string {
	return strings.ToValidUTF8(problem[:min(len(problem), maxProblem)], "")
}

// decodeText checks a frame against its schema and decodes it. The problem says what is wrong, in few words.
func decodeText(schema *openapi3.Schema, frame []byte) (text frames.DirectText, problem string) {
	const mismatch = "not as the schema has it"
	var value any
	if err := json.Unmarshal(frame, &value); err != nil {
		return text, "not JSON"
	}
	if err := schema.VisitJSON(value); err != nil {
		if wrong, ok := errors.AsType[*openapi3.SchemaError](err); ok {
			problem = strings.Join(append(wrong.JSONPointer(), wrong.Reason), " ")
			return text, clipped(problem)
		}
		return text, mismatch
	}
	if err := json.Unmarshal(frame, &text); err != nil {
		return text, mismatch
	}
	return text, ""
}
