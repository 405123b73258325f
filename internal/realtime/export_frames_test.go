package realtime

import (
	"errors"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/wire"
)

// For the tests and benchmarks of what is done to every frame.

// What the schemas ask, as plainRequest has it.
const (
	MaxRequestID = maxRequestID
	MaxClientID  = maxClientID
	MaxAccount   = maxAccount
)

// DecodeRequest is requests.decode, but of a textSend it makes the frames.Send that it stands for. broken says that the
// frame is no JSON object.
func (h *Hub) DecodeRequest(frame []byte) (request any, id string, broken bool, err error) {
	request, id, err = h.requests.decode(frame)
	return full(request), id, errors.Is(err, errNoJSON), err
}

// DecodeAny is requests.decodeAny.
func (h *Hub) DecodeAny(frame []byte) (request any, id string, err error) {
	return h.requests.decodeAny(frame)
}

// PlainRequest is plainRequest. Of a textSend it makes the frames.Send that it stands for.
func PlainRequest(frame []byte) (request any, id string, ok bool) {
	request, id, ok = plainRequest(frame)
	return full(request), id, ok
}

// full makes a frames.Send of a textSend.
func full(request any) any {
	s, ok := request.(textSend)
	if !ok {
		return request
	}
	out := frames.Send{Type: frames.SendTypeSend, ID: s.id, To: wire.FromTarget(s.to), ClientID: s.clientID}
	if err := out.Body.FromTextBody(api.TextBody{Kind: api.TextBodyKindText, Text: s.text}); err != nil {
		panic(err)
	}
	if s.replyTo != 0 {
		out.ReplyTo = &s.replyTo
	}
	return out
}

// SentContent is what is made of the request that a send is, on its way to be stored.
func SentContent(request any) (target chat.Target, content chat.Content, err error) {
	switch r := request.(type) {
	case textSend:
		return r.to, r.content(), nil
	case frames.Send:
		content, err = wire.Content(r.Body, r.ReplyTo, r.Mentions)
		return wire.Target(r.To), content, err
	default:
		return target, content, errors.New("not a send")
	}
}

// DecodeSend decodes a frame as it is when it has been received, up to what is stored.
func (h *Hub) DecodeSend(frame []byte) (target chat.Target, content chat.Content, err error) {
	request, _, err := h.requests.decode(frame)
	if err != nil {
		return target, content, err
	}
	return SentContent(request)
}

// MessageFrame is messageFrame.
func (h *Hub) MessageFrame(target chat.Target, m chat.Message) []byte {
	return messageFrame(target, m)
}

// SentFrame is sentFrame.
func SentFrame(id string, target chat.Target, m chat.Message) []byte { return sentFrame(id, target, m) }

// Encode is encode.
func Encode(frame any) []byte { return encode(frame) }

// EncodeEvent is encodeEvent.
func EncodeEvent(e chat.Event) ([]byte, error) { return encodeEvent(event{Event: e}) }

// DecodeEvent is decodeEvent.
func DecodeEvent(payload []byte) (chat.Event, error) {
	e, err := decodeEvent(payload)
	return e.Event, err
}

// TargetOf is the target of an event on a topic.
func TargetOf(topicName string, e chat.Event) chat.Target {
	return (&topic{name: topicName}).target(event{Event: e})
}
