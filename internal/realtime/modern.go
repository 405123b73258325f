package realtime

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

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
		return conn, face{
			prepare:  func(ctx context.Context) error { return h.prepareModern(ctx, conn) },
			greet:    func() []byte { return h.hello(conn) },
			receive:  func(ctx context.Context, frame []byte) { h.receiveRequest(ctx, conn, frame) },
			farewell: func() { h.closeModern(conn) },
		}, nil
	})
}

func (h *Hub) prepareModern(ctx context.Context, conn *connection) error {
	h.come(ctx, conn, deviceRoom(conn.account))
	conn.expireAt(conn.session.Expires)
	return h.topics.join(ctx, accountTopic(conn.account), conn)
}

// hello is the first frame of a connection.
func (h *Hub) hello(conn *connection) []byte {
	return encode(frames.Hello{
		Type: frames.HelloTypeHello, Account: conn.account, Session: conn.session.ID, Time: time.Now().UnixMilli(),
		Expires: conn.session.Expires.UnixMilli(), Heartbeat: int32(h.Timing.Heartbeat.Milliseconds()), //nolint:gosec // some seconds
		Limits: frames.SocketLimits{FrameBytes: h.FrameLimit, SendRate: h.SendRate, SendBurst: int32(min(h.SendBurst, math.MaxInt32))}, //nolint:gosec // it fits
	})
}

func (h *Hub) closeModern(conn *connection) {
	h.topics.leave(accountTopic(conn.account), conn)
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	h.part(ctx, conn, deviceRoom(conn.account))
	h.untune(conn)
	conn.neverExpire()
}

// expireAt closes the connection when its token expires, unless it is renewed before.
func (c *connection) expireAt(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expires = t.UnixMilli()
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	c.watchExpiry()
}

// watchExpiry makes a timer for the end of a token that doesn't outlive the next heartbeat; until then that is enough. c.mu
// is held.
func (c *connection) watchExpiry() {
	if c.expires == 0 || c.gone || c.expiry != nil {
		return
	}
	if left := time.Until(time.UnixMilli(c.expires)); left < 2*c.hub.Timing.Heartbeat {
		c.expiry = time.AfterFunc(left, func() { c.guardLocked(c.expire) })
	}
}

// expire closes the connection if its token has expired: it may have been renewed while the timer fired, or the clock been
// set back. c.mu is held.
func (c *connection) expire() {
	switch left := time.Until(time.UnixMilli(c.expires)); {
	case left <= 0:
		c.seal(int(frames.CloseCodeTokenExpired), "the token has expired", true)
	case c.expiry != nil && !c.gone:
		c.expiry.Reset(left)
	}
}

// neverExpire ends that: the connection is gone.
func (c *connection) neverExpire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Stop()
	}
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
		return frames.CloseCode(code) //nolint:gosec // four digits
	}
}

// mostJitter spreads the return of clients that a node sends away at once.
const mostJitter = 2 * time.Second

// bye is the last frame before a close of tim.v1.
func bye(code frames.CloseCode, reason string) []byte {
	comeBack := code >= frames.CloseCodeGoingAway && code < frames.CloseCodeSessionEnded
	frame := frames.Bye{Type: frames.ByeTypeBye, Code: code, Reason: reason, Reconnect: comeBack}
	if comeBack {
		after := rand.N(mostJitter).Milliseconds() //nolint:gosec // no secret
		frame.After = &after
	}
	return encode(frame)
}

// receiveRequest answers one frame of a client, exactly once, by its id.
func (h *Hub) receiveRequest(ctx context.Context, conn *connection, frame []byte) {
	ctx = h.requests.deadline.within(ctx, h.Timing.FrameTimeout)
	delay := conn.charge(1)
	if delay > 0 {
		h.refuseFast(conn, frame, delay)
		return
	}
	request, id, err := h.requests.decode(frame)
	if errors.Is(err, errNoJSON) {
		conn.shut(int(frames.CloseCodeMalformed), err.Error(), true)
		return
	}
	var answer []byte
	if err == nil {
		err = h.auth.Check(ctx, conn.session)
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
		conn.enqueue(answer)
	}
}

// refusalsPerRequest is how much faster than requests their refusals may be; beyond it the server reads slower.
const refusalsPerRequest = 10

// bytesPerToken is how much of a refused frame costs as much as a small one: it has to be parsed for its id.
const bytesPerToken = 4 << 10

// charge takes tokens for what a client asks, at most as many as it may have at once; if there are too few it takes none
// and says when to try again.
func (c *connection) charge(tokens int) time.Duration {
	if c.limiter == nil || tokens == 0 {
		return 0
	}
	now := time.Now()
	tokens = min(tokens, c.limiter.Burst())
	if c.limiter.AllowN(now, tokens) { // cheaper than a reservation, which few need
		return 0
	}
	r := c.limiter.ReserveN(now, tokens)
	delay := r.DelayFrom(now)
	if delay > 0 {
		r.Cancel()
	}
	return delay
}

// refuseFast answers a frame that came too fast. A flood of them is slowed down: else refusing would cost the others.
func (h *Hub) refuseFast(conn *connection, frame []byte, delay time.Duration) {
	id, ok := requestID(frame)
	if !ok {
		conn.shut(int(frames.CloseCodeMalformed), errNoJSON.Error(), true)
		return
	}
	conn.enqueue(encode(h.errorFrame(id, fault.Retry(fault.RateLimited, delay))))
	if conn.refusals == nil {
		conn.refusals = rate.NewLimiter(refusalsPerRequest*conn.limiter.Limit(), refusalsPerRequest*conn.limiter.Burst())
	}
	tokens := min(1+len(frame)/bytesPerToken, conn.refusals.Burst())
	conn.wait(conn.refusals.ReserveN(time.Now(), tokens).Delay())
}

// answer does what a request asks and returns its answer, encoded; nil when it has been sent already.
func (h *Hub) answer(ctx context.Context, conn *connection, request any) ([]byte, error) {
	switch r := request.(type) {
	case textSend:
		return h.answerSend(ctx, conn, r.id, r.to, r.content(), r.clientID)
	case frames.Send:
		content, err := wire.Content(r.Body, r.ReplyTo, r.Mentions)
		if err != nil {
			return nil, err
		}
		return h.answerSend(ctx, conn, r.ID, wire.Target(r.To), content, r.ClientID)
	case frames.Sync:
		return nil, h.answerSync(ctx, conn, r)
	}
	answer, err := h.answerOther(ctx, conn, request)
	if err != nil {
		return nil, err
	}
	return encode(answer), nil
}

func (h *Hub) answerOther(ctx context.Context, conn *connection, request any) (any, error) {
	switch r := request.(type) {
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

func (h *Hub) answerSend(
	ctx context.Context, conn *connection, id string, target chat.Target, content chat.Content, clientID string,
) ([]byte, error) {
	m, err := h.chat.Send(ctx, conn.account, target, content, clientID)
	if err != nil {
		return nil, err
	}
	h.sent.Inc()
	return sentFrame(id, target, m), nil
}

func (h *Hub) answerHistory(ctx context.Context, conn *connection, r frames.History) (any, error) {
	limit := defaultPage
	if r.Limit != nil {
		limit = int(*r.Limit)
	}
	page, err := wire.Page(r.After, r.Before, limit)
	if err != nil {
		return nil, err
	}
	target := wire.Target(r.Conversation)
	messages, last, err := h.chat.History(ctx, conn.account, target, page)
	if err != nil {
		return nil, err
	}
	out := frames.Page{Type: frames.PageTypePage, ID: r.ID, Last: last}
	out.Messages, err = wire.Messages(target, firstBytes(messages, page.Forward))
	return out, err
}

// firstBytes are as many of the messages as an answer holds, at least one: of a page forward the first, else the last.
func firstBytes(messages []chat.Message, forward bool) []chat.Message {
	size := 0
	for n := range messages {
		i := n
		if !forward {
			i = len(messages) - 1 - n
		}
		if size += len(messages[i].Body); size > answerBytes && n > 0 {
			if forward {
				return messages[:n]
			}
			return messages[len(messages)-n:]
		}
	}
	return messages
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
	h.publish(topic, event{Event: chat.Event{
		Kind: typing, Conversation: target.Conversation(conn.account), Account: conn.account, Group: target.Group,
	}})
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
		after := (f.RetryAfter + time.Millisecond - 1).Milliseconds() // rounded up: else whoever waits so long is too early
		out.RetryAfter = &after
	}
	return out
}
