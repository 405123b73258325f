package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/fault"
	"tim/internal/wire"
)

// defaultPage is how many messages a history frame gets that asks for no number.
const defaultPage = 50

// openModern opens a socket of tim.v1: one connection for everything.
func (h *Hub) openModern(c echo.Context) error {
	if !slices.Contains(websocket.Subprotocols(c.Request()), subprotocol) && websocket.IsWebSocketUpgrade(c.Request()) {
		return fault.Invalid(fault.InvalidParameter, "Sec-WebSocket-Protocol", "must contain "+subprotocol)
	}
	return h.accept(c, func(session auth.Session) (*connection, face, error) {
		conn := h.newConnection(kindModern, newID(), session)
		conn.streams = make(map[string]*stream)
		return conn, face{
			prepare:  func(ctx context.Context) error { return h.prepareModern(ctx, conn) },
			receive:  func(ctx context.Context, frame []byte) { h.receiveRequest(ctx, conn, frame) },
			farewell: func() { h.closeModern(conn) },
		}, nil
	})
}

func (h *Hub) prepareModern(ctx context.Context, conn *connection) error {
	h.come(ctx, conn, deviceRoom(conn.account))
	conn.enqueue(encode(frames.Hello{
		Type: frames.HelloTypeHello, Account: conn.account, Session: conn.session.ID, Time: time.Now().UnixMilli(),
		Expires: conn.session.Expires.UnixMilli(), Heartbeat: int32(h.Timing.Heartbeat.Milliseconds()),
		Limits: frames.SocketLimits{FrameBytes: h.FrameLimit, SendRate: h.SendRate, SendBurst: int32(h.SendBurst)},
	}))
	conn.expireAt(conn.session.Expires)
	return h.topics.join(ctx, accountTopic(conn.account), conn)
}

func (h *Hub) closeModern(conn *connection) {
	h.topics.leave(accountTopic(conn.account), conn)
	for _, name := range conn.joined() {
		h.topics.leave(name, conn)
	}
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	h.part(ctx, conn, deviceRoom(conn.account))
}

// expireAt closes the connection when its token expires, unless it is renewed before.
func (c *connection) expireAt(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Reset(time.Until(t))
		return
	}
	c.expiry = time.AfterFunc(time.Until(t), func() { c.shut(int(frames.CloseCodeTokenExpired), "the token has expired", true) })
}

// modernClose is what the contract's close codes are on tim.v1, whose codes say whether to come back.
func modernClose(code int, reason string) frames.CloseCode {
	switch code {
	case closeGoingAway:
		return frames.CloseCodeGoingAway
	case closeTryLater:
		if reason == tooSlow {
			return frames.CloseCodeTooSlow
		}
		return frames.CloseCodeComeBackLater
	case closeInternal:
		return frames.CloseCodeServerFault
	case closePolicy:
		return frames.CloseCodeSessionEnded
	default:
		return frames.CloseCode(code)
	}
}

// mostJitter spreads the return of clients that a node sends away at once.
const mostJitter = 2 * time.Second

// bye is the last frame before a close of tim.v1.
func bye(code frames.CloseCode, reason string) []byte {
	frame := frames.Bye{Type: frames.ByeTypeBye, Code: code, Reason: reason, Reconnect: code < frames.CloseCodeSessionEnded}
	if frame.Reconnect {
		after := rand.N(mostJitter).Milliseconds()
		frame.After = &after
	}
	return encode(frame)
}

// receiveRequest answers one frame of a client, exactly once, by its id.
func (h *Hub) receiveRequest(ctx context.Context, conn *connection, frame []byte) {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.FrameTimeout)
	defer cancel()
	request, id, err := h.requests.decode(frame)
	if errors.Is(err, errNoJSON) {
		conn.shut(int(frames.CloseCodeMalformed), err.Error(), true)
		return
	}
	var answer any
	if err == nil {
		err = h.admitRequest(ctx, conn)
	}
	if err == nil {
		answer, err = h.answer(ctx, conn, request)
	}
	switch {
	case fault.Is(err, fault.SessionEnded):
		conn.refuse(err)
	case err != nil:
		conn.enqueue(encode(h.errorFrame(id, err)))
	case answer != nil:
		conn.enqueue(encode(answer))
	}
}

// admitRequest checks what every request needs: a live session, and that the client isn't too fast.
func (h *Hub) admitRequest(ctx context.Context, conn *connection) error {
	if conn.limiter != nil {
		r := conn.limiter.Reserve()
		if delay := r.Delay(); delay > 0 {
			r.Cancel()
			return fault.Retry(fault.RateLimited, delay)
		}
	}
	return h.auth.Check(ctx, conn.session)
}

// answer does what a request asks; nil when the answer has been sent already.
func (h *Hub) answer(ctx context.Context, conn *connection, request any) (any, error) {
	switch r := request.(type) {
	case frames.Send:
		return h.answerSend(ctx, conn, r)
	case frames.Sync:
		return nil, h.answerSync(ctx, conn, r)
	case frames.History:
		return h.answerHistory(ctx, conn, r)
	case frames.Received:
		return h.answerMark(ctx, conn, r.ID, r.Conversation, chat.Marks{Received: r.Seq})
	case frames.Read:
		return h.answerMark(ctx, conn, r.ID, r.Conversation, chat.Marks{Read: r.Seq})
	case frames.Typing:
		return h.answerTyping(ctx, conn, r)
	case frames.Subscribe:
		return h.answerSubscribe(ctx, conn, r)
	case frames.Renew:
		return h.answerRenew(ctx, conn, r)
	case frames.Ping:
		return frames.Pong{Type: frames.PongTypePong, ID: r.ID, Time: time.Now().UnixMilli()}, nil
	default:
		return nil, fault.New(fault.Internal)
	}
}

func (h *Hub) answerSend(ctx context.Context, conn *connection, r frames.Send) (any, error) {
	content, err := wire.Content(r.Body, r.ReplyTo, r.Mentions)
	if err != nil {
		return nil, err
	}
	target := wire.Target(r.To)
	m, err := h.chat.Send(ctx, conn.account, target, content, r.ClientID)
	if err != nil {
		return nil, err
	}
	h.sent.Inc()
	return frames.Sent{Type: frames.SentTypeSent, ID: r.ID, Conversation: wire.FromTarget(target), Seq: m.Seq, Time: m.SentAt}, nil
}

func (h *Hub) answerHistory(ctx context.Context, conn *connection, r frames.History) (any, error) {
	page := chat.Page{Limit: defaultPage}
	if r.Limit != nil {
		page.Limit = int(*r.Limit)
	}
	switch {
	case r.After != nil:
		page.Forward, page.From = true, *r.After
	case r.Before != nil:
		page.From = *r.Before
	}
	target := wire.Target(r.Conversation)
	messages, last, err := h.chat.History(ctx, conn.account, target, page)
	if err != nil {
		return nil, err
	}
	out := frames.Page{Type: frames.PageTypePage, ID: r.ID, Last: last}
	out.Messages, err = wire.Messages(target, messages)
	return out, err
}

func (h *Hub) answerMark(ctx context.Context, conn *connection, id string, conversation api.Target, m chat.Marks) (any, error) {
	m, err := h.chat.Mark(ctx, conn.account, wire.Target(conversation), m)
	if err != nil {
		return nil, err
	}
	return frames.Marked{Type: frames.MarkedTypeMarked, ID: id, Received: m.Received, Read: m.Read}, nil
}

func (h *Hub) answerTyping(ctx context.Context, conn *connection, r frames.Typing) (any, error) {
	target := wire.Target(r.Conversation)
	if err := h.chat.MayWrite(ctx, conn.account, target); err != nil {
		return nil, err
	}
	topic := accountTopic(target.User)
	if target.Group != 0 {
		topic = conversationTopic(target.Conversation(conn.account))
	}
	h.publish(ctx, topic, event{Event: chat.Event{Kind: typing, Account: conn.account, Group: target.Group}})
	return frames.Done{Type: frames.DoneTypeDone, ID: r.ID}, nil
}

func (h *Hub) answerRenew(ctx context.Context, conn *connection, r frames.Renew) (any, error) {
	token, expires, err := h.auth.Renew(ctx, conn.session)
	if err != nil {
		return nil, err
	}
	conn.expireAt(expires)
	return frames.Renewed{Type: frames.RenewedTypeRenewed, ID: r.ID, Token: token, Expires: expires.UnixMilli()}, nil
}

// errorFrame is the answer to a request that is refused, with the reasons of the REST envelope.
func (h *Hub) errorFrame(id string, err error) frames.Error {
	f, known := errors.AsType[*fault.Fault](err)
	if !known {
		f = fault.Wrap(fault.Internal, err)
		if h.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			f = fault.Wrap(fault.Unavailable, err)
		}
		h.Log.Error("request failed", "err", err)
	}
	out := frames.Error{Type: frames.ErrorTypeError, Reason: api.Reason(f.Reason), Message: f.Text("").In(fault.English)}
	if id != "" {
		out.ID = &id
	}
	if f.Field != "" {
		out.Field, out.Problem = &f.Field, &f.Problem
	}
	if f.RetryAfter > 0 {
		after := max(1, f.RetryAfter.Milliseconds())
		out.RetryAfter = &after
	}
	return out
}

// requests checks frames of clients against their schemas and decodes them.
type requests struct{ schemas map[string]*openapi3.Schema }

var errNoJSON = errors.New("a frame is no JSON object")

func newRequests(spec *openapi3.T) *requests {
	r := &requests{schemas: make(map[string]*openapi3.Schema)}
	for kind, ref := range spec.Components.Schemas["ClientFrame"].Value.Discriminator.Mapping {
		r.schemas[kind] = spec.Components.Schemas[ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]].Value
	}
	return r
}

// decode returns the request that a frame is, as its generated type, and its id, also of a bad one if it has one.
func (r *requests) decode(frame []byte) (request any, id string, err error) {
	var value map[string]any
	if err := json.Unmarshal(frame, &value); err != nil || value == nil {
		return nil, "", errNoJSON
	}
	if text, ok := value["id"].(string); ok && len(text) <= maxRequestID {
		id = text
	}
	kind, _ := value["type"].(string)
	schema, ok := r.schemas[kind]
	if !ok {
		return nil, printable(id), fault.Invalid(fault.InvalidBody, "type", "must be one of "+strings.Join(r.kinds(), ", "))
	}
	if err := schema.VisitJSON(value); err != nil {
		return nil, printable(id), invalidFrame(err)
	}
	var union frames.ClientFrame
	if err := union.UnmarshalJSON(frame); err != nil {
		return nil, id, errNoJSON
	}
	request, err = union.ValueByDiscriminator()
	if err != nil {
		return nil, id, fault.Invalid(fault.InvalidBody, "frame", "a number must be an integer and written so")
	}
	return request, id, nil
}

const maxRequestID = 64

// printable is an id that the schema allows, "" for another: what a client sends comes back as it was or not at all.
func printable(id string) string {
	if strings.ContainsFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return ""
	}
	return id
}

func (r *requests) kinds() []string {
	kinds := make([]string, 0, len(r.schemas))
	for kind := range r.schemas {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// invalidFrame names the field that the schema refuses.
func invalidFrame(err error) error {
	wrong, ok := errors.AsType[*openapi3.SchemaError](err)
	if !ok {
		return fault.Invalid(fault.InvalidBody, "frame", "is not as its schema has it")
	}
	field := strings.Join(wrong.JSONPointer(), ".")
	if field == "" {
		field = "frame"
	}
	return fault.Invalid(fault.InvalidBody, field, wrong.Reason)
}
