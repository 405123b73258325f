package wire

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/internal/chat"
	"tim/internal/fault"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What goes in comes out.
func TestMessageRoundTrip(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"kind":"text","text":"<hi> & \u2028"}`, `{"kind":"text","text":""}`, `{"file":"x","kind":"image","width":3}`,
		`{"kind":"location","latitude":31.2304,"longitude":-121}`, `{"kind":"card","target":{"group":1}}`, `{"data":{"n":1e3},"kind":"custom"}`,
	} {
		reply, mentions := api.Seq(3), api.Mentions{"bob"}
		var b api.SendBody
		must(t, b.UnmarshalJSON([]byte(body)))
		c, err := Content(b, &reply, &mentions)
		must(t, err)
		stored, err := json.Marshal(c)
		must(t, err)
		m, err := Message(chat.ToUser("bob"), chat.Message{Seq: 4, Sender: "alice", Body: string(stored), SentAt: 5})
		must(t, err)
		text, err := m.Body.MarshalJSON()
		must(t, err)
		var got, want any
		must(t, json.Unmarshal(text, &got))
		must(t, json.Unmarshal([]byte(body), &want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-in +out):\n%s", body, diff)
		}
		if m.Seq != 4 || m.Sender != "alice" || m.Time != 5 || *m.ReplyTo != 3 || (*m.Mentions)[0] != "bob" || *m.Conversation.User != "bob" {
			t.Errorf("got %+v", m)
		}
	}
	plain, err := Message(chat.ToGroup(7), chat.Message{Body: `{"body":{"kind":"text","text":"x"}}`})
	must(t, err)
	if plain.ReplyTo != nil || plain.Mentions != nil || *plain.Conversation.Group != 7 || plain.Conversation.User != nil {
		t.Errorf("got %+v", plain)
	}
}

func TestParamTarget(t *testing.T) {
	t.Parallel()
	friend, group := api.Account("rene\u0301"), api.GroupID(7)
	got, err := ParamTarget(&friend, nil)
	if err != nil || got != chat.ToUser("ren\u00e9") {
		t.Errorf("a friend: %+v, %v", got, err)
	}
	got, err = ParamTarget(nil, &group)
	if err != nil || got != chat.ToGroup(7) {
		t.Errorf("a group: %+v, %v", got, err)
	}
	if _, err = ParamTarget(nil, nil); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("neither: %v", err)
	}
	if _, err = ParamTarget(&friend, &group); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("both: %v", err)
	}
}

func TestConversation(t *testing.T) {
	t.Parallel()
	last := chat.Message{Seq: 9, Sender: "bob", Body: `{"body":{"kind":"text","text":"x"}}`}
	direct, err := Conversation(chat.Conversation{
		Target: chat.ToUser("bob"), LastSeq: 9, ReceivedSeq: 8, ReadSeq: 6, PeerReceived: 7, PeerRead: 5, Last: &last,
	})
	must(t, err)
	if direct.First != 1 || direct.Unread != 3 || direct.Received != 8 || direct.Read != 6 || *direct.PeerReceived != 7 || *direct.PeerRead != 5 || direct.Message.Seq != 9 {
		t.Errorf("got %+v", direct)
	}
	group, err := Conversation(chat.Conversation{Target: chat.ToGroup(7), JoinedSeq: 2, LastSeq: 2, ReadSeq: 2})
	must(t, err)
	if group.First != 3 || group.Unread != 0 || group.PeerRead != nil || group.PeerReceived != nil || group.Message != nil {
		t.Errorf("got %+v", group)
	}
}
