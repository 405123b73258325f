package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/gen/sockets"
	"tim/internal/chat"
	"tim/internal/schema"
)

// encode is how frames are written: encoding/json without its escapes for HTML.
func encode(t testing.TB, frame any) string {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	must(t, encoder.Encode(frame))
	return strings.TrimSuffix(out.String(), "\n")
}

// A string is written to the byte as encoding/json does it, with and without its escapes for HTML.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "hello", "密码 😀", "\"\\/\b\f\n\r\t\x00\x7f\x1b", "<b>&</b>", "a\u2028b\u2029c", "\ufffd", "a\xffb\xc3", "\u0085"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if want, got := encode(t, text), string(schema.AppendString(nil, text)); got != want {
			t.Errorf("%q is written as %s, want %s", text, got, want)
		}
		want, err := json.Marshal(text)
		must(t, err)
		if got := string(schema.AppendStored(nil, text)); got != string(want) {
			t.Errorf("%q is stored as %s, want %s", text, got, want)
		}
		if plain := string(want) == `"`+text+`"`; !plain && !schema.Escapes(text) {
			t.Errorf("%q has escapes", text)
		}
	})
}

// pair is a frame in the types of the server and in those of clients.
type pair struct {
	server interface{ JSON() []byte }
	client any
}

func pairs(t testing.TB) map[string]pair {
	t.Helper()
	const text = `a "b" <c> & \u2028 中文 😀` + "\n\u2028"
	var body api.MessageBody
	must(t, body.UnmarshalJSON([]byte(`{"kind":"text","text":"\u003cb\u003e"}`)))
	user, group, seq, other, reply := text, int32(7), int64(5), int64(0), int64(3)
	to := func(json string) (out api.Target) {
		must(t, read(json, &out))
		return out
	}
	message := sockets.Message{Conversation: sockets.ConversationName{Group: 7}, Seq: 9, Sender: text, Time: -1, Body: `{"kind":"text","text":"\u003cb\u003e"}`, ReplyTo: 3, Mentions: []string{"a", text}}
	same := api.Message{Conversation: to(`{"group":7}`), Seq: 9, Sender: text, Time: -1, Body: body, ReplyTo: &reply, Mentions: &api.Mentions{"a", text}}
	bare := sockets.Message{Conversation: sockets.ConversationName{User: text}, Body: message.Body}
	return map[string]pair{
		"Hello": {&sockets.Hello{Account: text, Session: "s", Time: 1, Expires: 2, Heartbeat: 3, Limits: sockets.SocketLimits{FrameBytes: 4, SendRate: "0.5", SendBurst: 5}},
			frames.Hello{Type: "hello", Account: text, Session: "s", Time: 1, Expires: 2, Heartbeat: 3, Limits: frames.SocketLimits{FrameBytes: 4, SendRate: 0.5, SendBurst: 5}}},
		"Sent":   {&sockets.Sent{ID: "1", Conversation: sockets.ConversationName{User: user}, Seq: 1, Time: 2}, frames.Sent{Type: "sent", ID: "1", Conversation: to(encode(t, map[string]string{"user": user})), Seq: 1, Time: 2}},
		"Synced": {&sockets.Synced{ID: "1"}, frames.Synced{Type: "synced", ID: "1", Conversations: []api.Conversation{}}},
		"Synced, full": {
			&sockets.Synced{ID: "1", Next: &user, Conversations: []sockets.Conversation{{Conversation: sockets.ConversationName{Group: group}, Last: 9, Received: 1, Read: 2, Unread: 3, PeerRead: &seq, PeerReceived: &other, Message: &message}, {Conversation: sockets.ConversationName{User: "x"}}}},
			frames.Synced{Type: "synced", ID: "1", Next: &user, Conversations: []api.Conversation{{Conversation: to(`{"group":7}`), Last: 9, Received: 1, Read: 2, Unread: 3, PeerRead: &seq, PeerReceived: &other, Message: &same}, {Conversation: to(`{"user":"x"}`)}}},
		},
		"Page":         {&sockets.Page{ID: "1", Last: 9, Messages: []sockets.Message{message, bare}}, frames.Page{Type: "page", ID: "1", Last: 9, Messages: []api.Message{same, {Conversation: to(encode(t, map[string]string{"user": text})), Body: body}}}},
		"Marked":       {&sockets.Marked{ID: "1", Received: 5, Read: 4}, frames.Marked{Type: "marked", ID: "1", Received: 5, Read: 4}},
		"Done":         {&sockets.Done{ID: "1"}, frames.Done{Type: "done", ID: "1"}},
		"Subscribed":   {&sockets.Subscribed{ID: "1"}, frames.Subscribed{Type: "subscribed", ID: "1", Online: []api.Account{}}},
		"Renewed":      {&sockets.Renewed{ID: "1", Token: text, Expires: 1}, frames.Renewed{Type: "renewed", ID: "1", Token: text, Expires: 1}},
		"Pong":         {&sockets.Pong{ID: "1", Time: 1}, frames.Pong{Type: "pong", ID: "1", Time: 1}},
		"MessageFrame": {&sockets.MessageFrame{Message: message}, frames.MessageFrame{Type: "message", Message: same}},
		"MarksFrame":   {&sockets.MarksFrame{Conversation: sockets.ConversationName{Group: 7}, Account: text, Read: 1, Received: 2}, frames.MarksFrame{Type: "marks", Conversation: to(`{"group":7}`), Account: text, Read: 1, Received: 2}},
		"Presence":     {&sockets.Presence{Account: text, Online: true}, frames.Presence{Type: "presence", Account: text, Online: true}},
		"TypingFrame":  {&sockets.TypingFrame{Conversation: sockets.ConversationName{Group: 7}, Account: text}, frames.TypingFrame{Type: "typing", Conversation: to(`{"group":7}`), Account: text}},
		"Notice": {&sockets.Notice{Event: sockets.NoticeEventJoined, Conversation: sockets.ConversationName{Group: 7}, Account: &user},
			frames.Notice{Type: "notice", Event: "joined", Conversation: to(`{"group":7}`), Account: &user}},
		"SessionFrame": {&sockets.SessionFrame{Event: sockets.SessionFrameEventRenewed, Session: text}, frames.SessionFrame{Type: "session", Event: "renewed", Session: text}},
		"Error":        {&sockets.Error{Reason: "internal", Message: text}, frames.Error{Type: "error", Reason: "internal", Message: text}},
		"Error, whole": {&sockets.Error{ID: "1", Reason: "internal", Message: text, Field: &user, Problem: &user, RetryAfter: &other}, frames.Error{Type: "error", ID: new("1"), Reason: "internal", Message: text, Field: &user, Problem: &user, RetryAfter: &other}},
		"Bye":          {&sockets.Bye{Code: int32(sockets.TimV1CloseGoingAway), Reason: text, Reconnect: true, After: &other}, frames.Bye{Type: "bye", Code: 4000, Reason: text, Reconnect: true, After: &other}},
		"Connected":    {&sockets.Connected{}, frames.Connected{Code: 200, Message: "连接成功"}},
		"OnlineUsers":  {&sockets.OnlineUsers{Users: []sockets.OnlineUser{{Username: text}, {}}}, frames.OnlineUsers{Users: []frames.OnlineUser{{Username: text}, {}}}},
		"DirectTextDelivery": {
			&sockets.DirectTextDelivery{DirectTextFrom: sockets.DirectTextFrom{From: text}, DirectTextBody: sockets.DirectTextBody{Text: text}},
			[]any{frames.DirectTextFrom{From: text}, frames.DirectTextBody{Text: text}},
		},
		"ChatMessage": {&sockets.ChatMessage{FromUser: text, Time: "2026", Message: text}, frames.ChatMessage{FromUser: text, Time: "2026", Message: text}},
	}
}

func read(text string, out any) error { return json.Unmarshal([]byte(text), out) }

// Every frame that the server sends is to the byte what encoding/json makes of the types that clients have.
func TestFramesAreWrittenAsClientsKnowThem(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for name, p := range pairs(t) {
		if diff := cmp.Diff(encode(t, p.client), string(p.server.JSON())); diff != "" {
			t.Errorf("%s (-client +server):\n%s", name, diff)
		}
		kind, _, _ := strings.Cut(name, ",")
		covered[kind] = true
	}
	spec, err := frames.GetSpec()
	must(t, err)
	want := []string{"ChatMessage", "Connected", "DirectTextDelivery", "OnlineUsers"}
	for _, ref := range spec.Components.Schemas["ServerFrame"].Value.Discriminator.Mapping {
		want = append(want, ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:])
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(covered))); diff != "" {
		t.Errorf("frames of the spec (-) and here (+):\n%s", diff)
	}
}

// The bare texts are as their schemas have them.
func TestBareTexts(t *testing.T) {
	t.Parallel()
	spec, err := frames.GetSpec()
	must(t, err)
	for name, text := range map[string][]byte{
		"PeerNotOnline": sockets.PeerNotOnline("alice"), "DirectEnded": sockets.DirectEnded("alice"), "MemberOpened": sockets.MemberOpened("Alice"),
		"MemberClosed": sockets.MemberClosed("Alice"), "GroupOnlineList": sockets.GroupOnlineList("Bob, Alice"), "GroupRemainingList": sockets.GroupRemainingList("Bob"),
		"GroupOnlineCount": sockets.GroupOnlineCount(201), "MemberNotOnline": sockets.MemberNotOnline(),
	} {
		s := spec.Components.Schemas[name].Value
		if diff := cmp.Diff(s.Example, any(string(text))); diff != "" {
			t.Errorf("%s (-example +got):\n%s", name, diff)
		}
	}
}

// A close code is told once, in asyncapi.yaml; whether to come back after it follows from its number on tim.v1.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	spec, err := frames.GetSpec()
	must(t, err)
	listed := spec.Components.Schemas["CloseCode"].Value
	values := listed.Enum
	if more, ok := listed.Extensions["x-extensible-enum"].([]any); ok {
		values = more
	}
	if len(values) == 0 {
		t.Error("the spec lists none")
	}
	for _, value := range values {
		code := sockets.TimV1Close(value.(float64))
		if back := code >= 4000 && code < 4500; code.Reconnect() != back {
			t.Errorf("%d: reconnect is %t", code, code.Reconnect())
		}
	}
	if !sockets.ContractCloseGoingAway.Reconnect() || sockets.ContractCloseNormal.Reconnect() {
		t.Error("1001 says come back, 1000 doesn't")
	}
}

// What is made to cost much costs little: less than 100 µs a frame, but for what messages may hold.
func TestHostileFramesCostLittle(t *testing.T) {
	t.Parallel()
	for name, frame := range hostile() {
		text := []byte(frame)
		best := time.Hour
		for range 300 { // on a machine with other work one of so many is undisturbed
			start := time.Now()
			_, _, err := sockets.DecodeTimV1(text)
			best = min(best, time.Since(start))
			if err == nil {
				t.Fatalf("%s: taken", name)
			}
		}
		limit := 100 * time.Microsecond
		if strings.HasSuffix(name, "in data") {
			limit *= 3
		}
		if instrumented {
			limit *= 20
		}
		if best > limit {
			t.Errorf("%s: %v, want less than %v", name, best, limit)
		}
	}
}

// A body has one spelling, however a client writes it.
func TestOneSpelling(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		`{"kind":"text","text":"é😀\u003c"}`: {`{"kind":"text","text":"é😀<"}`, "{\n\t\"text\" : \"\\u00e9\\ud83d\\ude00\\u003C\",\r\n \"ki\\u006ed\":\"t\\u0065xt\", \"x\":[] }"},
		`{"data":{"a":[1,{"x":null,"y":true}],"b":12345678901234567890.5},"kind":"custom"}`: {
			`{"kind":"custom","data":{"b":12345678901234567890.5,"a":[1.0,{"y":true,"x":null}]}}`, `{"data":{"a":[ 10e-1 , {"x":null,"y":true} ],"b":0,"b":12345678901234567890.5},"kind":"custom"}`,
		},
		`{"file":"x","height":2,"kind":"image","size":1000,"width":20}`: {`{"kind":"image","file":"x","width":2e1,"height":2.0,"size":1e3,"depth":1}`},
		`{"kind":"location","latitude":1.50,"longitude":-2}`:            {`{"kind":"location","latitude":1.50,"longitude":-2.0,"x":1}`},
		`{"kind":"card","target":{"group":1}}`:                          {`{"kind":"card","target":{"group":1.0}}`},
		`{"data":{"n":1000000000000000000},"kind":"custom"}`:            {`{"kind":"custom","data":{"n":1e18}}`, `{"kind":"custom","data":{"n":1000000000000000000.0}}`},
	} {
		for _, s := range spellings {
			request, _, err := sockets.DecodeTimV1([]byte(fmt.Sprintf(`{"type":"send","id":"1","to":{"group":1},"clientId":"c","body":%s}`, s)))
			must(t, err)
			if got := string(request.(*sockets.Send).Body.JSON); got != want {
				t.Errorf("%s is stored as %s, want %s", s, got, want)
			}
		}
	}
}

// Plain text has the same spelling whether a client of tim.v1 or REST sends it, or one of the contract's sockets: a retry is
// recognised by it.
func TestPlainTextHasOneSpelling(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hello", "密码 😀", "\"\\/\b\f\n\r\t\x00\x7f", "<b>&</b>", "\u2028\u2029", "\ufffd"} {
		want, err := json.Marshal(map[string]string{"text": text, "kind": "text"})
		must(t, err)
		quoted, err := json.Marshal(text)
		must(t, err)
		if diff := cmp.Diff(string(want), string(chat.TextContent(text).Body)); diff != "" {
			t.Errorf("%q (-want +from chat):\n%s", text, diff)
		}
		for _, body := range []string{string(want), ` {"text":` + string(quoted) + `, "kind":"text"}`, `{"kind":"t\u0065xt","text":` + string(quoted) + `}`} {
			request, _, err := sockets.DecodeTimV1(fmt.Appendf(nil, `{"type":"send","id":"1","to":{"group":1},"clientId":"c","body":%s}`, body))
			must(t, err)
			if diff := cmp.Diff(string(want), string(request.(*sockets.Send).Body.JSON)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", body, diff)
			}
			checked, err := check("sendMessage", fmt.Sprintf(`{"to":{"group":1},"clientId":"c","body":%s}`, body))
			must(t, err)
			if !bytes.Contains(checked, want) {
				t.Errorf("%s is checked as %s", body, checked)
			}
		}
	}
}
