package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"tim/internal/chat"
)

// storedHead is how the event MessageStored begins on the bus. It is by far the most frequent one, so its JSON is written and
// read by hand, always in this order, with the message as it is stored in it, not as a string:
//
//	{"kind":"message","conversation":"…","group":1,"seq":2,"sentAt":3,"sender":"…","clientId":"…","accounts":["…","…"],"content":{…}}
//
// One to one, the group is 0; of a group, there are no accounts. A message without a client id has no clientId.
const storedHead = `{"kind":"message","conversation":`

const clientIDHead = `,"clientId":`

var errStored = errors.New("not a stored message as this version tells of it")

// isStored reports whether a payload of the bus is such an event.
func isStored(payload []byte) bool { return bytes.HasPrefix(payload, []byte(storedHead)) }

// storedRoom is about what the event takes beside its texts, in bytes.
const storedRoom = 160

func encodeStored(e *MessageStored) []byte {
	m := &e.Message
	b := make([]byte, 0, storedRoom+len(e.Conversation)+2*len(m.Sender)+len(m.ClientID)+len(m.Body))
	b = append(b, storedHead...)
	b = appendString(b, e.Conversation)
	b = append(b, `,"group":`...)
	b = strconv.AppendInt(b, int64(e.Group), 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, m.Seq, 10)
	b = append(b, `,"sentAt":`...)
	b = strconv.AppendInt(b, m.SentAt, 10)
	b = append(b, `,"sender":`...)
	b = appendString(b, m.Sender)
	if m.ClientID != "" {
		b = append(b, clientIDHead...)
		b = appendString(b, m.ClientID)
	}
	b = append(b, `,"accounts":[`...)
	for i, account := range e.Accounts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, account)
	}
	b = append(b, `],"content":`...)
	b = append(b, m.Body...)
	return append(b, '}')
}

// appendString appends a string as JSON.
func appendString(b []byte, text string) []byte {
	if chat.Verbatim(text) {
		b = append(b, '"')
		b = append(b, text...)
		return append(b, '"')
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always marshals
	}
	return append(b, quoted...)
}

// decodeStored reads what encodeStored writes. The strings of the event are parts of one copy of the payload.
func decodeStored(payload []byte) (Event, error) {
	r := storedReader{rest: string(payload), ok: true}
	e := &MessageStored{}
	r.literal(storedHead)
	e.Conversation = r.string()
	r.literal(`,"group":`)
	e.Group = int32(r.integer()) //nolint:gosec // it was one
	r.literal(`,"seq":`)
	e.Message.Seq = r.integer()
	r.literal(`,"sentAt":`)
	e.Message.SentAt = r.integer()
	r.literal(`,"sender":`)
	e.Message.Sender = r.string()
	if strings.HasPrefix(r.rest, clientIDHead) {
		r.literal(clientIDHead)
		e.Message.ClientID = r.string()
	}
	r.literal(`,"accounts":[`)
	for r.ok && !strings.HasPrefix(r.rest, `]`) {
		if len(e.Accounts) > 0 {
			r.literal(`,`)
		}
		e.Accounts = append(e.Accounts, r.string())
	}
	r.literal(`],"content":`)
	content, closed := strings.CutSuffix(r.rest, `}`)
	if !r.ok || !closed {
		return nil, errStored
	}
	e.Message.Body = content
	return e, nil
}

// storedReader reads what encodeStored writes, piece by piece. After the first piece that isn't there, ok is false.
type storedReader struct {
	rest string
	ok   bool
}

func (r *storedReader) literal(text string) {
	rest, ok := strings.CutPrefix(r.rest, text)
	r.rest, r.ok = rest, r.ok && ok
}

func (r *storedReader) integer() int64 {
	end := 0
	for end < len(r.rest) && (r.rest[end] == '-' || r.rest[end] >= '0' && r.rest[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(r.rest[:end], 10, 64)
	r.rest, r.ok = r.rest[end:], r.ok && err == nil
	return n
}

func (r *storedReader) string() (text string) {
	escaped := false
	if !strings.HasPrefix(r.rest, `"`) {
		r.ok = false
		return ""
	}
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
			escaped = true
		case '"':
			quoted := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			if !escaped {
				return quoted[1 : len(quoted)-1]
			}
			r.ok = json.Unmarshal([]byte(quoted), &text) == nil && r.ok
			return text
		}
	}
	r.ok = false
	return ""
}
