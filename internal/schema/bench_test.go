package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"tim/gen/bodies"
	"tim/gen/sockets"
	"tim/internal/schema"
)

const sendFrame = `{"type":"send","id":"r1","to":{"user":"bob"},"clientId":"5f2c9a","body":{"kind":"text","text":"hello, this is a message of a usual length"}}`

// BenchmarkDecode is what a request costs before anything is done for it.
func BenchmarkDecode(b *testing.B) {
	item := `{"conversation":{"user":"bob"},"seq":41}`
	for name, frame := range map[string]string{
		"send": sendFrame, "sendEscaped": strings.Replace(sendFrame, "hello, ", `hello,\n`, 1),
		"sendImage": strings.Replace(sendFrame, `{"kind":"text","text":"hello, this is a message of a usual length"}`, `{"kind":"image","file":"2026-01-31:13:04:05-Zx3vQ9mK2pLr8TnB4cWd7e","width":640,"height":480}`, 1),
		"ping":      `{"type":"ping","id":"r1"}`, "read": `{"type":"read","id":"r1","conversation":{"user":"bob"},"seq":41}`,
		"sync20": `{"type":"sync","id":"s","have":[` + strings.Repeat(item+",", 19) + item + `]}`,
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(frame)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := sockets.DecodeTimV1(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeHostile is what frames cost that are made to cost much.
func BenchmarkDecodeHostile(b *testing.B) {
	for name, frame := range hostile() {
		b.Run(name, func(b *testing.B) {
			text := []byte(frame)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := sockets.DecodeTimV1(text); err == nil {
					b.Fatal("taken")
				}
			}
		})
	}
}

// hostile are frames of some 18 to 64 kB.
func hostile() map[string]string {
	var keys, free strings.Builder
	for i := range 5500 {
		fmt.Fprintf(&keys, `,"k%d":1`, i)
		fmt.Fprintf(&free, `,"k%d":1`, 5500-i)
	}
	brackets := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	return map[string]string{
		"brackets":         `{"type":"ping","id":"1","x":` + brackets + `}`,
		"brackets alone":   strings.Repeat("[", 18000),
		"objects":          strings.Repeat(`{"a":`, 3600),
		"brackets in data": `{"type":"send","id":"1","to":{"user":"b"},"clientId":"c","body":{"kind":"custom","data":{"a":` + brackets + `}}}`,
		"keys":             `{"type":"ping","id":"1"` + keys.String() + `}`,
		"keys in data":     `{"type":"send","id":"1","to":{"user":"b"},"clientId":"c","body":{"kind":"custom","data":{"a":1` + free.String() + `}}}`,
		"type at the end":  `{"id":"1"` + keys.String() + `,"type":"ping"}`,
		"keys before it":   `{"id":"1","x":{"k":1` + keys.String() + `},"type":"ping"}`,
	}
}

// BenchmarkEncode is what the frames cost that are sent most.
func BenchmarkEncode(b *testing.B) {
	message := sockets.MessageFrame{Message: sockets.Message{
		Conversation: sockets.ConversationName{Group: 1}, Seq: 42, Sender: "alice", Time: 1769864645123,
		Body: `{"kind":"text","text":"hello, this is a message of a usual length"}`,
	}}
	sent := sockets.Sent{ID: "r1", Conversation: sockets.ConversationName{User: "bob"}, Seq: 42, Time: 1769864645123}
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = message.JSON()
		}
	})
	b.Run("sent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = sent.JSON()
		}
	})
}

// BenchmarkBody is what the body of a send costs by way of REST.
func BenchmarkBody(b *testing.B) {
	const body = `{"to": {"user": "bob"}, "clientId": "5f2c9a", "body": {"kind": "text", "text": "hello, this is a message of a usual length"}}`
	b.ReportAllocs()
	for b.Loop() {
		r := schema.NewReader(body)
		bodies.SendMessage(&r)
		if err := r.End("body"); err != nil {
			b.Fatal(err)
		}
	}
}
