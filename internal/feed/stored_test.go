package feed

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tim/internal/chat"
)

func storedEvents() []*MessageStored {
	m := func(sender, body string) chat.Message {
		return chat.Message{Seq: 42, Sender: sender, Body: body, SentAt: 1769864645123}
	}
	const text = `{"body":{"kind":"text","text":"hello, this is a message of a usual length"}}`
	return []*MessageStored{
		{Conversation: "dQUJD", Sides: Sides{Accounts: []string{"alice", "bob"}}, Message: m("alice", text)},
		{Conversation: "dQUJD", Sides: Sides{Accounts: []string{"alice", "alice"}}, Message: m("alice", text)},
		{Conversation: "g7", Sides: Sides{Group: 7}, Message: m("alice", text)},
		{Conversation: "g7", Sides: Sides{Group: 7}, Message: chat.Message{Seq: 1, Sender: "alice", ClientID: `5f"2c\9a`, Body: text}},
		{Conversation: "g7", Sides: Sides{Group: 7}, Message: m("", `{"body":{"kind":"notice","event":"joined","actor":"alice"}}`)},
		{Conversation: "d", Sides: Sides{Accounts: []string{"密 \"\\", "<b>\u2028"}}, Message: m("\n", `{"body":{"kind":"text","text":"}],\"content\":{"},"replyTo":1}`)},
	}
}

// An event comes out of the bus as it went in, and is JSON on it.
func TestStoredOnTheBus(t *testing.T) {
	t.Parallel()
	for _, e := range storedEvents() {
		payload, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(payload) {
			t.Errorf("no JSON: %s", payload)
		}
		got, err := decode(payload)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Event(e), got); diff != "" {
			t.Errorf("%s (-in +out):\n%s", payload, diff)
		}
		for cut := range strings.Index(string(payload), `{"body"`) { // what is stored, the bus doesn't look into
			if _, err := decode(payload[:cut]); err == nil {
				t.Errorf("read: %s", payload[:cut])
			}
		}
	}
	for _, payload := range []string{
		`{"kind":"message"}`, `{"kind":"message","conversation":"g1","message":{"seq":1}}`, `{"kind":"message","conversation":"g1","group":-1,"seq":1}`,
		`{"kind":"message","conversation":"g1","group":1,"seq":1,"sentAt":1,"sender":"a","accounts":["a""b"],"content":{}}`,
	} {
		if e, err := decode([]byte(payload)); err == nil {
			t.Errorf("%s is read as %+v", payload, e)
		}
	}
}

// Whatever the bus brings, the decoder doesn't fail on it, and what is stored comes out as it went in.
func FuzzStoredOnTheBus(f *testing.F) {
	f.Add("dQUJD", int32(0), "alice", "bob", "5f2c9a", `{"body":{}}`, int64(1), []byte(`{"kind":"message","conversation":"`))
	f.Add("g1", int32(1), "", "\n\"", "\"", `{"body":"\u2028"}`, int64(0), []byte(`{"kind":"message","conversation":"","group":0,"seq":0,"sentAt":0,"sender":"","accounts":[`))
	f.Fuzz(func(t *testing.T, conversation string, group int32, sender, other, clientID, body string, seq int64, payload []byte) {
		_, _ = decode(payload)
		const most = 1e15
		for _, text := range []string{conversation, sender, other, clientID} {
			if !utf8.ValidString(text) {
				return
			}
		}
		if group < 0 || seq < 0 || seq >= most {
			return
		}
		e := &MessageStored{
			Sides: Sides{Group: group, Accounts: []string{sender, other}}, Conversation: conversation,
			Message: chat.Message{Seq: seq, Sender: sender, ClientID: clientID, Body: body, SentAt: seq},
		}
		text, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Event(e), got); diff != "" {
			t.Errorf("%s (-in +out):\n%s", text, diff)
		}
	})
}

// BenchmarkEventStored is a one-to-one message on the bus: encoded once, decoded for both sides.
func BenchmarkEventStored(b *testing.B) {
	e := storedEvents()[0]
	b.ReportAllocs()
	for b.Loop() {
		payload, err := encode(e)
		if err != nil {
			b.Fatal(err)
		}
		for _, topic := range []string{"a:alice", "a:bob"} {
			got, err := decode(payload)
			if err != nil {
				b.Fatal(err)
			}
			if target := got.target(topic); strings.HasSuffix(topic, target.User) {
				b.Fatal(target)
			}
		}
	}
}
