package realtime_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	apispec "tim/api"
	"tim/gen/frames"
	"tim/internal/realtime"
)

// plainFrames are of the shape that plainRequest takes, otherFrames are not, be they good or bad.
func plainFrames() []string {
	account := strings.Repeat("界", realtime.MaxAccount)
	return []string{
		sendFrame,
		`{"type":"ping","id":"1"}`, `{"id":"~!","type":"ping"}`, " {\n\"id\" :\t\"1\" ,\r\"type\": \"ping\" } ",
		`{"type":"read","id":"1","conversation":{"user":"bob"},"seq":1}`, `{"seq":999999999999999,"conversation":{"group":1},"id":"1","type":"received"}`,
		`{"body":{"text":"","kind":"text"},"clientId":"c","to":{"group":2147483647},"id":"1","type":"send","replyTo":7}`,
		`{"type":"send","id":"<&>","to":{"user":"rene\u0301"},"clientId":"'","body":{"kind":"text","text":"\u00e9 \ud83d\ude00 \"\\\/\b\f\n\r\t <&> \u2028"}}`,
		`{"type":"send","id":"1","to":{"user":"中文 😀"},"clientId":"c","body":{"kind":"text","text":"密码 😀 ` + "\u2028\u2029\u007f\u0085" + ` <b>&"}}`,
		`{"type":"send","id":"1","to":{"user":"\u0062ob"},"clientId":"c","body":{"kind":"text","text":"\ud800 \u0000"}}`,
		`{"type":"send","id":"` + strings.Repeat("i", realtime.MaxRequestID) + `","to":{"user":"` + account + `"},"clientId":"` +
			strings.Repeat("c", realtime.MaxClientID) + `","body":{"kind":"text","text":"x"}}`,
	}
}

func otherFrames() []string {
	frames := []string{
		``, `{}`, `[]`, `null`, `"send"`, `{"type":"ping","id":"1"`, `{"type":"ping","id":"1"}}`, `{"type":"ping","id":"1"} x`, `{"type":"ping","id":"1",}`,
		`{"type":"ping" "id":"1"}`, `{"type":"ping","id":"1","x":1}`, `{"type":"ping","id":"1","id":"2"}`, `{"type":"ping","type":"ping","id":"1"}`,
		`{"type":"ping","ID":"1"}`, `{"type":"pin\u0067","id":"1"}`, `{"typ\u0065":"ping","id":"1"}`, `{"type":"ping","id":"\u0041"}`, `{"type":"ping"}`,
		`{"type":"ping","id":""}`, `{"type":"ping","id":"a b"}`, `{"type":"ping","id":"é"}`, `{"type":"ping","id":"\u007f"}`, "{\"type\":\"ping\",\"id\":\"\x7f\"}",
		`{"type":"ping","id":1}`, `{"type":"ping","id":null}`, `{"type":"sync","id":"1"}`, `{"type":"ping","id":"1","to":{"user":"bob"}}`,
		`{"type":"ping","id":"1","seq":1}`, `{"type":"read","id":"1","conversation":{"user":"bob"},"seq":1,"to":{"user":"bob"}}`,
		"{\"type\":\"send\",\"id\":\"1\",\"to\":{\"user\":\"bob\"},\"clientId\":\"c\",\"body\":{\"kind\":\"text\",\"text\":\"\xff\"}}",
		"{\"type\":\"send\",\"id\":\"1\",\"to\":{\"user\":\"bob\"},\"clientId\":\"c\",\"body\":{\"kind\":\"text\",\"text\":\"a\nb\"}}",
		"{\"type\":\"ping\",\"id\":\"1\"\v}", `{"type":"ping","id":"` + strings.Repeat("i", realtime.MaxRequestID+1) + `"}`, strings.Repeat(`{"to":`, 10_000),
	}
	for _, seq := range []string{
		`0`, `-1`, `01`, `1.0`, `1e2`, `1.5`, `9999999999999999`, `9223372036854775807`, `9223372036854775808`, `1e400`, `"1"`, `null`, `true`, `{}`, `1 2`, ``,
	} {
		frames = append(frames, fmt.Sprintf(`{"type":"read","id":"1","conversation":{"user":"bob"},"seq":%s}`, seq))
	}
	for _, target := range []string{
		`{}`, `{"user":"bob","group":1}`, `{"user":"bob","user":"bob"}`, `{"user":"bob","user":"carol"}`, `{"group":0}`, `{"group":2147483648}`, `{"group":1.0}`,
		`{"group":"1"}`, `{"user":""}`, `{"user":1}`, `{"user":null}`, `{"User":"bob"}`, `{"user":"bob","x":1}`, `{"user":"a\nb"}`, `{"user":"a\u0085b"}`,
		"{\"user\":\"a\u0085b\"}", "{\"user\":\"a\u007fb\"}", `{"user":"` + strings.Repeat("界", realtime.MaxAccount+1) + `"}`, `"bob"`, `null`, `[]`, `{"user":"\u00"}`,
	} {
		frames = append(frames, fmt.Sprintf(`{"type":"send","id":"1","to":%s,"clientId":"c","body":{"kind":"text","text":"x"}}`, target))
	}
	for _, body := range []string{
		`{"kind":"text"}`, `{"text":"x"}`, `{"kind":"text","text":1}`, `{"kind":"text","text":null}`, `{"kind":"text","text":"x","more":1}`, `{"kind":"notice","text":"x"}`,
		`{"kind":"text","text":"x","text":"y"}`, `{"kind":"custom","kind":"text","text":"x"}`, `{"kind":"custom","data":{"a":1}}`, `{"Kind":"text","text":"x"}`,
		`{"kind":"text","text":"\x"}`, `{"kind":"text","text":"\u12"}`, `{"kind":"text","text":"x\"}`, `{"kind":"text","text":"x\`, `"x"`, `null`, `{}`,
	} {
		frames = append(frames, fmt.Sprintf(`{"type":"send","id":"1","to":{"user":"bob"},"clientId":"c","body":%s}`, body))
	}
	for _, more := range []string{
		`"mentions":["bob"]`, `"mentions":[]`, `"mentions":null`, `"replyTo":null`, `"replyTo":0`, `"replyTo":1,"replyTo":2`, `"kind":"text"`, `"text":"x"`, `"seq":1`,
		`"conversation":{"user":"bob"}`, `"body":{"kind":"text","text":"y"}`, `"x":null`,
	} {
		frames = append(frames, fmt.Sprintf(`{"type":"send","id":"1","to":{"user":"bob"},"clientId":"c","body":{"kind":"text","text":"x"},%s}`, more))
	}
	return frames
}

// Frames of the plain shape take the fast way, all others the slow one, and where both ways are there they lead to the same.
func TestPlainRequest(t *testing.T) {
	t.Parallel()
	h, _ := bareHub(t)
	for _, frame := range plainFrames() {
		if _, _, ok := realtime.PlainRequest([]byte(frame)); !ok {
			t.Errorf("not taken: %s", frame)
		}
		comparePlain(t, h, []byte(frame))
	}
	for _, frame := range otherFrames() {
		if request, _, ok := realtime.PlainRequest([]byte(frame)); ok {
			t.Errorf("%s is taken for %+v", frame, request)
		}
	}
	for c := range 256 { // raw and escaped, wherever a text stands
		for _, text := range []string{string([]byte{byte(c)}), string(rune(c)), fmt.Sprintf(`\u%04x`, c), `\` + string([]byte{byte(c)})} {
			for _, was := range []string{"hello", "bob", "r1", "5f2c9a", "text", "send", "user"} {
				comparePlain(t, h, []byte(strings.Replace(sendFrame, was, was+text, 1)))
			}
		}
	}
	for cut := range sendFrame {
		if _, _, ok := realtime.PlainRequest([]byte(sendFrame[:cut])); ok {
			t.Errorf("taken: %s", sendFrame[:cut])
		}
	}
}

// What plainRequest takes is to the schemas the same, to the byte that is stored.
func FuzzPlainRequest(f *testing.F) {
	for _, seed := range append(plainFrames(), otherFrames()...) {
		f.Add([]byte(seed))
	}
	h, _ := bareHub(f)
	f.Fuzz(func(t *testing.T, frame []byte) { comparePlain(t, h, frame) })
}

func comparePlain(t *testing.T, h *realtime.Hub, frame []byte) {
	t.Helper()
	request, id, ok := realtime.PlainRequest(frame)
	if !ok {
		return
	}
	want, wantID, err := h.DecodeAny(frame)
	if err != nil {
		t.Fatalf("%s is taken for %+v, but: %v", frame, request, err)
	}
	if id != wantID || id == "" {
		t.Errorf("the id of %s is %q, want %q", frame, id, wantID)
	}
	send, isSend := want.(frames.Send)
	if !isSend {
		if diff := cmp.Diff(want, request); diff != "" {
			t.Errorf("%s (-schemas +plain):\n%s", frame, diff)
		}
		return
	}
	if got := request.(frames.Send); got.Type != send.Type || got.ID != send.ID || got.ClientID != send.ClientID {
		t.Errorf("%s is taken for %+v, want %+v", frame, got, send)
	}
	target, content, err := realtime.SentContent(want)
	must(t, err)
	gotTarget, gotContent, err := h.DecodeSend(frame)
	must(t, err)
	if diff := cmp.Diff(target, gotTarget) + cmp.Diff(content, gotContent); diff != "" {
		t.Errorf("%s (-schemas +plain):\n%s", frame, diff)
	}
}

// plainRequest checks by hand what these schemas ask. Whoever changes one of them must look at plainRequest, too, and then
// write here what it is now.
func TestPlainRequestKnowsTheSchemas(t *testing.T) {
	t.Parallel()
	spec, err := frames.GetSpec()
	must(t, err)
	must(t, apispec.Simplify(spec))
	kind := func(name string) string { return `{"enum":["` + name + `"],"type":"string"}` }
	token := `{"maxLength":%d,"minLength":1,"pattern":"^[\\x21-\\x7E]+$","type":"string"}`
	target := `{"additionalProperties":false,"maxProperties":1,"minProperties":1,"properties":{"group":%s,"user":%s},"type":"object"}`
	id := fmt.Sprintf(token, realtime.MaxRequestID)
	seq := `{"format":"int64","minimum":1,"type":"integer"}`
	target = fmt.Sprintf(target, `{"format":"int32","maximum":2147483647,"minimum":1,"type":"integer"}`,
		`{"maxLength":`+strconv.Itoa(realtime.MaxAccount)+`,"minLength":1,"pattern":"^[^\\x00-\\x1F\\x7F-\\x9F]+$","type":"string"}`)
	mark := `{"properties":{"conversation":` + target + `,"id":` + id + `,"seq":` + seq + `,"type":%s},"required":["type","id","conversation","seq"],"type":"object"}`
	for name, want := range map[string]string{
		"Ping":     `{"properties":{"id":` + id + `,"type":` + kind("ping") + `},"required":["type","id"],"type":"object"}`,
		"Read":     fmt.Sprintf(mark, kind("read")),
		"Received": fmt.Sprintf(mark, kind("received")),
		"Send": `{"properties":{"body":"one of several","clientId":` + fmt.Sprintf(token, realtime.MaxClientID) + `,"id":` + id + `,"mentions":"not taken","replyTo":` + seq +
			`,"to":` + target + `,"type":` + kind("send") + `},"required":["type","id","to","clientId","body"],"type":"object"}`,
	} {
		if diff := cmp.Diff(want, constraints(t, spec.Components.Schemas[name].Value)); diff != "" {
			t.Errorf("%s (-plainRequest +schema):\n%s", name, diff)
		}
	}
	for _, body := range spec.Components.Schemas["Send"].Value.Properties["body"].Value.OneOf {
		if strings.HasSuffix(body.Ref, "TextBody") {
			want := `{"properties":{"kind":` + kind("text") + `,"text":{"type":"string"}},"required":["kind","text"],"type":"object"}`
			if diff := cmp.Diff(want, constraints(t, body.Value)); diff != "" {
				t.Errorf("TextBody (-plainRequest +schema):\n%s", diff)
			}
			return
		}
	}
	t.Error("a message's body can't be text")
}

// constraints are what a schema asks, as JSON: whatever is in it but its words to readers.
func constraints(t *testing.T, s *openapi3.Schema) string {
	t.Helper()
	text, err := json.Marshal(asked(t, s))
	must(t, err)
	return string(text)
}

func asked(t *testing.T, s *openapi3.Schema) any {
	t.Helper()
	text, err := json.Marshal(s)
	must(t, err)
	var all map[string]any
	must(t, json.Unmarshal(text, &all))
	delete(all, "description")
	delete(all, "x-nullable")
	delete(all, "example")
	properties := map[string]any{}
	for name, p := range s.Properties {
		switch {
		case len(p.Value.OneOf) > 0:
			properties[name] = "one of several"
		case name == "mentions":
			properties[name] = "not taken"
		default:
			properties[name] = asked(t, p.Value)
		}
	}
	if len(properties) > 0 {
		all["properties"] = properties
	}
	return all
}

// BenchmarkDecodeEscaped is DecodeSend of a text of several lines.
func BenchmarkDecodeEscaped(b *testing.B) {
	h, _ := bareHub(b)
	frame := []byte(strings.Replace(sendFrame, "hello, ", `hello,\n`, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := h.DecodeSend(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeAny is a send that has to go by the schemas.
func BenchmarkDecodeAny(b *testing.B) {
	h, _ := bareHub(b)
	b.ReportAllocs()
	for b.Loop() {
		request, _, err := h.DecodeAny([]byte(sendFrame))
		must(b, err)
		if _, _, err := realtime.SentContent(request); err != nil {
			b.Fatal(err)
		}
	}
}
