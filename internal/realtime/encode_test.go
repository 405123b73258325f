package realtime_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/realtime"
	"tim/internal/wire"
)

// awkward texts are those that JSON writes with escapes, or might.
func awkward() []string {
	return []string{
		"", "bob", "<b>&amp;</b>", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "密码 😀", "\u2028\u2029", "rene\u0301", "\ufffd", "a\xffb", "\xe2\x80", `"}}`, `\u0041`,
		strings.Repeat("long ", 1000),
	}
}

func storedBodies(t testing.TB) []string {
	t.Helper()
	bodies := []string{
		`{"body":{"kind":"image","file":"x","width":3}}`, `{"body":{"kind":"location","latitude":31.2304,"longitude":-121}}`,
		`{"body":{"kind":"card","target":{"group":1}}}`, `{"body":{"kind":"custom","data":{"n":1e3,"s":"\u003cb\u003e","a":[[]]}},"replyTo":3}`,
		`{"body":{"kind":"notice","event":"joined","actor":"alice","account":"bob"}}`, `{"body": {"kind" : "text", "text" : "spaced"} }`,
		`{"body":{"kind":"text","text":"a"},"mentions":["<bob>","密"]}`, `{"body":{"kind":"text","text":"a"},"mentions":["bob"],"replyTo":9}`,
		`{"body":{"kind":"text","text":"a"},"replyTo":9223372036854775807}`, `{"body":{"text":"a","kind":"text"}}`, `{"body":{"kind":"text","text":"a","more":1}}`,
		`{"body":{"kind":"text","text":"a"}`, `{"body":{"kind":"text","text":"a""}}`, `{"body":{"kind":"text","text":"a\"}}`, `{}`, `{"body":null}`, ``, `no JSON`,
		`{"body":{"kind":"text","text":"a"}}}`, `{"body":{"kind":"text","text":"a"}},`, "{\"body\":{\"kind\":\"text\",\"text\":\"\xff\"}}",
	}
	for _, text := range awkward() {
		body, err := json.Marshal(chat.TextContent(text))
		must(t, err)
		bodies = append(bodies, string(body))
	}
	return bodies
}

func targets() []chat.Target {
	targets := []chat.Target{chat.ToGroup(1), chat.ToGroup(math.MaxInt32), {}}
	for _, account := range awkward() {
		targets = append(targets, chat.ToUser(account))
	}
	return targets
}

// The frames that are written by hand are, to the byte, what the encoder of all others makes of their types.
func TestFramesWrittenByHand(t *testing.T) {
	t.Parallel()
	h, _ := bareHub(t)
	for _, target := range targets() {
		for _, body := range storedBodies(t) {
			compareMessage(t, h, target, chat.Message{Seq: 42, Sender: "alice", Body: body, SentAt: 1769864645123})
		}
		for _, text := range awkward() {
			compareMessage(t, h, target, chat.Message{Seq: math.MaxInt64, Sender: text, Body: `{"body":{"kind":"text","text":"x"}}`, SentAt: -1})
			compareSent(t, text, target, chat.Message{Seq: 1, SentAt: math.MinInt64})
		}
	}
}

func FuzzFramesWrittenByHand(f *testing.F) {
	for _, body := range storedBodies(f) {
		f.Add("bob", int32(0), "alice", body, int64(1), int64(2))
	}
	for _, text := range awkward() {
		f.Add(text, int32(7), text, text, int64(math.MaxInt64), int64(math.MinInt64))
	}
	h, _ := bareHub(f)
	f.Fuzz(func(t *testing.T, user string, group int32, sender, body string, seq, sentAt int64) {
		target, m := chat.Target{User: user, Group: group}, chat.Message{Seq: seq, Sender: sender, Body: body, SentAt: sentAt}
		compareMessage(t, h, target, m)
		compareSent(t, sender, target, m)
	})
}

func compareMessage(t *testing.T, h *realtime.Hub, target chat.Target, m chat.Message) {
	t.Helper()
	message, err := wire.Message(target, m)
	must(t, err)
	want := realtime.Encode(frames.MessageFrame{Type: frames.MessageFrameTypeMessage, Message: message})
	if diff := cmp.Diff(string(want), string(h.MessageFrame(target, m))); diff != "" {
		t.Errorf("%+v to %+v (-encoder +by hand):\n%s", m, target, diff)
	}
}

func compareSent(t *testing.T, id string, target chat.Target, m chat.Message) {
	t.Helper()
	want := realtime.Encode(frames.Sent{Type: frames.SentTypeSent, ID: id, Conversation: wire.FromTarget(target), Seq: m.Seq, Time: m.SentAt})
	if diff := cmp.Diff(string(want), string(realtime.SentFrame(id, target, m))); diff != "" {
		t.Errorf("%q: %+v to %+v (-encoder +by hand):\n%s", id, m, target, diff)
	}
}

// BenchmarkEncodeSent is the answer to a send.
func BenchmarkEncodeSent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		realtime.SentFrame("r1", chat.ToUser("bob"), chat.Message{Seq: 42, SentAt: 1769864645123})
	}
}

// BenchmarkEncodeCustom is BenchmarkEncodeMessage of a body that isn't text.
func BenchmarkEncodeCustom(b *testing.B) {
	h, _ := bareHub(b)
	m := chat.Message{Seq: 42, Sender: "alice", SentAt: 1769864645123, Body: `{"body":{"data":{"a":1,"b":["x","y"]},"kind":"custom"}}`}
	b.ReportAllocs()
	for b.Loop() {
		h.MessageFrame(chat.ToGroup(1), m)
	}
}
