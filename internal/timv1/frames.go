package timv1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"tim/gen/sockets"
	"tim/internal/account"
	"tim/internal/chat"
	"tim/internal/fault"
	"tim/internal/schema"
)

// target reads whom a client means. The decoder has seen to it that exactly one is named.
func target(t sockets.Target) chat.Target {
	if t.Group != 0 {
		return chat.ToGroup(t.Group)
	}
	return chat.ToUser(account.Normal(t.User))
}

// named is a conversation as its reader names it.
func named(t chat.Target) sockets.ConversationName {
	return sockets.ConversationName{User: t.User, Group: t.Group}
}

// message is a message as the reader of a conversation gets it. Its body goes out as it is stored.
func message(t chat.Target, m chat.Message) sockets.Message {
	out := sockets.Message{Conversation: named(t), Sender: m.Sender, ClientID: m.ClientID, Seq: m.Seq, Time: m.SentAt}
	if body, plain := m.VerbatimBody(); plain {
		out.Body = schema.Raw(body)
		return out
	}
	content := m.Content()
	out.Body, out.ReplyTo, out.Mentions = schema.Raw(compact(content.Body)), content.ReplyTo, content.Mentions
	return out
}

// compact is stored JSON without the spaces that an older version may have left in it.
func compact(text json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return "null" // nothing: no message is stored without a body
	}
	return out.String()
}

// messageFrame is a message as a frame.
func messageFrame(t chat.Target, m chat.Message) []byte {
	frame := sockets.MessageFrame{Message: message(t, m)}
	return frame.JSON()
}

// conversation is one of an account's conversations as it gets it.
func conversation(c chat.Conversation) sockets.Conversation {
	out := sockets.Conversation{
		Conversation: named(c.Target), First: c.FirstSeq(), Last: c.LastSeq, Received: c.ReceivedSeq, Read: c.ReadSeq, Unread: c.Unread(),
	}
	if c.Target.Group == 0 {
		out.PeerReceived, out.PeerRead = &c.PeerReceived, &c.PeerRead
	}
	if c.Last != nil {
		last := message(c.Target, *c.Last)
		out.Message = &last
	}
	return out
}

func presenceFrame(account string, online bool) []byte {
	frame := sockets.Presence{Account: account, Online: online}
	return frame.JSON()
}

// errorFrame is the answer to a request that is refused, with the reasons of the REST envelope.
func (s *Service) errorFrame(id string, err error) []byte {
	f, known := errors.AsType[*fault.Fault](err)
	if !known {
		f = fault.Wrap(fault.Internal, err)
		if s.IsFull(err) {
			f = fault.Wrap(fault.StorageFull, err)
		} else if s.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			f = fault.Wrap(fault.Unavailable, err)
		}
		s.Log.Error("request failed", "err", err)
	}
	out := sockets.Error{ID: id, Reason: sockets.Reason(f.Reason), Message: f.Text("").In(fault.English)}
	if f.Field != "" {
		out.Field, out.Problem = &f.Field, &f.Problem
	}
	if f.RetryAfter > 0 {
		after := (f.RetryAfter + time.Millisecond - 1).Milliseconds() // rounded up: else whoever waits so long is too early
		out.RetryAfter = &after
	}
	return out.JSON()
}
