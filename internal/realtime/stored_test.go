package realtime_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tim/internal/chat"
	"tim/internal/realtime"
)

func storedEvents() []chat.Event {
	m := func(sender, body string) *chat.Message {
		return &chat.Message{Seq: 42, Sender: sender, Body: body, SentAt: 1769864645123}
	}
	const text = `{"body":{"kind":"text","text":"hello, this is a message of a usual length"}}`
	return []chat.Event{
		{Conversation: "dQUJD", Accounts: []string{"alice", "bob"}, Message: m("alice", text)},
		{Conversation: "dQUJD", Accounts: []string{"alice", "alice"}, Message: m("alice", text)},
		{Conversation: "g7", Group: 7, Message: m("alice", text)},
		{Conversation: "g7", Group: 7, Message: m("", `{"body":{"kind":"notice","event":"joined","actor":"alice"}}`)},
		{Conversation: "d", Accounts: []string{"密 \"\\", "<b>\u2028"}, Message: m("\n", `{"body":{"kind":"text","text":"}],\"content\":{"},"replyTo":1}`)},
	}
}

// An event comes out of the bus as it went in, and is JSON on it.
func TestStoredOnTheBus(t *testing.T) {
	t.Parallel()
	for _, e := range storedEvents() {
		e.Kind = chat.MessageStored
		payload, err := realtime.EncodeEvent(e)
		must(t, err)
		if !json.Valid(payload) {
			t.Errorf("no JSON: %s", payload)
		}
		got, err := realtime.DecodeEvent(payload)
		must(t, err)
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s (-in +out):\n%s", payload, diff)
		}
		for cut := range strings.Index(string(payload), `{"body"`) { // what is stored, the bus doesn't look into
			if _, err := realtime.DecodeEvent(payload[:cut]); err == nil {
				t.Errorf("read: %s", payload[:cut])
			}
		}
	}
	for _, payload := range []string{
		`{"kind":"message"}`, `{"kind":"message","conversation":"g1","message":{"seq":1}}`, `{"kind":"message","conversation":"g1","group":-1,"seq":1}`,
		`{"kind":"message","conversation":"g1","group":1,"seq":1,"sentAt":1,"sender":"a","accounts":["a""b"],"content":{}}`,
	} {
		if e, err := realtime.DecodeEvent([]byte(payload)); err == nil {
			t.Errorf("%s is read as %+v", payload, e)
		}
	}
}

// Whatever the bus brings, the decoder doesn't fail on it, and what is stored comes out as it went in.
func FuzzStoredOnTheBus(f *testing.F) {
	f.Add("dQUJD", int32(0), "alice", "bob", `{"body":{}}`, int64(1), []byte(`{"kind":"message","conversation":"`))
	f.Add("g1", int32(1), "", "\n\"", `{"body":"\u2028"}`, int64(0), []byte(`{"kind":"message","conversation":"","group":0,"seq":0,"sentAt":0,"sender":"","accounts":[`))
	f.Fuzz(func(t *testing.T, conversation string, group int32, sender, other, body string, seq int64, payload []byte) {
		_, _ = realtime.DecodeEvent(payload)
		const most = 1e15
		for _, text := range []string{conversation, sender, other} {
			if !utf8.ValidString(text) {
				return
			}
		}
		if group < 0 || seq < 0 || seq >= most {
			return
		}
		e := chat.Event{
			Kind: chat.MessageStored, Conversation: conversation, Group: group, Accounts: []string{sender, other},
			Message: &chat.Message{Seq: seq, Sender: sender, Body: body, SentAt: seq},
		}
		text, err := realtime.EncodeEvent(e)
		must(t, err)
		got, err := realtime.DecodeEvent(text)
		must(t, err)
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s (-in +out):\n%s", text, diff)
		}
	})
}

// BenchmarkEventStored is a one-to-one message on the bus: encoded once, decoded for both sides.
func BenchmarkEventStored(b *testing.B) {
	e := storedEvents()[0]
	e.Kind = chat.MessageStored
	b.ReportAllocs()
	for b.Loop() {
		payload, err := realtime.EncodeEvent(e)
		must(b, err)
		for _, topic := range []string{"a:alice", "a:bob"} {
			got, err := realtime.DecodeEvent(payload)
			must(b, err)
			if target := realtime.TargetOf(topic, got); strings.HasSuffix(topic, target.User) {
				b.Fatal(target)
			}
		}
	}
}
