package timv1

import (
	"bytes"
	"encoding/json"
	"strconv"

	"tim/internal/chat"
)

// frameRoom is about what a frame takes beside its texts.
const frameRoom = 128

// messageFrame is a message as readers of tim.v1 get it: a frames.MessageFrame, to the byte as encode would write it, but
// with the body as it is stored.
func messageFrame(target chat.Target, m chat.Message) []byte {
	var content chat.Content
	body, plain := m.VerbatimBody()
	if !plain {
		content = m.Content()
		body = compact(content.Body)
	}
	b := make([]byte, 0, frameRoom+len(body)+len(m.Sender)+len(target.User))
	b = append(b, `{"message":{"body":`...)
	b = append(b, body...)
	b = append(b, `,"conversation":`...)
	b = appendTarget(b, target)
	if len(content.Mentions) > 0 {
		b = append(b, `,"mentions":`...)
		b = append(b, encode(content.Mentions)...)
	}
	if content.ReplyTo != 0 {
		b = append(b, `,"replyTo":`...)
		b = strconv.AppendInt(b, content.ReplyTo, 10)
	}
	b = append(b, `,"sender":`...)
	b = appendString(b, m.Sender)
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, m.Seq, 10)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, m.SentAt, 10)
	return append(b, `},"type":"message"}`...)
}

// sentFrame is the answer to a send: a frames.Sent, to the byte as encode would write it.
func sentFrame(id string, target chat.Target, m chat.Message) []byte {
	b := make([]byte, 0, frameRoom+len(id)+len(target.User))
	b = append(b, `{"conversation":`...)
	b = appendTarget(b, target)
	b = append(b, `,"id":`...)
	b = appendString(b, id)
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, m.Seq, 10)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, m.SentAt, 10)
	return append(b, `,"type":"sent"}`...)
}

// appendTarget appends a target, which names an account or a group.
func appendTarget(b []byte, t chat.Target) []byte {
	if t.Group != 0 {
		b = append(b, `{"group":`...)
		b = strconv.AppendInt(b, int64(t.Group), 10)
	} else {
		b = append(b, `{"user":`...)
		b = appendString(b, t.User)
	}
	return append(b, '}')
}

// appendString appends a string as encode writes it.
func appendString(b []byte, text string) []byte {
	if !chat.Verbatim(text) {
		return append(b, encode(text)...)
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// compact is JSON that has been decoded before, without spaces.
func compact(text json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return "null" // nothing: no message is stored without a body
	}
	return out.String()
}

// encode is json.Marshal for frames, which always marshal, without its escapes for HTML.
func encode(frame any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(frame); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
