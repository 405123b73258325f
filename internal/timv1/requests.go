package timv1

import (
	"cmp"
	"context"
	"errors"
	"time"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/feed"
	"tim/internal/schema"
	"tim/internal/socket"
	"tim/internal/wire"
)

// defaultPage is how many messages a history frame gets that asks for no number.
const defaultPage = 50

// Text implements socket.Handler: it answers a frame of a client exactly once, by its id. A client that sends too fast is
// read more slowly; what is much work counts as more than one frame.
func (s *Session) Text(ctx context.Context, frame []byte) {
	ctx = s.service.deadline.Within(ctx, s.service.Timing.FrameTimeout)
	request, id, err := sockets.DecodeTimV1(frame)
	if errors.Is(err, schema.ErrNoObject) {
		s.conn.Abort(socket.Code(sockets.TimV1CloseMalformed), err.Error())
		return
	}
	if err == nil {
		err = s.service.Auth.Check(ctx, s.session)
	}
	if err == nil {
		err = sockets.TimV1Dispatch(ctx, s, request)
	}
	switch {
	case auth.HasEnded(err):
		s.Refuse(err)
	case err != nil:
		s.conn.Send(s.service.errorFrame(id, err))
	}
}

const (
	// syncFrames is how many frames more a sync counts as, and historyFrames a history: what they ask of the database is that
	// much more than what other requests do.
	syncFrames, historyFrames = 4, 2
	// answerBytesPerFrame is how many bytes of an answer make its request count as one frame more.
	answerBytesPerFrame = 8 << 10
)

// Answer implements sockets.TimV1.
func (s *Session) Answer(frame []byte) {
	s.conn.Count(len(frame) / answerBytesPerFrame)
	s.conn.Send(frame)
}

// Send implements sockets.TimV1.
func (s *Session) Send(ctx context.Context, r *sockets.Send) (sockets.Sent, error) {
	content := chat.Content{Body: r.Body.JSON, ReplyTo: r.ReplyTo, Mentions: r.Mentions}
	to := target(r.To)
	m, err := s.service.Chat.Send(ctx, s.account(), to, content, r.ClientID)
	if err != nil {
		return sockets.Sent{}, err
	}
	s.service.Stored.Inc()
	return sockets.Sent{Conversation: named(to), Seq: m.Seq, Time: m.SentAt}, nil
}

// History implements sockets.TimV1.
func (s *Session) History(ctx context.Context, r *sockets.History) (sockets.Page, error) {
	s.conn.Count(historyFrames)
	page, err := wire.Page(r.After, r.Before, cmp.Or(int(r.Limit), defaultPage))
	if err != nil {
		return sockets.Page{}, err
	}
	of := target(r.Conversation)
	excerpt, err := s.service.Chat.History(ctx, s.account(), of, page)
	if err != nil {
		return sockets.Page{}, err
	}
	messages := firstBytes(excerpt.Messages, page.Forward)
	out := sockets.Page{First: excerpt.First, Last: excerpt.Last, Messages: make([]sockets.Message, len(messages))}
	for i, m := range messages {
		out.Messages[i] = message(of, m)
	}
	return out, nil
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

// Received implements sockets.TimV1.
func (s *Session) Received(ctx context.Context, r *sockets.Received) (sockets.Marked, error) {
	return s.mark(ctx, r.Conversation, chat.Marks{Received: r.Seq})
}

// Read implements sockets.TimV1.
func (s *Session) Read(ctx context.Context, r *sockets.Read) (sockets.Marked, error) {
	return s.mark(ctx, r.Conversation, chat.Marks{Read: r.Seq})
}

func (s *Session) mark(ctx context.Context, of sockets.Target, m chat.Marks) (sockets.Marked, error) {
	m, err := s.service.Chat.Mark(ctx, s.account(), target(of), m)
	return sockets.Marked{Received: m.Received, Read: m.Read}, err
}

// Typing implements sockets.TimV1.
func (s *Session) Typing(ctx context.Context, r *sockets.Typing) (sockets.Done, error) {
	to := target(r.Conversation)
	if err := s.service.Chat.MayWrite(ctx, s.account(), to); err != nil {
		return sockets.Done{}, err
	}
	s.service.Feed.Publish(&feed.AccountTyping{Sides: feed.SidesOf(s.account(), to), Conversation: to.Conversation(s.account()), Account: s.account()})
	return sockets.Done{}, nil
}

// Renew implements sockets.TimV1.
func (s *Session) Renew(ctx context.Context, _ *sockets.Renew) (sockets.Renewed, error) {
	s.mu.Lock()
	held := s.session
	held.Generation = s.renewed
	s.mu.Unlock()
	token, next, err := s.service.Auth.Renew(ctx, held, s.conn.ID())
	if err != nil {
		return sockets.Renewed{}, err
	}
	s.mu.Lock()
	s.renewed = max(s.renewed, next.Generation)
	s.mu.Unlock()
	s.expireAt(next.Expires)
	return sockets.Renewed{Token: token, Expires: next.Expires.UnixMilli()}, nil
}

// Ping implements sockets.TimV1.
func (s *Session) Ping(context.Context, *sockets.Ping) (sockets.Pong, error) {
	return sockets.Pong{Time: time.Now().UnixMilli()}, nil
}
