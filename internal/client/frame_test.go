package client

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/gen/frames"
)

// found is what Scan must find.
type found struct {
	Type, ID, Conversation, Text, Reason string
	Seq                                  int64
}

func find(raw string) found {
	f := Scan([]byte(raw))
	return found{string(f.Type), string(f.ID), string(f.Conversation), string(f.Text), string(f.Reason), f.Seq}
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		raw  string
		want found
	}{
		{`{"type":"sent","id":"17","conversation":{"user":"b"},"seq":42,"time":1}`, found{Type: "sent", ID: "17", Conversation: `{"user":"b"}`, Seq: 42}},
		{` { "seq" : 42 , "id":"17", "conversation":{"user":"b"}, "type" : "sent" } `, found{Type: "sent", ID: "17", Conversation: `{"user":"b"}`, Seq: 42}},
		{`{"message":{"seq":7,"body":{"kind":"text","text":"a \"}\\"},"conversation":{"group":3}},"type":"message"}`,
			found{Type: "message", Conversation: `{"group":3}`, Text: `a \"}\\`, Seq: 7}},
		{`{"type":"message","message":{"seq":7,"conversation":{"group":3},"body":{"kind":"notice","event":"joined"}}}`,
			found{Type: "message", Conversation: `{"group":3}`, Seq: 7}},
		{`{"type":"error","id":"3","reason":"rate_limited","message":"too fast, {\"really\"}"}`, found{Type: "error", ID: "3", Reason: "rate_limited"}},
		{`{"x":[1,{"type":"no"},"]"],"type":"bye"}`, found{Type: "bye"}},
		{`{"a":null,"b":true,"c":-1.5e3,"type":"pong"}`, found{Type: "pong"}},
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
			strings.Count(strings.ToLower(raw), `"type"`) == 1 && got.Type != f.Type {
			t.Errorf("%q is of type %q, not %q", raw, f.Type, got.Type)
		}
	})
}

// Scan finds in the encoding of the generated types what it looks for.
func TestScanFindsWhatIsGenerated(t *testing.T) {
	t.Parallel()
	user, group := "x", int32(7)
	for _, target := range []api.Target{{User: &user}, {Group: &group}} {
		sent, err := json.Marshal(frames.Sent{Type: frames.SentTypeSent, ID: "5", Seq: 9, Conversation: target})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(found{Type: "sent", ID: "5", Seq: 9, Conversation: TargetJSON(target)}, find(string(sent))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sent, diff)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	raw := []byte(`{"message":{"body":{"kind":"text","text":"` + strings.Repeat("x", 100) + `"},"conversation":{"user":"bench1"},"sender":"bench1","seq":12345,"time":1769864645123},"type":"message"}`)
	b.ReportAllocs()
	for b.Loop() {
		Scan(raw)
	}
}
