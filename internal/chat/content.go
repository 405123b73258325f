package chat

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
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

// How the body of plain text begins and ends; the text between is most often as it is.
const (
	textHead = `{"kind":"text","text":"`
	textTail = `"}`
)

// TextContent is plain text.
func TextContent(text string) Content {
	if !Verbatim(text) {
		return Content{Body: mustMarshal(bodyKindText(text))}
	}
	body := make([]byte, 0, len(textHead)+len(text)+len(textTail))
	body = append(body, textHead...)
	body = append(body, text...)
	return Content{Body: append(body, textTail...)}
}

// Verbatim reports whether [json.Marshal] writes a text between its quotes as it is, without any escapes. It may be false
// of a text of which it does.
func Verbatim(text string) bool {
	ascii := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(text) && !strings.Contains(text, "\u2028") && !strings.Contains(text, "\u2029")
}

// VerbatimText returns the text of a body that is, to the byte, what [TextContent] makes of a [Verbatim] text; of all
// others it says that they aren't such.
func VerbatimText(body string) (text string, ok bool) {
	text, begins := strings.CutPrefix(body, textHead)
	text, ends := strings.CutSuffix(text, textTail)
	return text, begins && ends && Verbatim(text)
}

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

// How a stored content begins and ends that has nothing but a body.
const (
	bodyHead = `{"body":`
	bodyTail = `}`
)

// encode is the form in which a content is stored, the same for the same content: JSON, and of most built by hand.
func (c Content) encode() string {
	body := string(c.Body)
	if _, plain := VerbatimText(body); !plain || len(c.Mentions) > 0 {
		return string(mustMarshal(c))
	}
	if c.ReplyTo != 0 {
		return bodyHead + body + `,"replyTo":` + strconv.FormatInt(c.ReplyTo, 10) + bodyTail
	}
	return bodyHead + body + bodyTail
}

// VerbatimBody returns the body of a message that is nothing but plain text, as it is stored, if it needs no decoding
// (see [VerbatimText]), and whether that is so.
func (m Message) VerbatimBody() (body string, ok bool) {
	body, begins := strings.CutPrefix(m.Body, bodyHead)
	body, ends := strings.CutSuffix(body, bodyTail)
	if !begins || !ends {
		return "", false
	}
	_, ok = VerbatimText(body)
	return body, ok
}

// Content is what the message says.
func (m Message) Content() Content {
	if body, ok := m.VerbatimBody(); ok {
		return Content{Body: json.RawMessage(body)}
	}
	var c Content
	if err := json.Unmarshal([]byte(m.Body), &c); err != nil {
		return Content{Body: json.RawMessage("{}")} // nothing writes such a row
	}
	return c
}

// Text is the message as plain text, and whether the contract's sockets show it: its text, or, for bodies of another
// kind, their JSON; not a notice, of which those sockets know nothing.
func (m Message) Text() (text string, shown bool) {
	if body, ok := m.VerbatimBody(); ok {
		return VerbatimText(body)
	}
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
	if len(c.Mentions) == 0 {
		c.Mentions = nil
		return c
	}
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
