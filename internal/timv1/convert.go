package timv1

import (
	"bytes"
	"encoding/json"

	"tim/gen/sockets"
	"tim/internal/chat"
	"tim/internal/schema"
)

// target converts a client's target. The decoder has checked that it names exactly one of user and group.
func target(t sockets.Target) chat.Target {
	if t.Group != 0 {
		return chat.ToGroup(t.Group)
	}
	return chat.ToUser(t.User)
}

// fromTarget names a conversation from its reader's side.
func fromTarget(t chat.Target) sockets.Target { return sockets.Target{User: t.User, Group: t.Group} }

// message converts a message for a reader that names its conversation so. The body stays as it is stored.
func message(t chat.Target, m chat.Message) sockets.Message {
	out := sockets.Message{Conversation: fromTarget(t), Seq: m.Seq, Sender: m.Sender, Time: m.SentAt}
	if body, plain := m.VerbatimBody(); plain {
		out.Body = schema.Raw(body)
		return out
	}
	content := m.Content()
	out.Body, out.ReplyTo, out.Mentions = compact(content.Body), content.ReplyTo, content.Mentions
	return out
}

// compact returns JSON without spaces.
func compact(text json.RawMessage) schema.Raw {
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return "null" // no message is stored without a body
	}
	return schema.Raw(out.String())
}

func messageFrame(t chat.Target, m chat.Message) []byte {
	frame := sockets.MessageFrame{Message: message(t, m)}
	return frame.JSON()
}

// conversation converts one of an account's conversations.
func conversation(c chat.Conversation) sockets.Conversation {
	out := sockets.Conversation{
		Conversation: fromTarget(c.Target), Last: c.LastSeq, Received: c.ReceivedSeq, Read: c.ReadSeq, Unread: c.Unread(),
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
