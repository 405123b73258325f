package timv1

import (
	"math"
	"strings"
	"unicode/utf8"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/wire"
)

// What the schemas ask of the fields of a plain frame; a test compares it with them.
const (
	maxRequestID = 64 // characters
	maxClientID  = 64
	maxAccount   = 100
)

// textSend is a send of plain text to which nothing else is said but what it replies to: what nearly all sends are.
type textSend struct {
	id, clientID string
	to           chat.Target
	text         string
	replyTo      int64
}

// content is what it says.
func (s textSend) content() chat.Content {
	c := chat.TextContent(s.text)
	c.ReplyTo = s.replyTo
	return c
}

// plainRequest decodes and checks in one go the frames that clients send most, of the shape in which they mostly send them:
// a textSend, or a frames.Received, frames.Read or frames.Ping, without fields that it doesn't know. Of whatever else it
// says no: the schemas then decide, and have the words for what is wrong. It takes nothing that they would refuse, or
// that means something else to them.
func plainRequest(frame []byte) (request any, id string, ok bool) {
	f := plainFrame{scanner: scanner{text: string(frame)}}
	f.space()
	if !f.object(f.field) || !f.end() {
		return nil, "", false
	}
	id = f.id
	switch f.kind {
	case "send":
		if f.has&^hasReplyTo != hasType|hasID|hasTo|hasClientID|hasBody {
			return nil, "", false
		}
		return textSend{id: id, clientID: f.clientID, to: wire.Target(f.target), text: f.text, replyTo: f.replyTo}, id, true
	case "received":
		return frames.Received{Type: frames.ReceivedTypeReceived, ID: id, Conversation: f.target, Seq: f.seq}, id, f.has == hasMark
	case "read":
		return frames.Read{Type: frames.ReadTypeRead, ID: id, Conversation: f.target, Seq: f.seq}, id, f.has == hasMark
	case "ping":
		return frames.Ping{Type: frames.PingTypePing, ID: id}, id, f.has == hasType|hasID
	default:
		return nil, "", false
	}
}

// plainFrame is what has been read of a frame.
type plainFrame struct {
	scanner

	has                fields
	kind, id, clientID string
	target             api.Target // to, or conversation
	text               string
	replyTo, seq       int64
}

// fields are those of a frame that have been read.
type fields uint

const (
	hasType fields = 1 << iota
	hasID
	hasTo
	hasConversation
	hasClientID
	hasBody
	hasReplyTo
	hasSeq
	hasKind // in a body
	hasText

	hasMark = hasType | hasID | hasConversation | hasSeq
)

// first notes that a field is there, and reports whether it wasn't before.
func (f *plainFrame) first(field fields) bool {
	is := f.has&field == 0
	f.has |= field
	return is
}

// field takes a field of a frame.
func (f *plainFrame) field(key string) bool {
	switch key {
	case "type":
		return f.word(hasType, &f.kind)
	case "id":
		return f.token(hasID, &f.id, maxRequestID)
	case "clientId":
		return f.token(hasClientID, &f.clientID, maxClientID)
	case "to":
		return f.first(hasTo) && f.object(f.side)
	case "conversation":
		return f.first(hasConversation) && f.object(f.side)
	case "replyTo":
		return f.number(hasReplyTo, &f.replyTo)
	case "seq":
		return f.number(hasSeq, &f.seq)
	case "body":
		return f.first(hasBody) && f.body()
	default:
		return false
	}
}

// word takes a string that has no escapes.
func (f *plainFrame) word(field fields, word *string) bool {
	text, escaped, ok := f.raw()
	*word = text
	return ok && !escaped && f.first(field)
}

// token takes an id: ASCII without spaces.
func (f *plainFrame) token(field fields, token *string, most int) bool {
	if !f.word(field, token) || len(*token) == 0 || len(*token) > most {
		return false
	}
	for _, c := range []byte(*token) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// number takes a seq.
func (f *plainFrame) number(field fields, n *int64) (ok bool) {
	*n, ok = f.integer()
	return ok && *n >= 1 && f.first(field)
}

// side takes the one field of a target.
func (f *plainFrame) side(key string) bool {
	if f.target.User != nil || f.target.Group != nil {
		return false
	}
	switch key {
	case "user":
		account, ok := f.string()
		f.target.User = &account
		return ok && account != "" && utf8.RuneCountInString(account) <= maxAccount && !strings.ContainsFunc(account, isControl)
	case "group":
		n, ok := f.integer()
		if !ok || n < 1 || n > math.MaxInt32 {
			return false
		}
		group := int32(n)
		f.target.Group = &group
		return true
	default:
		return false
	}
}

// body takes a body of plain text.
func (f *plainFrame) body() bool {
	var kind string
	const both = hasKind | hasText
	if !f.object(func(key string) (ok bool) {
		switch key {
		case "kind":
			return f.word(hasKind, &kind)
		case "text":
			f.text, ok = f.string()
			return ok && f.first(hasText)
		default:
			return false
		}
	}) || kind != "text" || f.has&both != both {
		return false
	}
	f.has &^= both
	return true
}

// isControl reports whether a character is of C0 or C1, or DEL.
func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }
