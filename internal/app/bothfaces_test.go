package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tim/gen/client"
	"tim/internal/apptest"
	"tim/internal/schema"
)

// refusal is what a client hears of a body that is refused.
type refusal struct {
	Reason  string `json:"reason"`
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// bothFaces sends bodies to REST's sendMessage and to tim.v1, from one account to its group.
type bothFaces struct {
	*site
	token  string
	group  int32
	socket *modernSocket
	n      int
}

func newBothFaces(t testing.TB) *bothFaces {
	t.Helper()
	s := start(t, apptest.Embedded, "--limit-send-rate=0")
	token := s.enter(t, "faces")
	group := s.createGroup(t, token, "faces", "faces")
	return &bothFaces{site: s, token: token, group: group, socket: openModernIn(t, s.URL, token, group)}
}

// rest sends a body by REST. The refusal is empty when it is taken.
func (b *bothFaces) rest(t testing.TB, body string) (r refusal) {
	t.Helper()
	got := b.do(t, ask{path: "/Tim/sendMessage", token: b.token, json: body, header: map[string]string{"Tim-Language": "en"}}) // as sockets tell it
	if got.status == http.StatusOK {
		return r
	}
	var problem struct {
		Field   string `json:"field"`
		Problem string `json:"problem"`
	}
	if err := json.Unmarshal(got.Data, &problem); err != nil && len(got.Data) > 0 {
		t.Fatalf("%.200s: %d %s", body, got.status, got.body)
	}
	return refusal{got.Reason, problem.Field, problem.Problem}
}

// frame sends a body as a frame of tim.v1.
func (b *bothFaces) frame(t testing.TB, body string) (r refusal) {
	t.Helper()
	b.n++
	id := fmt.Sprint(b.n)
	b.socket.write(t, fmt.Sprintf(`{"type":"send","id":%q,%s`, id, strings.TrimPrefix(strings.TrimSpace(body), "{")))
	f := b.socket.take(t)
	if f.Type == "sent" {
		return r
	}
	if err := json.Unmarshal([]byte(f.text), &r); err != nil || f.Type != "error" || f.ID != id {
		t.Fatalf("%.200s: %s", body, f.text)
	}
	return r
}

// bodyWith is a good body of a send with one field replaced, or left out by "".
func bodyWith(field, value string) string {
	fields := []struct{ name, value string }{{"to", `{"user":"nobody"}`}, {"clientId", `"c1"`}, {"body", `{"kind":"text","text":"x"}`}, {"replyTo", ""}, {"mentions", ""}}
	var parts []string
	for _, f := range fields {
		if f.name == field {
			f.value = value
		}
		if f.value != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", f.name, f.value))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

const (
	seqWords   = "must be an integer from 1 to 9223372036854775807"
	sizeWords  = "must be an integer from 0 to 9223372036854775807"
	widthWords = "must be an integer from 0 to 2147483647"
	groupWords = "must be an integer from 1 to 2147483647"
	oneOfTwo   = "must have exactly one of group and user"
	kindWords  = "must be one of audio, card, custom, file, image, location, text, video"
)

// badBodies are bodies of a send, by field and value, and what both faces say of them.
func badBodies() []struct{ field, value, where, problem string } {
	deep := strings.Repeat("[", schema.MaxDepth) + strings.Repeat("]", schema.MaxDepth)
	var many strings.Builder
	for i := range schema.MaxKeys + 1 {
		fmt.Fprintf(&many, `%s"k%d":1`, []string{"", ","}[min(i, 1)], i)
	}
	return []struct{ field, value, where, problem string }{
		{"to", ``, "to", "is missing"},
		{"to", `null`, "to", "must not be null"},
		{"to", `"bob"`, "to", "must be an object"},
		{"to", `[]`, "to", "must be an object"},
		{"to", `{}`, "to", oneOfTwo},
		{"to", `{"user":"bob","group":1}`, "to", oneOfTwo},
		{"to", `{"user":""}`, "to.user", "must not be empty"},
		{"to", `{"user":1}`, "to.user", "must be a string"},
		{"to", `{"user":null}`, "to.user", "must not be null"},
		{"to", `{"user":"` + strings.Repeat("界", 101) + `"}`, "to.user", "must have at most 100 characters"},
		{"to", `{"user":"a\nb"}`, "to.user", "must not be empty or hold control characters"},
		{"to", `{"user":"a\u0085"}`, "to.user", "must not be empty or hold control characters"},
		{"to", `{"user":"a\ud800"}`, "to.user", "must not hold half of a surrogate pair"},
		{"to", `{"user":"bob","x":1}`, "to.x", "is not a field that it can have"},
		{"to", `{"User":"bob"}`, "to.User", "is not a field that it can have"},
		{"to", `{"group":0}`, "to.group", groupWords},
		{"to", `{"group":-1}`, "to.group", groupWords},
		{"to", `{"group":1.5}`, "to.group", groupWords},
		{"to", `{"group":2147483648}`, "to.group", groupWords},
		{"to", `{"group":1e400}`, "to.group", groupWords},
		{"to", `{"group":"1"}`, "to.group", groupWords},
		{"to", `{"group":true}`, "to.group", groupWords},
		{"to", `{"group":null}`, "to.group", "must not be null"},
		{"clientId", ``, "clientId", "is missing"},
		{"clientId", `null`, "clientId", "must not be null"},
		{"clientId", `7`, "clientId", "must be a string"},
		{"clientId", `""`, "clientId", "must not be empty"},
		{"clientId", `"a b"`, "clientId", "must have visible ASCII characters alone"},
		{"clientId", `"é"`, "clientId", "must have visible ASCII characters alone"},
		{"clientId", `"` + strings.Repeat("c", 65) + `"`, "clientId", "must have at most 64 characters"},
		{"body", ``, "body", "is missing"},
		{"body", `null`, "body", "must not be null"},
		{"body", `"x"`, "body", "must be an object"},
		{"body", `7`, "body", "must be an object"},
		{"body", `{}`, "body.kind", "is missing"},
		{"body", `{"text":"x"}`, "body.kind", "is missing"},
		{"body", `{"kind":null,"text":"x"}`, "body.kind", "must not be null"},
		{"body", `{"kind":1,"text":"x"}`, "body.kind", "must be a string"},
		{"body", `{"kind":"notice","event":"joined","actor":"x"}`, "body.kind", kindWords},
		{"body", `{"kind":"","text":"x"}`, "body.kind", kindWords},
		{"body", `{"kind":"text"}`, "body.text", "is missing"},
		{"body", `{"kind":"text","text":null}`, "body.text", "must not be null"},
		{"body", `{"kind":"text","text":1}`, "body.text", "must be a string"},
		{"body", `{"kind":"text","text":"\ud83d"}`, "body.text", "must not hold half of a surrogate pair"},
		{"body", `{"kind":"text","text":"\ude00\ud83d"}`, "body.text", "must not hold half of a surrogate pair"},
		{"body", `{"kind":"text","text":"x","more":` + deep + `}`, "body.more", "is nested too deeply"},
		{"body", `{"kind":"text","text":"x",` + many.String() + `}`, "body", "has too many fields"},
		{"body", `{"kind":"image"}`, "body.file", "is missing"},
		{"body", `{"kind":"image","file":""}`, "body.file", "must not be empty"},
		{"body", `{"kind":"video","file":"` + strings.Repeat("f", 256) + `"}`, "body.file", "must have at most 255 characters"},
		{"body", `{"kind":"file","file":"x","name":null}`, "body.name", "must not be null"},
		{"body", `{"kind":"file","file":"x","size":-1}`, "body.size", sizeWords},
		{"body", `{"kind":"file","file":"x","size":9223372036854775808}`, "body.size", sizeWords},
		{"body", `{"kind":"image","file":"x","width":2147483648}`, "body.width", widthWords},
		{"body", `{"kind":"image","file":"x","height":0.5}`, "body.height", widthWords},
		{"body", `{"kind":"audio","file":"x","duration":"1"}`, "body.duration", sizeWords},
		{"body", `{"kind":"location","latitude":1}`, "body.longitude", "is missing"},
		{"body", `{"kind":"location","latitude":90.1,"longitude":0}`, "body.latitude", "must be a number from -90 to 90"},
		{"body", `{"kind":"location","latitude":0,"longitude":-1e400}`, "body.longitude", "must be a number from -180 to 180"},
		{"body", `{"kind":"location","latitude":"0","longitude":0}`, "body.latitude", "must be a number from -90 to 90"},
		{"body", `{"kind":"location","latitude":0,"longitude":0,"title":7}`, "body.title", "must be a string"},
		{"body", `{"kind":"card"}`, "body.target", "is missing"},
		{"body", `{"kind":"card","target":{}}`, "body.target", oneOfTwo},
		{"body", `{"kind":"card","target":{"group":0}}`, "body.target.group", groupWords},
		{"body", `{"kind":"custom"}`, "body.data", "is missing"},
		{"body", `{"kind":"custom","data":[]}`, "body.data", "must be an object"},
		{"body", `{"kind":"custom","data":null}`, "body.data", "must not be null"},
		{"body", `{"kind":"custom","data":{"a":[1,{"b":1e400}]}}`, "body.data.a.1.b", "must be a number of 64 bits"},
		{"body", `{"kind":"custom","data":{"a":"\ud800"}}`, "body.data.a", "must not hold half of a surrogate pair"},
		{"body", `{"kind":"custom","data":{"a":` + deep + `}}`, "body.data", "is nested too deeply"},
		{"body", `{"kind":"custom","data":{` + many.String() + `}}`, "body.data", "has too many fields"},
		{"replyTo", `0`, "replyTo", seqWords},
		{"replyTo", `"1"`, "replyTo", seqWords},
		{"replyTo", `null`, "replyTo", "must not be null"},
		{"replyTo", `9223372036854775808`, "replyTo", seqWords},
		{"mentions", `"bob"`, "mentions", "must be an array"},
		{"mentions", `null`, "mentions", "must not be null"},
		{"mentions", `["bob",1]`, "mentions.1", "must be a string"},
		{"mentions", `["bob",""]`, "mentions.1", "must not be empty"},
		{"mentions", `[` + strings.Repeat(`"bob",`, 100) + `"bob"]`, "mentions", "must have at most 100 elements"},
	}
}

// The same bad body is refused by REST and by tim.v1 for the same reason, naming the same field, in the same words.
func TestBothFacesRefuseAlike(t *testing.T) {
	t.Parallel()
	b := newBothFaces(t)
	for _, tt := range badBodies() {
		body := bodyWith(tt.field, tt.value)
		want := refusal{"invalid_body", schema.Shortened(tt.where), tt.problem}
		diff(t, fmt.Sprintf("REST: %.200s", body), want, b.rest(t, body))
		diff(t, fmt.Sprintf("tim.v1: %.200s", body), want, b.frame(t, body))
	}
	if len(badBodies()) < 60 {
		t.Error("too few of them")
	}
}

// What one face takes the other takes as the same message, whatever the spelling: its client id stands for one body.
func TestBothFacesTakeAlike(t *testing.T) {
	t.Parallel()
	b := newBothFaces(t)
	for i, spellings := range [][]string{
		{`{"kind":"text","text":"é😀<b>"}`, `{"text":"\u00e9\ud83d\ude00\u003Cb>","kind":"t\u0065xt","more":1}`},
		{`{"kind":"image","file":"x","width":20,"size":1000}`, `{"size":1e3,"file":"x","width":20.0,"kind":"image","depth":3}`},
		{`{"kind":"custom","data":{"a":1,"b":[2,{"c":null}]}}`, `{"data":{"b":[2.0,{"c":null}],"a":10e-1},"kind":"custom"}`},
		{`{"kind":"card","target":{"group":1}}`, `{"target":{"group":1.0},"kind":"card"}`},
	} {
		for _, spelling := range spellings {
			body := fmt.Sprintf(`{"to":{"group":%d},"clientId":"same%d","body":%s}`, b.group, i, spelling)
			diff(t, "REST: "+body, refusal{}, b.rest(t, body))
			diff(t, "tim.v1: "+body, refusal{}, b.frame(t, body))
		}
	}
	texts := 0
	for _, m := range b.history(t) {
		text, err := json.Marshal(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"notice"`) {
			texts++
		}
	}
	if texts != 4 {
		t.Errorf("%d messages were stored, want one of each body", texts)
	}
}

// history reads the newest messages of the group by the generated client.
func (b *bothFaces) history(t testing.TB) []client.Message {
	t.Helper()
	got, err := b.client(t, b.token).GetHistoryWithResponse(t.Context(), &client.GetHistoryParams{Account: "faces", GroupID: &b.group, Limit: new(int32(20))})
	if err != nil || got.JSON200 == nil {
		t.Fatalf("a client can't read the history: %v", err)
	}
	return got.JSON200.Data.Messages
}

// FuzzStored sends whatever is taken, on either face, and reads it back by the generated client, typed.
func FuzzStored(f *testing.F) {
	for _, body := range []string{
		`{"kind":"text","text":"x"}`, `{"kind":"image","file":"x","width":2e1,"size":9223372036854775807}`, `{"kind":"location","latitude":1e-400,"longitude":-180.0}`,
		`{"kind":"card","target":{"user":"bob"},"x":{}}`, `{"kind":"custom","data":{"a":[1e308,-0,{"b":"\ud83d\ude00"}]}}`, `{"kind":"image","file":"x","height":1e400}`,
		`{"kind":"file","file":"x","file":"y","size":1e18}`, `{"kind":"custom","data":{"a":1,"a":{}}}`, `{"kind":"text","text":"` + strings.Repeat(`\u0001`, 100) + `"}`,
	} {
		f.Add(body, false)
		f.Add(body, true)
	}
	b := newBothFaces(f)
	f.Fuzz(func(t *testing.T, body string, overREST bool) {
		if !json.Valid([]byte(body)) || strings.ContainsAny(body, "\r\n") || len(body) > 10_000 {
			return // a frame that is no JSON ends the socket
		}
		b.n++
		send := fmt.Sprintf(`{"to":{"group":%d},"clientId":"f%d","body":%s}`, b.group, b.n, body)
		face := b.frame
		if overREST {
			face = b.rest
		}
		taken := face(t, send)
		if taken != (refusal{}) {
			return
		}
		list := b.history(t)
		newest := slices.MaxFunc(list, func(a, b client.Message) int { return int(a.Seq - b.Seq) })
		if union, ok := any(newest.Body).(interface{ ValueByDiscriminator() (any, error) }); ok {
			if _, err := union.ValueByDiscriminator(); err != nil {
				t.Errorf("%s was taken, but a client can't read it: %v", body, err)
			}
		}
	})
}
