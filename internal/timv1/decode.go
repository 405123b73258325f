package timv1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"tim/gen/frames"
	"tim/internal/fault"
	"tim/internal/wire"
)

const (
	// maxProblemText bounds what an error frame says of a field, in bytes: it may name what the client has sent.
	maxProblemText = 200
	// exactly is up to where every integer is a float64.
	exactly = 1 << 53
)

var errNoJSON = errors.New("a frame is no JSON object")

// requests checks frames of clients against their schemas and decodes them.
type requests struct {
	schemas map[string]*openapi3.Schema // by type
	kinds   []string
	bodies  map[string]*openapi3.Schema // of messages, by kind

}

func newRequests(spec *openapi3.T) *requests {
	r := &requests{schemas: make(map[string]*openapi3.Schema)}
	for kind, ref := range spec.Components.Schemas["ClientFrame"].Value.Discriminator.Mapping {
		r.schemas[kind] = spec.Components.Schemas[ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]].Value
		r.kinds = append(r.kinds, kind)
	}
	slices.Sort(r.kinds)
	body := r.schemas["send"].Properties["body"].Value
	r.bodies = make(map[string]*openapi3.Schema)
	for kind, ref := range body.Discriminator.Mapping {
		for _, one := range body.OneOf {
			if one.Ref[strings.LastIndexByte(one.Ref, '/')+1:] == ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:] {
				r.bodies[kind] = one.Value
			}
		}
	}
	return r
}

// decode returns the request that a frame is, as its generated type or a textSend, and its id, also of a bad one if it has a
// good one.
func (r *requests) decode(frame []byte) (request any, id string, err error) {
	if request, id, ok := plainRequest(frame); ok {
		return request, id, nil
	}
	if request, ok := plainSync(frame); ok {
		return request, request.ID, nil
	}
	return r.decodeAny(frame)
}

// decodeAny is decode for every frame, by the schemas. What is decoded is what was checked, and not the frame anew: parsers differ in what they make of a key that is there
// twice or in other letters, and in whether 1.0 is an integer.
func (r *requests) decodeAny(frame []byte) (request any, id string, err error) {
	value, err := parse(frame)
	if err != nil {
		return nil, "", err
	}
	id = goodID(value["id"])
	kind, _ := value["type"].(string)
	schema, ok := r.schemas[kind]
	if !ok {
		return nil, id, fault.Invalid(fault.InvalidBody, "type", "must be one of "+strings.Join(r.kinds, ", "))
	}
	for key, field := range value {
		switch {
		case schema.Properties[key] == nil:
			delete(value, key)
		case wire.TooDeep(field):
			return nil, id, fault.Invalid(fault.InvalidBody, key, "is nested too deeply")
		case key != "body": // which is stored as it is
			value[key] = integers(field)
		}
	}
	if err := r.check(schema, value); err != nil {
		return nil, id, err
	}
	checked, err := json.Marshal(value)
	if err != nil {
		return nil, id, fmt.Errorf("encode what was checked: %w", err)
	}
	request, err = union(checked)
	if err != nil {
		return nil, id, fault.Invalid(fault.InvalidBody, unfit(value), "is not a number that it can hold")
	}
	return request, id, nil
}

// maxHave is how many conversations the schema lets a sync name.
const maxHave = 1000

// plainSync is plainRequest for a sync of the first page, which every connection begins with.
func plainSync(frame []byte) (request frames.Sync, ok bool) {
	f := plainFrame{scanner: scanner{text: string(frame)}}
	f.space()
	if !f.object(func(key string) bool {
		if key == "have" {
			return request.Have == nil && f.have(&request)
		}
		return f.field(key)
	}) || !f.end() || f.kind != "sync" || f.has != hasType|hasID {
		return frames.Sync{}, false
	}
	request.Type, request.ID = frames.SyncTypeSync, f.id
	return request, true
}

// have takes the list of what a client has.
func (f *plainFrame) have(request *frames.Sync) bool {
	list := []frames.Have{}
	request.Have = &list
	if !f.punctuation('[') {
		return false
	}
	if f.punctuation(']') {
		return true
	}
	for len(list) < maxHave {
		one := plainFrame{scanner: f.scanner}
		var known frames.Have
		if !one.object(func(key string) (ok bool) {
			switch key {
			case "conversation":
				return one.first(hasConversation) && one.object(one.side)
			case "seq":
				known.Seq, ok = one.integer()
				return ok && one.first(hasSeq)
			default:
				return false
			}
		}) || one.has != hasConversation|hasSeq {
			return false
		}
		known.Conversation = one.target
		list = append(list, known)
		f.scanner = one.scanner
		if f.punctuation(']') {
			return true
		}
		if !f.punctuation(',') {
			return false
		}
	}
	return false
}

// check visits the schema. Of a message's body it says what is wrong by the body's kind: a choice of several schemas can't.
func (r *requests) check(schema *openapi3.Schema, value map[string]any) error {
	if body, ok := value["body"].(map[string]any); ok {
		kind, _ := body["kind"].(string)
		if s := r.bodies[kind]; s != nil {
			if err := s.VisitJSON(body); err != nil {
				return invalidFrame("body", err)
			}
		}
	}
	if err := schema.VisitJSON(value); err != nil {
		return invalidFrame("", err)
	}
	return nil
}

// unfit names the first number that is not one of 64 bits.
func unfit(value any) string {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if name := unfit(v[key]); name != "" {
				return strings.TrimRight(key+"."+name, ".")
			}
		}
	case []any:
		for i, inner := range v {
			if name := unfit(inner); name != "" {
				return strings.TrimRight(strconv.Itoa(i)+"."+name, ".")
			}
		}
	case json.Number:
		if _, err := v.Int64(); err != nil {
			return "."
		}
	}
	return ""
}

func union(frame []byte) (any, error) {
	var u frames.ClientFrame
	if err := u.UnmarshalJSON(frame); err != nil {
		return nil, err
	}
	return u.ValueByDiscriminator()
}

// parse reads a JSON object, and keeps its numbers as they are written.
func parse(frame []byte) (value map[string]any, err error) {
	if !json.Valid(frame) { // which a decoder doesn't see to behind the first value
		return nil, errNoJSON
	}
	decoder := json.NewDecoder(bytes.NewReader(frame))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil || value == nil {
		return nil, errNoJSON
	}
	return value, nil
}

// goodID is an id that the schema allows, "" for another: what a client sends comes back as it was or not at all.
func goodID(value any) string {
	id, _ := value.(string)
	if len(id) > maxRequestID || strings.ContainsFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return ""
	}
	return id
}

// integers is a value in which numbers that are integers are written so: for JSON 1.0 and 1e2 are such.
func integers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = integers(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = integers(inner)
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") && f == math.Trunc(f) && math.Abs(f) <= exactly {
			return json.Number(strconv.FormatInt(int64(f), 10))
		}
	}
	return value
}

// invalidFrame names the field that the schema refuses, of what lies within another.
func invalidFrame(within string, err error) error {
	wrong, ok := errors.AsType[*openapi3.SchemaError](err)
	if !ok {
		return fault.Invalid(fault.InvalidBody, "frame", "is not as its schema has it")
	}
	field := strings.Trim(within+"."+strings.Join(wrong.JSONPointer(), "."), ".")
	if field == "" {
		field = "frame"
	}
	return fault.Invalid(fault.InvalidBody, shortened(field), shortened(wrong.Reason))
}

func shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxProblemText)], "")
}
