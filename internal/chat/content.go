package chat

import (
	"encoding/json"
	"slices"
)

// Content is what a message says. It is stored as JSON and never looked into, but for plain text and notices.
type Content struct {
	Body     json.RawMessage `json:"body"` // a MessageBody of the spec
	ReplyTo  int64           `json:"replyTo,omitempty"`
	Mentions []string        `json:"mentions,omitempty"`
}

// bodyKind is what all bodies have, and what plain text has.
type bodyKind struct {
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
}

const (
	kindText   = "text"
	kindNotice = "notice"
)

// TextContent is plain text.
func TextContent(text string) Content { return Content{Body: mustMarshal(bodyKindText(text))} }

func bodyKindText(text string) any {
	return struct {
		Kind string `json:"kind"`
		Text string `json:"text"`
	}{kindText, text}
}

// noticeBody is a message that the server writes into a group's history: who did what to whom.
type noticeBody struct {
	Kind    string `json:"kind"`
	Event   string `json:"event"`
	Actor   string `json:"actor"`
	Account string `json:"account,omitempty"`
}

func noticeContent(event, actor, account string) Content {
	return Content{Body: mustMarshal(noticeBody{Kind: kindNotice, Event: event, Actor: actor, Account: account})}
}

// encode is the form in which a content is stored, the same for the same content.
func (c Content) encode() string { return string(mustMarshal(c)) }

// Content is what the message says.
func (m Message) Content() Content {
	var c Content
	if err := json.Unmarshal([]byte(m.Body), &c); err != nil {
		return Content{Body: json.RawMessage("{}")} // nothing writes such a row
	}
	return c
}

// Text is the message as plain text, and whether the contract's sockets show it: its text, or, for bodies of another
// kind, their JSON; not a notice, of which those sockets know nothing.
func (m Message) Text() (text string, shown bool) {
	c := m.Content()
	var body bodyKind
	if err := json.Unmarshal(c.Body, &body); err != nil {
		return string(c.Body), true
	}
	switch body.Kind {
	case kindText:
		return body.Text, true
	case kindNotice:
		return "", false
	default:
		return string(c.Body), true
	}
}

// normal puts a content into the one form that a retry is compared by.
func (c Content) normal() Content {
	mentions := make([]string, len(c.Mentions))
	for i, account := range c.Mentions {
		mentions[i] = Normal(account)
	}
	slices.Sort(mentions)
	c.Mentions = slices.Compact(mentions)
	return c
}

func mustMarshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and JSON that was parsed always marshal
	}
	return text
}
