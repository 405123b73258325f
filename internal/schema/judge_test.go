package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	apispec "tim/api"
	"tim/gen/api"
	"tim/gen/bodies"
	"tim/gen/frames"
	"tim/gen/sockets"
	"tim/internal/fault"
	"tim/internal/schema"
)

// The judge of what the generated decoders take is kin-openapi's visitor, on the schemas from which they were generated.

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// judge knows the schemas of frames, by type, and those of bodies, by operationId.
type judge struct {
	frames map[string]*openapi3.Schema
	direct *openapi3.Schema
	bodies map[string]*openapi3.Schema
}

func newJudge(t testing.TB) *judge {
	t.Helper()
	spec, err := frames.GetSpec()
	must(t, err)
	j := &judge{frames: map[string]*openapi3.Schema{}, bodies: map[string]*openapi3.Schema{}, direct: spec.Components.Schemas["DirectText"].Value}
	for kind, ref := range spec.Components.Schemas["ClientFrame"].Value.Discriminator.Mapping {
		j.frames[kind] = spec.Components.Schemas[ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]].Value
	}
	rest, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
	must(t, err)
	for _, item := range rest.Paths.Map() {
		for _, o := range item.Operations() {
			if o.RequestBody == nil {
				continue
			}
			if media := o.RequestBody.Value.Content.Get("application/json"); media != nil {
				j.bodies[o.OperationID] = media.Schema.Value
			}
		}
	}
	return j
}

// parse reads JSON with its numbers as they are written, of fields that are there twice the last. twice says that some are.
func parse(text []byte) (value any, twice bool, err error) {
	if !json.Valid(text) {
		return nil, false, errors.New("no JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, false, err
	}
	return value, repeats(json.NewDecoder(bytes.NewReader(text))), nil
}

// repeats reports whether the next value of a decoder has an object with a field that is there twice.
func repeats(d *json.Decoder) bool {
	var names []map[string]bool // of the objects that are open; nil for an array
	key := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return false
		}
		top := len(names) - 1
		if name, ok := token.(string); ok && top >= 0 && names[top] != nil && key {
			if names[top][name] {
				return true
			}
			names[top][name] = true
			key = false
			continue
		}
		switch token {
		case json.Delim('{'):
			names = append(names, map[string]bool{})
		case json.Delim('['):
			names = append(names, nil)
		case json.Delim('}'), json.Delim(']'):
			names = names[:top]
		}
		key = len(names) > 0 && names[len(names)-1] != nil
	}
}

// normal is a value with its integers written as such.
func normal(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = normal(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = normal(inner)
		}
		return out
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
		if !strings.ContainsAny(v.String(), ".eE") {
			return v
		}
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
			return json.Number(strconv.FormatInt(int64(f), 10))
		}
		if exact, _, err := big.ParseFloat(v.String(), 10, 128, big.ToZero); err == nil && exact.IsInt() {
			if n, accuracy := exact.Int64(); accuracy == big.Exact {
				return json.Number(strconv.FormatInt(n, 10))
			}
		}
	}
	return value
}

// stricter reports whether a refusal, of what the schemas take, is by one of the rules that JSON Schema can't say: numbers
// have 64 bits at most, texts are Unicode, nothing is too deep or has too many fields, and both of two fields with one name must be good.
func stricter(err error, value any, twice bool) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		return false
	}
	switch f.Problem {
	case schema.HalfSurrogate, schema.TooDeep, schema.TooManyFields, schema.TooLargeNumber:
		return true
	}
	if twice {
		return true
	}
	for name := range strings.SplitSeq(f.Field, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i < len(v) {
				value = v[i]
			}
		}
	}
	number, ok := value.(json.Number)
	if !ok {
		return false
	}
	exact, _, err := big.ParseFloat(number.String(), 10, 1200, big.ToZero)
	if err != nil {
		return true
	}
	_, accuracy := exact.Int64()
	return !exact.IsInt() || accuracy != big.Exact // 1.00000000000000000001 is a float64 that is an integer
}

func seeds() []string {
	frames := []string{
		sendFrame, ``, `{}`, `[]`, `null`, `"send"`, `{"type":"ping","id":"1"}`, `{"id":"~!","type":"ping"}`, " {\n\"id\" :\t\"1\" ,\r\"type\": \"ping\" } ",
		`{"type":"ping","id":"1","ID":"a b"}`, `{"type":"ping","id":"a","id":"b"}`, `{"type":"pin\u0067","\u0069d":"1"}`, `{"type":"ping","id":"1"} x`,
		`{"type":"sync","id":"s","have":[{"conversation":{"group":1},"seq":1.0}],"after":""}`, `{"type":"sync","id":"s","have":[]}`,
		`{"type":"history","id":"h","conversation":{"group":1},"before":9223372036854775808,"limit":1e2}`, `{"type":"history","id":"h","conversation":{"group":1},"before":0,"after":1}`,
		`{"type":"history","id":"h","conversation":{"user":"é"},"after":7}`, `{"type":"subscribe","id":"s","accounts":["a","é"]}`, `{"type":"renew","id":"r"}`,
		`{"type":"typing","id":"t","conversation":{"user":"\u0062ob"}}`, `{"type":"typing","id":"\ud800"}`, "{\"type\":\"renew\",\"id\":\"\xff\"}",
		`{"type":"received","id":"1","conversation":{"user":"b","user":"c"},"seq":1}`, strings.Repeat(`{"a":`, 200), `{"x":{"a":[1,{},[],"\u00e9",-1.5e+3,true,false,null]},"type":"ping","id":"1"}`,
		`{"type":"send","id":"x","to":{"group":1},"clientId":"c","body":{"kind":"custom","data":{"x":` + strings.Repeat("[", 90) + strings.Repeat("]", 90) + `}}}`,
	}
	for _, seq := range []string{`0`, `1`, `-1`, `01`, `1.0`, `1e2`, `1.5`, `-0`, `9007199254740993`, `9007199254740993.0`, `1e18`, `9223372036854775807`, `9223372036854775808`, `1e400`, `"1"`, `null`, `1e`, `1.`} {
		frames = append(frames, fmt.Sprintf(`{"type":"read","id":"1","conversation":{"user":"bob"},"seq":%s}`, seq))
	}
	for _, to := range []string{`{}`, `{"user":"bob","group":1}`, `{"group":0}`, `{"group":2147483648}`, `{"group":1.0}`, `{"user":""}`, `{"user":1}`, `{"user":null}`, `{"User":"bob"}`, `{"user":"bob","x":1}`,
		`{"user":"a\nb"}`, `{"user":"a\u0085b"}`, `{"user":"` + strings.Repeat("界", 101) + `"}`, `"bob"`, `null`, `[]`, `{"user":"\u00"}`} {
		frames = append(frames, strings.Replace(sendFrame, `{"user":"bob"}`, to, 1))
	}
	for _, body := range goodBodies() {
		frames = append(frames, strings.Replace(sendFrame, `{"kind":"text","text":"hello, this is a message of a usual length"}`, body, 1))
	}
	for _, body := range []string{`{"kind":"text"}`, `{"text":"x"}`, `{"kind":"text","text":1}`, `{"kind":"notice","text":"x"}`, `{"kind":"custom","kind":"text","text":"x","data":{}}`, `{"kind":1,"text":"x"}`,
		`{"kind":"image","file":""}`, `{"kind":"location","latitude":91,"longitude":0}`, `{"kind":"card","target":{}}`, `{"kind":"custom","data":[]}`, `{"kind":"text","text":"\ud83d"}`, `{"kind":"custom","data":{"\ud83d":1e999}}`} {
		frames = append(frames, strings.Replace(sendFrame, `{"kind":"text","text":"hello, this is a message of a usual length"}`, body, 1))
	}
	return frames
}

func goodBodies() []string {
	return []string{
		`{"kind":"text","text":"é 😀 \u00e9 \ud83d\ude00 \"\\\/\b\f\n\r\t <&> \u2028"}`, `{"kind":"text","text":"x","more":{"a":1}}`, `{"text":"","kind":"text"}`,
		`{"kind":"image","file":"x.png","width":3,"height":4.0,"size":1e3,"duration":0,"name":""}`, `{"kind":"audio","file":"x","name":"<b>"}`,
		`{"kind":"location","latitude":31.2304,"longitude":-1.210e2,"title":"Shanghai"}`, `{"kind":"card","target":{"group":1}}`, `{"target":{"user":"bob"},"kind":"card"}`,
		`{"kind":"custom","data":{}}`, `{"kind":"custom","data":{"b":1e3,"a":[1,2.0,1.50,null,true,"<",{"y":{},"x":[]}],"c":-0,"b":2,"":1,"é":12345678901234567890.5}}`,
	}
}

// What the decoder of tim.v1 takes is to the schemas the same, and what it refuses they refuse, or a stricter rule does.
func FuzzTimV1(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	j := newJudge(f)
	f.Fuzz(func(t *testing.T, frame []byte) { j.frame(t, frame) })
}

func (j *judge) frame(t *testing.T, frame []byte) {
	t.Helper()
	request, id, err := sockets.DecodeTimV1(frame)
	again, object := sockets.TimV1RequestID(frame)
	value, twice, jsonErr := parse(frame)
	fields, isObject := value.(map[string]any)
	if errors.Is(err, schema.ErrNoObject) {
		if jsonErr == nil && isObject && utf8.Valid(frame) {
			t.Errorf("it is an object: %q", frame)
		}
		return
	}
	if err == nil && (jsonErr != nil || !isObject) {
		t.Fatalf("taken, but no JSON object: %q", frame)
	}
	if err != nil {
		named(t, err)
		if jsonErr == nil && !stricter(err, value, twice) {
			kind, _ := fields["type"].(string)
			if s := j.frames[kind]; s != nil && s.VisitJSON(value) == nil {
				t.Errorf("refused, but not by the schema: %q: %v", frame, err)
			}
		}
		return
	}
	if again != id || !object || id == "" || id != request.RequestID() {
		t.Errorf("the id is %q, %q, %q", id, again, request.RequestID())
	}
	if err := j.frames[fields["type"].(string)].VisitJSON(value); err != nil {
		t.Fatalf("taken, but not by the schema: %q: %v", frame, err)
	}
	var union frames.ClientFrame
	text, err := json.Marshal(normal(fields))
	must(t, err)
	must(t, union.UnmarshalJSON(text))
	want, err := union.ValueByDiscriminator()
	if err != nil {
		t.Fatalf("taken, but no client could read it: %s: %v", text, err)
	}
	got := client(t, request)
	if send, ok := want.(frames.Send); ok && !sameJSON(send.Body, got.(frames.Send).Body) {
		t.Errorf("%q has another body: %s", frame, request.(*sockets.Send).Body.JSON)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(api.SendBody{})); diff != "" {
		t.Errorf("%q (-client +server):\n%s", frame, diff)
	}
}

// named fails the test unless a refusal names a field and says what would be right, shortly.
func named(t *testing.T, err error) {
	t.Helper()
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok || f.Field == "" || !utf8.ValidString(f.Field) || len(f.Field) > 300 || f.Problem == "" || len(f.Problem) > 300 {
		t.Errorf("an unclear refusal: %v", err)
	}
}

// sameJSON compares bodies of messages. The server's has lost the fields that its kind doesn't have.
func sameJSON(client, server api.SendBody) bool {
	var all, kept map[string]any
	for body, out := range map[*api.SendBody]*map[string]any{&client: &all, &server: &kept} {
		text, err := body.MarshalJSON()
		if err != nil || json.Unmarshal(text, out) != nil {
			return false
		}
	}
	for name := range all {
		if !slices.Contains(fieldsOf(all["kind"]), name) {
			delete(all, name)
		}
	}
	return reflect.DeepEqual(all, kept) // cmp takes exponential time for what is nested
}

// fieldsOf are those of a kind of body.
func fieldsOf(kind any) []string {
	switch kind {
	case "text":
		return []string{"kind", "text"}
	case "location":
		return []string{"kind", "latitude", "longitude", "title"}
	case "card":
		return []string{"kind", "target"}
	case "custom":
		return []string{"data", "kind"}
	default:
		return []string{"duration", "file", "height", "kind", "name", "size", "width"}
	}
}

// client is a request in the types of clients.
func client(t *testing.T, request sockets.TimV1Request) any {
	t.Helper()
	to := func(target sockets.Target) (out api.Target) {
		text, err := json.Marshal(map[string]any{"user": target.User})
		if target.Group != 0 {
			text, err = json.Marshal(map[string]any{"group": target.Group})
		}
		must(t, err)
		must(t, json.Unmarshal(text, &out))
		return out
	}
	switch r := request.(type) {
	case *sockets.Send:
		out := frames.Send{Type: "send", ID: r.ID, To: to(r.To), ClientID: r.ClientID}
		must(t, out.Body.UnmarshalJSON(r.Body.JSON))
		if r.ReplyTo != 0 {
			out.ReplyTo = &r.ReplyTo
		}
		if r.Mentions != nil {
			out.Mentions = &r.Mentions
		}
		return out
	case *sockets.Sync:
		out := frames.Sync{Type: "sync", ID: r.ID, After: r.After}
		if r.Have != nil {
			have := []frames.Have{}
			for _, h := range r.Have {
				have = append(have, frames.Have{Conversation: to(h.Conversation), Seq: h.Seq})
			}
			out.Have = &have
		}
		return out
	case *sockets.History:
		out := frames.History{Type: "history", ID: r.ID, Conversation: to(r.Conversation), After: r.After, Before: r.Before}
		if r.Limit != 0 {
			out.Limit = &r.Limit
		}
		return out
	case *sockets.Received:
		return frames.Received{Type: "received", ID: r.ID, Conversation: to(r.Conversation), Seq: r.Seq}
	case *sockets.Read:
		return frames.Read{Type: "read", ID: r.ID, Conversation: to(r.Conversation), Seq: r.Seq}
	case *sockets.Typing:
		return frames.Typing{Type: "typing", ID: r.ID, Conversation: to(r.Conversation)}
	case *sockets.Subscribe:
		return frames.Subscribe{Type: "subscribe", ID: r.ID, Accounts: r.Accounts}
	case *sockets.Renew:
		return frames.Renew{Type: "renew", ID: r.ID}
	case *sockets.Ping:
		return frames.Ping{Type: "ping", ID: r.ID}
	default:
		t.Fatalf("what is %T?", request)
		return nil
	}
}

// What a check of a REST body returns the schema takes, and the check itself as it is.
func FuzzBodies(f *testing.F) {
	operations := []string{"sendMessage", "userRegister", "updateProfile", "userLogin", "changePassword"}
	for _, seed := range seeds() {
		f.Add(uint8(0), []byte(seed))
	}
	for i := range operations {
		f.Add(uint8(i), []byte(`{"account": "bob", "password": "123456", "username": "Bob", "age": 20, "sex": "male", "oldPassword": "1", "newPassword": "234567"}`))
		f.Add(uint8(i), []byte(`{"account": "all", "password": "密码密码密码", "username": "\ud83d\ude00", "AGE": 999, "uſername": "\u0000", "age": 1.50e1, "sex": null}`))
		f.Add(uint8(i), []byte(`{"account": "e\u0301", "password": "123456", "username": "x", "age": null, "sex": "", "newPassword": "\n"}`))
	}
	j := newJudge(f)
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		id := operations[int(which)%len(operations)]
		if !utf8.Valid(text) {
			return
		}
		out, err := check(id, string(text))
		value, twice, jsonErr := parse(text)
		if err != nil {
			named(t, err)
			if jsonErr == nil && !stricter(err, value, twice) && j.bodies[id].VisitJSON(value, openapi3.VisitAsRequest()) == nil {
				t.Errorf("refused, but not by the schema: %s %s: %v", id, text, err)
			}
			if malformed := fault.Is(err, fault.MalformedJSON); malformed && jsonErr == nil {
				t.Errorf("it is JSON: %s: %v", text, err)
			}
			return
		}
		checked, _, err := parse(out)
		must(t, err)
		if err := j.bodies[id].VisitJSON(checked, openapi3.VisitAsRequest()); err != nil || jsonErr != nil {
			t.Errorf("taken, but not by the schema: %s %s: %v, %v", id, text, err, jsonErr)
		}
		if again, err := check(id, string(out)); err != nil || string(again) != string(out) {
			t.Errorf("%s became %s and then %s, %v", text, out, again, err)
		}
		spelled, err := json.Marshal(normal(checked))
		must(t, err)
		if diff := cmp.Diff(string(spelled), string(out)); diff != "" {
			t.Errorf("%s: the spelling (-encoding/json +here):\n%s", text, diff)
		}
	})
}

func check(operation, text string) ([]byte, error) {
	r := schema.NewReader(text)
	out := bodies.Checks()[operation](&r)
	return out, r.End("body")
}

// What the chat socket's decoder takes the schema takes, and the other way round.
func FuzzDirectText(f *testing.F) {
	for _, seed := range []string{
		`{"to":"bob","text":"x"}`, `{"text":"out"}`, `{}`, `[]`, `null`, `{"to":1}`, `{"text":"\ud800"}`, `{"to":"` + strings.Repeat("中", 101) + `"}`,
		`{"to":null,"text":"x"}`, `{"text":"a","text":"b"}`, strings.Repeat("[", 10000), `{"text":1e400}`, "{\"text\":\"\xff\"}", `{"text":"x"} {}`,
	} {
		f.Add([]byte(seed))
	}
	j := newJudge(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		got, err := sockets.DecodeDirectText(frame)
		value, twice, jsonErr := parse(frame)
		if err != nil {
			named(t, err)
			if jsonErr == nil && utf8.Valid(frame) && !stricter(err, value, twice) && j.direct.VisitJSON(value) == nil {
				t.Errorf("refused, but not by the schema: %q: %v", frame, err)
			}
			return
		}
		var want frames.DirectText
		if jsonErr != nil || j.direct.VisitJSON(value) != nil || json.Unmarshal(frame, &want) != nil && !twice {
			t.Fatalf("taken, but not by the schema: %q", frame)
		}
		if !twice && (got.Text != want.Text || (want.To == nil) != (got.To == "") || want.To != nil && *want.To != got.To) {
			t.Errorf("%q is %+v, want %+v", frame, got, want)
		}
	})
}
