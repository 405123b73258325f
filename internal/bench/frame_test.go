package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/gen/frames"
)

// frame is what scan must find.
type found struct {
	Kind, ID, Conversation, Text, Reason string
	Seq                                  int64
}

func find(raw string) found {
	f := scan([]byte(raw))
	return found{string(f.kind), string(f.id), string(f.conversation), string(f.text), string(f.reason), f.seq}
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		raw  string
		want found
	}{
		{`{"type":"sent","id":"17","conversation":{"user":"b"},"seq":42,"time":1}`, found{Kind: "sent", ID: "17", Conversation: `{"user":"b"}`, Seq: 42}},
		{` { "seq" : 42 , "id":"17", "conversation":{"user":"b"}, "type" : "sent" } `, found{Kind: "sent", ID: "17", Conversation: `{"user":"b"}`, Seq: 42}},
		{`{"message":{"seq":7,"body":{"kind":"text","text":"a \"}\\"},"conversation":{"group":3}},"type":"message"}`,
			found{Kind: "message", Conversation: `{"group":3}`, Text: `a \"}\\`, Seq: 7}},
		{`{"type":"message","message":{"seq":7,"conversation":{"group":3},"body":{"kind":"notice","event":"joined"}}}`,
			found{Kind: "message", Conversation: `{"group":3}`, Seq: 7}},
		{`{"type":"error","id":"3","reason":"rate_limited","message":"too fast, {\"really\"}"}`, found{Kind: "error", ID: "3", Reason: "rate_limited"}},
		{`{"x":[1,{"type":"no"},"]"],"type":"bye"}`, found{Kind: "bye"}},
		{`{"a":null,"b":true,"c":-1.5e3,"type":"pong"}`, found{Kind: "pong"}},
		{`{}`, found{}}, {``, found{}}, {`[]`, found{}}, {`{"type"`, found{}}, {`{"type":}`, found{}}, {`{"type":"x`, found{}},
	} {
		if diff := cmp.Diff(test.want, find(test.raw)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.raw, diff)
		}
	}
}

// Wherever a frame is cut off, reading it ends and harms nobody.
func FuzzScan(f *testing.F) {
	whole := `{"type":"message","message":{"body":{"kind":"text","text":"a\\\"b"},"conversation":{"user":"b"},"seq":1,"sender":"a"}}`
	for i := range whole {
		f.Add(whole[:i])
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := find(raw)
		var f struct {
			Type string `json:"type"`
		}
		if json.Unmarshal([]byte(raw), &f) == nil && strings.HasPrefix(raw, `{"type":"`) && !strings.ContainsAny(raw, "\\") &&
			strings.Count(strings.ToLower(raw), `"type"`) == 1 && got.Kind != f.Type {
			t.Errorf("%q is of type %q, not %q", raw, f.Type, got.Kind)
		}
	})
}

// What the tool sends is what the spec asks for, and it finds in the server's own encoding what it looks for.
func TestSend(t *testing.T) {
	t.Parallel()
	all, err := frames.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 50, 1000} {
		for _, target := range []string{userTarget("bench1"), groupTarget(7)} {
			raw := appendSend(nil, target, 12, stamp{[]byte("b1"), 34_567}, size)
			var value any
			if err := json.Unmarshal(raw, &value); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			if err := all.Components.Schemas["ClientFrame"].Value.VisitJSON(value); err != nil {
				t.Errorf("%s: %v", raw, err)
			}
			var send frames.Send
			if err := json.Unmarshal(raw, &send); err != nil {
				t.Fatal(err)
			}
			body, err := send.Body.AsTextBody()
			if err != nil || send.ID != "12" || send.ClientID != "b1-12" || len(body.Text) < size || named(send.To) != target {
				t.Errorf("%s: %+v, %v", raw, send, err)
			}
			if due, ours := readStamp([]byte(body.Text), []byte("b1")); due != 34_567 || !ours {
				t.Errorf("%s: stamp %d, %t", raw, due, ours)
			}
			if _, ours := readStamp([]byte(body.Text), []byte("b")); ours {
				t.Error("another run's text is taken for one's own")
			}
		}
	}
	user := "x"
	sent, err := json.Marshal(frames.Sent{Type: frames.SentTypeSent, ID: "5", Seq: 9, Conversation: api.Target{User: &user}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found{Kind: "sent", ID: "5", Seq: 9, Conversation: userTarget("x")}, find(string(sent))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", sent, diff)
	}
}

func BenchmarkScan(b *testing.B) {
	raw := []byte(`{"message":{"body":{"kind":"text","text":"` + strings.Repeat("x", 100) + `"},"conversation":{"user":"bench1"},"sender":"bench1","seq":12345,"time":1769864645123},"type":"message"}`)
	b.ReportAllocs()
	for b.Loop() {
		scan(raw)
	}
}
