package realtime

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"tim/internal/chat"
)

// storedHead is how the event chat.MessageStored begins on the bus. It is by far the most frequent one, so it has a JSON of its
// own, always in this order, and with the message as it is stored in it, not as a string:
//
//	{"kind":"message","conversation":"…","group":1,"seq":2,"sentAt":3,"sender":"…","accounts":["…","…"],"content":{…}}
//
// One to one, the group is 0; of a group, there are no accounts.
const storedHead = `{"kind":"` + string(chat.MessageStored) + `","conversation":`

var errStored = errors.New("not a stored message as this version tells of it")

// isStored reports whether a payload of the bus is such an event.
func isStored(payload []byte) bool { return bytes.HasPrefix(payload, []byte(storedHead)) }

// encodeStored writes an event of the kind chat.MessageStored.
func encodeStored(e chat.Event) []byte {
	m := e.Message
	b := make([]byte, 0, frameRoom+len(storedHead)+len(e.Conversation)+2*len(m.Sender)+len(m.Body))
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

// decodeStored reads what encodeStored writes.
func decodeStored(payload []byte) (chat.Event, error) {
	m, s := new(chat.Message), scanner{text: string(payload)}
	var group int64
	e := chat.Event{Kind: chat.MessageStored, Message: m}
	ok := s.stringAfter(storedHead, &e.Conversation) && s.integerAfter(`,"group":`, &group) && s.integerAfter(`,"seq":`, &m.Seq) &&
		s.integerAfter(`,"sentAt":`, &m.SentAt) && s.stringAfter(`,"sender":`, &m.Sender) && s.literal(`,"accounts":[`)
	for before := ""; ok && !s.literal(`],"content":`); before = "," {
		var account string
		ok = s.stringAfter(before, &account)
		e.Accounts = append(e.Accounts, account)
	}
	content, closed := strings.CutSuffix(s.rest(), `}`)
	if !ok || !closed {
		return e, errStored
	}
	e.Group, m.Body = int32(group), content //nolint:gosec // it was one
	return e, nil
}
