package chat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	accounts "tim/internal/account"
)

// Content is what a message says. It is stored as JSON. This package reads only the kind of a body, and the text of plain text.
type Content struct {
	Body     json.RawMessage `json:"body"` // a MessageBody of api/openapi.yaml
	ReplyTo  int64           `json:"replyTo,omitempty"`
	Mentions []string        `json:"mentions,omitempty"`
}

// bodyKind has the fields that this package reads in a body.
type bodyKind struct {
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
}

const (
	kindText   = "text"
	kindNotice = "notice"
)

// The beginning and the end of a body of plain text. Between them stands the text, in most cases without escapes.
const (
	textHead = `{"kind":"text","text":"`
	textTail = `"}`
)

// TextContent returns the content of a plain text.
func TextContent(text string) Content {
	if !Verbatim(text) {
		return Content{Body: mustMarshal(bodyKindText(text))}
	}
	body := make([]byte, 0, len(textHead)+len(text)+len(textTail))
	body = append(body, textHead...)
	body = append(body, text...)
	return Content{Body: append(body, textTail...)}
}

// Verbatim reports whether [json.Marshal] would write a text without any escape. It may report false for a text without
// escapes, but never true for one with escapes.
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

// VerbatimText returns the text of a body that is, byte for byte, what [TextContent] makes of a [Verbatim] text. For any other
// body ok is false.
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

// noticeBody is the body of a message that the server itself writes into a group's history: an event, who caused it and whom it
// concerns.
type noticeBody struct {
	Kind    string `json:"kind"`
	Event   string `json:"event"`
	Actor   string `json:"actor"`
	Account string `json:"account,omitempty"`
}

// noticeHead is how a stored notice begins.
const noticeHead = bodyHead + `{"kind":"` + kindNotice + `",`

// IsNotice reports whether the server has written the message, about a change of its group.
func (m Message) IsNotice() bool { return strings.HasPrefix(m.Body, noticeHead) }

func noticeContent(event, actor, account string) Content {
	return Content{Body: mustMarshal(noticeBody{Kind: kindNotice, Event: event, Actor: actor, Account: account})}
}

// The beginning and the end of a stored content that has nothing but a body.
const (
	bodyHead = `{"body":`
	bodyTail = `}`
)

// encode returns the JSON in which a content is stored. Equal contents have equal encodings. Most are put together by hand,
// which saves the call of [json.Marshal].
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

// VerbatimBody returns the stored body of a message that consists of nothing but plain text and needs no decoding (see
// [VerbatimText]). For any other message ok is false.
func (m Message) VerbatimBody() (body string, ok bool) {
	body, begins := strings.CutPrefix(m.Body, bodyHead)
	body, ends := strings.CutSuffix(body, bodyTail)
	if !begins || !ends {
		return "", false
	}
	_, ok = VerbatimText(body)
	return body, ok
}

// Content decodes the message's content.
func (m Message) Content() Content {
	if body, ok := m.VerbatimBody(); ok {
		return Content{Body: json.RawMessage(body)}
	}
	var c Content
	if err := json.Unmarshal([]byte(m.Body), &c); err != nil {
		return Content{Body: json.RawMessage("{}")} // no code writes such a row
	}
	return c
}

// Text returns what the contract's sockets show of the message: its text, or the body's JSON for another kind. shown is false
// for a notice, which those sockets don't have.
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

// normal returns a content in the form in which it is stored, and a retry compared with it: the name of a file cleaned, mentions
// normalised, sorted, each once.
func (c Content) normal() Content {
	c.Body = withCleanName(c.Body)
	if len(c.Mentions) == 0 {
		c.Mentions = nil
		return c
	}
	mentions := make([]string, len(c.Mentions))
	for i, account := range c.Mentions {
		mentions[i] = accounts.Normal(account)
	}
	slices.Sort(mentions)
	c.Mentions = slices.Compact(mentions)
	return c
}

// withCleanName cleans the name of a file in a body that has one. Any other body it returns as it is.
func withCleanName(body json.RawMessage) json.RawMessage {
	if bytes.HasPrefix(body, []byte(textHead)) || !bytes.Contains(body, []byte(`"name"`)) {
		return body
	}
	var kind, name string
	var begin, end int64 // where the name is
	fields := json.NewDecoder(bytes.NewReader(body))
	if _, err := fields.Token(); err != nil {
		return body
	}
	for fields.More() {
		key, err := fields.Token()
		if err != nil {
			return body
		}
		var value json.RawMessage
		if err := fields.Decode(&value); err != nil {
			return body
		}
		switch key {
		case "kind":
			_ = json.Unmarshal(value, &kind) // the schema has checked it
		case "name":
			end = fields.InputOffset()
			begin = end - int64(len(value))
			_ = json.Unmarshal(value, &name)
		}
	}
	clean := accounts.FileName(name)
	if end == 0 || clean == name || !slices.Contains(fileKinds(), kind) {
		return body
	}
	return slices.Concat(body[:begin], mustMarshal(clean), body[end:])
}

// fileKinds are the kinds of bodies that name a file.
func fileKinds() []string { return []string{"image", "audio", "video", "file"} }

func mustMarshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // text and parsed JSON can always be encoded
	}
	return text
}
