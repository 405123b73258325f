// Package wire turns what package chat speaks of into the types of api/openapi.yaml and back, for every face alike.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tim/gen/api"
	"tim/internal/chat"
	"tim/internal/fault"
	"tim/internal/schema"
)

// Target reads whom a client means. The schema has seen to it that exactly one is named.
func Target(t api.Target) chat.Target {
	if t.Group != nil {
		return chat.ToGroup(*t.Group)
	}
	if t.User != nil {
		return chat.ToUser(*t.User)
	}
	return chat.Target{}
}

// ParamTarget reads whom a request's parameters mean, of which exactly one must be there.
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

// FromTarget names a conversation as its reader does.
func FromTarget(t chat.Target) api.Target {
	if t.Group != 0 {
		return api.Target{Group: &t.Group}
	}
	return api.Target{User: &t.User}
}

// Content reads what a client wants to say.
func Content(body api.SendBody, replyTo *api.Seq, mentions *api.Mentions) (chat.Content, error) {
	text, err := canonical(body)
	if err != nil {
		return chat.Content{}, err
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

// canonical is a body in the one spelling that all faces store it in, so that a retry is recognised on any of them.
func canonical(body api.SendBody) ([]byte, error) {
	text, err := body.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	if _, plain := chat.VerbatimText(string(text)); plain {
		return text, nil // as it would come out below
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decode body: %w", err)
	}
	if TooDeep(value) {
		return nil, fault.Invalid(fault.InvalidBody, "body", "is nested too deeply")
	}
	return json.Marshal(value)
}

// maxDepth is how deep what a client sends may be nested. A message is stored and sent within other JSON, whose parsers
// have limits, too.
const maxDepth = 100

// TooDeep tells whether a decoded JSON value is nested too deeply to be stored and sent on.
func TooDeep(value any) bool { return depth(value, maxDepth) > maxDepth }

// depth is how deep a value is nested; beyond limit it doesn't look further.
func depth(value any, limit int) int {
	deepest := 0
	if limit < 0 {
		return deepest
	}
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, 1+depth(inner, limit-1))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, 1+depth(inner, limit-1))
		}
	}
	return deepest
}

// Message is a message as the reader of a conversation gets it.
func Message(t chat.Target, m chat.Message) (api.Message, error) {
	content := m.Content()
	out := api.Message{Conversation: FromTarget(t), Seq: m.Seq, Sender: m.Sender, Time: m.SentAt}
	if err := out.Body.UnmarshalJSON(content.Body); err != nil {
		return out, fmt.Errorf("decode body: %w", err)
	}
	if content.ReplyTo != 0 {
		out.ReplyTo = &content.ReplyTo
	}
	if len(content.Mentions) > 0 {
		out.Mentions = &content.Mentions
	}
	return out, nil
}

// Messages are messages as the reader of their conversation gets them.
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

// Conversation is one of an account's conversations as it gets it.
func Conversation(c chat.Conversation) (api.Conversation, error) {
	out := api.Conversation{
		Conversation: FromTarget(c.Target), Last: c.LastSeq, Received: c.ReceivedSeq, Read: c.ReadSeq, Unread: c.Unread(),
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

// Sent is the answer to a send.
func Sent(t chat.Target, m chat.Message) api.Sent {
	return api.Sent{Conversation: FromTarget(t), Seq: m.Seq, Time: m.SentAt}
}
