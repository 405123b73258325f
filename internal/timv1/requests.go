package timv1

import (
	"context"
	"errors"
	"time"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/socket"
	"tim/internal/wire"
)

// defaultPage is how many messages a history frame gets that asks for no number.
const defaultPage = 50

// Text implements socket.Handler: it answers a frame of a client exactly once, by its id. A client that sends too fast is
// read more slowly.
func (s *Session) Text(ctx context.Context, frame []byte) {
	defer s.conn.Pause(1)
	ctx = s.service.deadline.Within(ctx, s.service.Timing.FrameTimeout)
	request, id, err := s.service.requests.decode(frame)
	if errors.Is(err, errNoJSON) {
		s.conn.Abort(socket.Code(codeMalformed), err.Error())
		return
	}
	var answer []byte
	if err == nil {
		err = s.service.Auth.Check(ctx, s.session)
	}
	if err == nil {
		answer, err = s.answer(ctx, request)
	}
	switch {
	case fault.Is(err, fault.SessionEnded):
		s.Refuse(err)
	case err != nil:
		s.conn.Send(encode(s.service.errorFrame(id, err)))
	case answer != nil:
		s.conn.Send(answer)
	}
}

// answer does what a request asks and returns its answer, encoded; nil when it has been sent already.
func (s *Session) answer(ctx context.Context, request any) ([]byte, error) {
	switch r := request.(type) {
	case textSend:
		return s.answerSend(ctx, r.id, r.to, r.content(), r.clientID)
	case frames.Send:
		content, err := wire.Content(r.Body, r.ReplyTo, r.Mentions)
		if err != nil {
			return nil, err
		}
		return s.answerSend(ctx, r.ID, wire.Target(r.To), content, r.ClientID)
	case frames.Sync:
		return nil, s.answerSync(ctx, r)
	}
	answer, err := s.answerOther(ctx, request)
	if err != nil {
		return nil, err
	}
	return encode(answer), nil
}

func (s *Session) answerOther(ctx context.Context, request any) (any, error) {
	switch r := request.(type) {
	case frames.History:
		return s.answerHistory(ctx, r)
	case frames.Received:
		return s.answerMark(ctx, r.ID, r.Conversation, chat.Marks{Received: r.Seq})
	case frames.Read:
		return s.answerMark(ctx, r.ID, r.Conversation, chat.Marks{Read: r.Seq})
	case frames.Typing:
		return s.answerTyping(ctx, r)
	case frames.Subscribe:
		return s.answerSubscribe(ctx, r)
	case frames.Renew:
		return s.answerRenew(ctx, r)
	case frames.Ping:
		return frames.Pong{Type: frames.PongTypePong, ID: r.ID, Time: time.Now().UnixMilli()}, nil
	default:
		return nil, fault.New(fault.Internal)
	}
}

func (s *Session) answerSend(
	ctx context.Context, id string, target chat.Target, content chat.Content, clientID string,
) ([]byte, error) {
	m, err := s.service.Chat.Send(ctx, s.account(), target, content, clientID)
	if err != nil {
		return nil, err
	}
	s.service.Stored.Inc()
	return sentFrame(id, target, m), nil
}

func (s *Session) answerHistory(ctx context.Context, r frames.History) (any, error) {
	limit := defaultPage
	if r.Limit != nil {
		limit = int(*r.Limit)
	}
	page, err := wire.Page(r.After, r.Before, limit)
	if err != nil {
		return nil, err
	}
	target := wire.Target(r.Conversation)
	messages, last, err := s.service.Chat.History(ctx, s.account(), target, page)
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

func (s *Session) answerMark(ctx context.Context, id string, conversation api.Target, m chat.Marks) (any, error) {
	m, err := s.service.Chat.Mark(ctx, s.account(), wire.Target(conversation), m)
	if err != nil {
		return nil, err
	}
	return frames.Marked{Type: frames.MarkedTypeMarked, ID: id, Received: m.Received, Read: m.Read}, nil
}

func (s *Session) answerTyping(ctx context.Context, r frames.Typing) (any, error) {
	target := wire.Target(r.Conversation)
	if err := s.service.Chat.MayWrite(ctx, s.account(), target); err != nil {
		return nil, err
	}
	s.service.Feed.Publish(&feed.Typing{
		Sides: feed.Sides{Group: target.Group, Accounts: sides(s.account(), target)}, Conversation: target.Conversation(s.account()), Account: s.account(),
	})
	return frames.Done{Type: frames.DoneTypeDone, ID: r.ID}, nil
}

func (s *Session) answerRenew(ctx context.Context, r frames.Renew) (any, error) {
	token, expires, err := s.service.Auth.Renew(ctx, s.session)
	if err != nil {
		return nil, err
	}
	s.expireAt(expires)
	return frames.Renewed{Type: frames.RenewedTypeRenewed, ID: r.ID, Token: token, Expires: expires.UnixMilli()}, nil
}

// errorFrame is the answer to a request that is refused, with the reasons of the REST envelope.
func (s *Service) errorFrame(id string, err error) frames.Error {
	f, known := errors.AsType[*fault.Fault](err)
	if !known {
		f = fault.Wrap(fault.Internal, err)
		if s.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			f = fault.Wrap(fault.Unavailable, err)
		}
		s.Log.Error("request failed", "err", err)
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

// sides are both accounts of a one-to-one conversation, nobody of a group.
func sides(account string, t chat.Target) []string {
	if t.Group != 0 {
		return nil
	}
	return []string{account, t.User}
}
