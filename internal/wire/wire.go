// Package wire converts between the types of package chat and those of api/openapi.yaml, for REST and tim.v1.
package wire

import (
	"fmt"

	"tim/gen/api"
	"tim/internal/chat"
	"tim/internal/fault"
	"tim/internal/schema"
)

// Target converts a client's target. The schema has checked that it names exactly one of user and group.
func Target(t api.Target) chat.Target {
	if t.Group != nil {
		return chat.ToGroup(*t.Group)
	}
	if t.User != nil {
		return chat.ToUser(*t.User)
	}
	return chat.Target{}
}

// ParamTarget converts the target in a request's parameters. It refuses both and neither.
func ParamTarget(friend *api.Account, group *api.GroupID) (chat.Target, error) {
	if (friend == nil) == (group == nil) {
		return chat.Target{}, fault.Invalid(fault.InvalidParameter, "FriendAccount", "must be given, or GroupID, and not both")
	}
	return Target(api.Target{User: friend, Group: group}), nil
}

// Page reads which messages of a conversation a client wants: those after a seq, those before one, or, with neither, the
// newest. Before 0 there is none.
func Page(after, before *int64, limit int) (chat.Page, error) {
	switch {
	case after != nil && before != nil:
		return chat.Page{}, fault.Invalid(fault.InvalidParameter, "before", schema.NotWith("after"))
	case after != nil:
		return chat.Page{Forward: true, From: *after, Limit: limit}, nil
	case before == nil:
		return chat.Page{Limit: limit}, nil
	case *before == 0:
		return chat.Page{Limit: 0}, nil // From 0 would be the newest
	default:
		return chat.Page{From: *before, Limit: limit}, nil
	}
}

// FromTarget names a conversation from its reader's side.
func FromTarget(t chat.Target) api.Target {
	if t.Group != 0 {
		return api.Target{Group: &t.Group}
	}
	return api.Target{User: &t.User}
}

// Content converts what a client wants to say. The body must be in the spelling of package schema, in which the gate has put
// it, so that a retry is recognised on either face.
func Content(body api.SendBody, replyTo *api.Seq, mentions *api.Mentions) (chat.Content, error) {
	text, err := body.MarshalJSON()
	if err != nil {
		return chat.Content{}, fmt.Errorf("encode body: %w", err)
	}
	c := chat.Content{Body: text}
	if replyTo != nil {
		c.ReplyTo = *replyTo
	}
	if mentions != nil {
		c.Mentions = *mentions
	}
	return c, nil
}

// Message converts a message for a reader of its conversation.
func Message(t chat.Target, m chat.Message) (api.Message, error) {
	content := m.Content()
	out := api.Message{Conversation: FromTarget(t), Seq: m.Seq, Sender: m.Sender, Time: m.SentAt}
	if err := out.Body.UnmarshalJSON(content.Body); err != nil {
		return out, fmt.Errorf("decode body: %w", err)
	}
	if m.ClientID != "" {
		out.ClientID = &m.ClientID
	}
	if content.ReplyTo != 0 {
		out.ReplyTo = &content.ReplyTo
	}
	if len(content.Mentions) > 0 {
		out.Mentions = &content.Mentions
	}
	return out, nil
}

// Messages converts messages of one conversation for one of its readers.
func Messages(t chat.Target, messages []chat.Message) ([]api.Message, error) {
	out := make([]api.Message, len(messages))
	for i, m := range messages {
		var err error
		if out[i], err = Message(t, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Conversation converts one of an account's conversations.
func Conversation(c chat.Conversation) (api.Conversation, error) {
	out := api.Conversation{
		Conversation: FromTarget(c.Target), First: c.FirstSeq(), Last: c.LastSeq, Received: c.ReceivedSeq, Read: c.ReadSeq, Unread: c.Unread(),
	}
	if c.Target.Group == 0 {
		out.PeerReceived, out.PeerRead = &c.PeerReceived, &c.PeerRead
	}
	if c.Last != nil {
		message, err := Message(c.Target, *c.Last)
		if err != nil {
			return out, err
		}
		out.Message = &message
	}
	return out, nil
}

// Sent converts a stored message into the answer to its sender.
func Sent(t chat.Target, m chat.Message) api.Sent {
	return api.Sent{Conversation: FromTarget(t), Seq: m.Seq, Time: m.SentAt}
}
