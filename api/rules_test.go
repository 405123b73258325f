package apispec_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	apispec "tim/api"
	gen "tim/gen/api"
)

// object is a mapping of a spec.
type object = map[string]any

// specs are both documents by what the other calls them.
type specs map[string]object

func load(t testing.TB) specs {
	t.Helper()
	all := specs{}
	for name, text := range map[string]string{"openapi.yaml": apispec.OpenAPI(), "frames.yaml": apispec.Frames()} {
		var document object
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		all[name] = document
	}
	return all
}

// schema is a component of openapi.yaml, or the zero map.
func (s specs) schema(name string) object { return s.at("openapi.yaml", "/components/schemas/"+name) }

// at follows a pointer into a document.
func (s specs) at(document, pointer string) object {
	var value any = s[document]
	for key := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		value = child(value, strings.NewReplacer("~1", "/", "~0", "~").Replace(key))
	}
	found, _ := value.(object)
	return found
}

func child(value any, key string) any {
	mapping, _ := value.(object)
	return mapping[key]
}

// each visits every mapping of a document with its path; those in examples say nothing of schemas.
func each(path string, value any, visit func(path string, o object)) {
	switch value := value.(type) {
	case object:
		visit(path, value)
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if key != "example" && key != "examples" {
				each(path+"/"+key, value[key], visit)
			}
		}
	case []any:
		for i, element := range value {
			each(fmt.Sprint(path, "/", i), element, visit)
		}
	}
}

// portable is what of regular expressions JavaScript, Python, Java and Go understand alike, with or without Unicode:
// characters, classes of them, and how often they come. What \d and \w are differs, and \p is unknown to some.
var portable = regexp.MustCompile(`^\^(\\x[0-9A-F]{2}|\\[.\[\]]|[^\\(?]|[+*.?]|\{[0-9,]+\})*\$$`)

// What generators of clients share.
func TestSchemasAreWhatGeneratorsShare(t *testing.T) {
	t.Parallel()
	for document, root := range load(t) {
		each(document, root, func(path string, o object) {
			kind, _ := o["type"].(string)
			enum, isEnum := o["enum"].([]any)
			switch {
			case kind == "integer" && isEnum, kind == "number" && isEnum:
				t.Errorf("%s: an enum of numbers; Kotlin's clients compare it with texts. Use minimum, maximum and x-extensible-enum", path)
			case (kind == "integer" || kind == "number") && o["format"] == nil:
				t.Errorf("%s: a number without format", path)
			case o["discriminator"] != nil && kind != "object":
				t.Errorf("%s: a discriminator without type: object", path)
			case isMapping(o["properties"]) && kind != "object" && !strings.HasSuffix(path, "/properties"):
				t.Errorf("%s: properties without type: object", path)
			case isEnum && len(enum) > 1 && kind != "string":
				t.Errorf("%s: an enum without type: string", path)
			}
			if pattern, ok := o["pattern"].(string); ok && !portable.MatchString(pattern) {
				t.Errorf("%s: the pattern %s isn't understood everywhere", path, pattern)
			}
			if o["x-extensible-enum"] != nil {
				checkGrowing(t, path, o)
			}
		})
	}
}

func isMapping(value any) bool {
	_, ok := value.(object)
	return ok
}

// A list that may grow is no enum, and says so in words, too.
func checkGrowing(t *testing.T, path string, o object) {
	t.Helper()
	values, _ := o["x-extensible-enum"].([]any)
	description, _ := o["description"].(string)
	if len(values) == 0 || o["enum"] != nil || o["type"] == nil || !strings.Contains(strings.ToLower(description), "may get further values") {
		t.Errorf("%s: x-extensible-enum needs values, a type, no enum, and a description that says that it may get further values", path)
	}
}

func TestPortable(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		`^[^\x00-\x1F\x7F-\x9F]+$`: true, `^custom$`: true, `^[A-Za-z0-9_-]*$`: true, `^用户.+上线$`: true, `^a：\[.*\]$`: true, `^[0-9]{4}\.[0-9]{2,3}$`: true,
		`^\p{L}$`: false, `^\d$`: false, `^\w+$`: false, `^(?i)a$`: false, `^(?=a)$`: false, `a`: false, `^\s$`: false, `^\u0041$`: false,
	} {
		if portable.MatchString(pattern) != want {
			t.Errorf("%s: %v, want %v", pattern, !want, want)
		}
	}
}

// answers are the schemas that clients read: of the answers of every operation and of every frame that the server sends.
func (s specs) answers() map[string]bool {
	found := map[string]bool{}
	for _, path := range s["openapi.yaml"]["paths"].(object) {
		for _, operation := range path.(object) {
			s.reach("openapi.yaml", child(operation, "responses"), found)
		}
	}
	sent := []string{
		"ServerFrame", "Connected", "OnlineUsers", "DirectTextDelivery", "ChatMessage", "PeerNotOnline", "MemberNotOnline", "DirectEnded",
		"MemberOpened", "MemberClosed", "GroupOnlineList", "GroupRemainingList", "GroupOnlineCount",
	}
	for _, name := range sent {
		s.reach("frames.yaml", object{"$ref": "#/components/schemas/" + name}, found)
	}
	return found
}

// reach notes everything that a part of a document refers to.
func (s specs) reach(document string, value any, found map[string]bool) {
	each("", value, func(_ string, o object) {
		ref, ok := o["$ref"].(string)
		if !ok {
			return
		}
		file, pointer, _ := strings.Cut(ref, "#")
		if file = strings.TrimPrefix(file, "./"); file == "" {
			file = document
		}
		if name := file + pointer; !found[name] {
			found[name] = true
			s.reach(file, s.at(file, pointer), found)
		}
	})
}

// What a client reads may get further values: only what a client sends is an enum of several.
func TestAnswersHaveNoClosedLists(t *testing.T) {
	t.Parallel()
	all := load(t)
	answers := all.answers()
	for _, must := range []string{"openapi.yaml/components/schemas/Reason", "openapi.yaml/components/schemas/MessageBody", "frames.yaml/components/schemas/Notice"} {
		if !answers[must] {
			t.Fatalf("%s is in no answer", must)
		}
	}
	for name := range answers {
		document, pointer, _ := strings.Cut(name, "/")
		each(name, all.at(document, pointer), func(path string, o object) {
			if values, ok := o["enum"].([]any); ok && len(values) > 1 {
				t.Errorf("%s: a closed list in an answer: a further value would break its readers", path)
			}
			if (o["oneOf"] != nil || o["anyOf"] != nil) && o["discriminator"] == nil && document == "openapi.yaml" {
				t.Errorf("%s: a choice in an answer; Kotlin's clients can't read it", path)
			}
		})
	}
}

// x-nullable is a hint for what one member of a choice requires and others haven't; null itself stays refused.
func TestNullableHints(t *testing.T) {
	t.Parallel()
	all := load(t)
	hinted := map[string]bool{}
	for _, name := range []string{"Target", "SendBody"} {
		for _, member := range all.schema(name)["oneOf"].([]any) {
			_, member, _ := strings.Cut(member.(object)["$ref"].(string), "#/components/schemas/")
			schema := all.schema(member)
			for _, field := range schema["required"].([]any) {
				property := schema["properties"].(object)[field.(string)].(object)
				if want := field != "kind"; (property["x-nullable"] == true) != want {
					t.Errorf("%s.%s: x-nullable is %v, want %v", member, field, !want, want)
				}
				hinted[fmt.Sprintf("openapi.yaml/components/schemas/%s/properties/%s", member, field)] = true
			}
		}
	}
	for document, root := range all {
		each(document, root, func(path string, o object) {
			if o["x-nullable"] != nil && (!hinted[path] || o["nullable"] != nil) {
				t.Errorf("%s: x-nullable where no choice needs it", path)
			}
		})
	}
}

// constraints are a schema without its words to readers and generators.
func constraints(schema any) object {
	out := maps.Clone(schema.(object))
	for _, key := range []string{"description", "example", "x-nullable"} {
		delete(out, key)
	}
	return out
}

// typeOf is what a reader must know of a field: bounds are the sender's business.
func typeOf(schema any) object {
	out := object{}
	from, _ := schema.(object)
	if all, ok := from["allOf"].([]any); ok && len(all) == 1 { // a reference with a hint beside it
		from, _ = all[0].(object)
	}
	if ref, _ := from["$ref"].(string); strings.HasSuffix(ref, "/Target") { // which is read as
		return object{"$ref": "#/components/schemas/ConversationName"}
	}
	for _, key := range []string{"type", "format", "nullable", "$ref", "additionalProperties"} {
		if value, ok := from[key]; ok {
			out[key] = value
		}
	}
	return out
}

// A login's elements have the fields of User and of Token.
func TestLoginPartIsUserOrToken(t *testing.T) {
	t.Parallel()
	all := load(t)
	want := map[string]object{}
	for _, part := range []string{"User", "Token"} {
		for name, property := range all.schema(part)["properties"].(object) {
			want[name] = constraints(property)
		}
	}
	got := map[string]object{}
	for name, property := range all.schema("LoginPart")["properties"].(object) {
		got[name] = constraints(property)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields of User and Token (-) and of LoginPart (+):\n%s", diff)
	}
}

// What may be sent can be read: MessageBody knows the fields and kinds of every member of SendBody, and what notices have.
func TestMessageBodyHasWhatMayBeSent(t *testing.T) {
	t.Parallel()
	all := load(t)
	read := all.schema("MessageBody")["properties"].(object)
	mapping := all.schema("SendBody")["x-tim-discriminator"].(object)["mapping"].(object)
	var kinds []string
	byMember := map[string][]string{}
	for kind, ref := range mapping {
		kinds = append(kinds, kind)
		_, member, _ := strings.Cut(ref.(string), "#/components/schemas/")
		byMember[member] = append(byMember[member], kind)
	}
	kinds = append(kinds, "notice")
	var readable []string
	for _, kind := range read["kind"].(object)["x-extensible-enum"].([]any) {
		readable = append(readable, kind.(string))
	}
	slices.Sort(kinds)
	slices.Sort(readable)
	if diff := cmp.Diff(kinds, readable); diff != "" {
		t.Errorf("kinds that may be sent (-) and read (+):\n%s", diff)
	}
	for member, kinds := range byMember {
		for name, property := range all.schema(member)["properties"].(object) {
			if name == "kind" {
				checkKind(t, member, property.(object), kinds)
			} else if known, ok := read[name]; !ok || cmp.Diff(typeOf(property), typeOf(known)) != "" {
				t.Errorf("%s.%s is not in MessageBody, or of another type", member, name)
			}
		}
	}
}

// checkKind compares a member's kind with what leads to it.
func checkKind(t *testing.T, member string, kind object, want []string) {
	t.Helper()
	got := []string{strings.Trim(fmt.Sprint(kind["pattern"]), "^$")}
	if values, ok := kind["enum"].([]any); ok {
		got = nil
		for _, value := range values {
			got = append(got, value.(string))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: kinds of x-tim-discriminator (-) and its own (+):\n%s", member, diff)
	}
}

// The members of a target have the rules of accounts and groups, and a conversation's name has their fields.
func TestTargetsNameAccountsAndGroups(t *testing.T) {
	t.Parallel()
	all := load(t)
	for member, field := range map[string][2]string{"UserTarget": {"user", "Account"}, "GroupTarget": {"group", "GroupID"}} {
		got := constraints(all.schema(member)["properties"].(object)[field[0]])
		if diff := cmp.Diff(constraints(all.schema(field[1])), got); diff != "" {
			t.Errorf("%s (-) and %s (+):\n%s", field[1], member, diff)
		}
		if diff := cmp.Diff(typeOf(got), typeOf(all.schema("ConversationName")["properties"].(object)[field[0]])); diff != "" {
			t.Errorf("%s (-) and ConversationName (+):\n%s", member, diff)
		}
	}
}

// The forms of a choice that the server and the Go generator work with accept what the spec does.
func TestSimplifiedFormsAcceptTheSame(t *testing.T) {
	t.Parallel()
	written, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	simplified, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	if err := apispec.Simplify(simplified); err != nil {
		t.Fatal(err)
	}
	if simplified.Components.Schemas["SendBody"].Value.Discriminator == nil || simplified.Components.Schemas["Target"].Value.OneOf != nil {
		t.Error("nothing was simplified")
	}
	generated, err := gen.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[bool]int{}
	for name, values := range map[string][]string{
		"Target": {
			`{"user":"bob"}`, `{"group":1}`, `{"group":2147483647}`, `{}`, `{"user":"bob","group":1}`, `{"user":""}`, `{"user":null}`, `{"group":null}`,
			`{"user":null,"group":1}`, `{"group":0}`, `{"group":"1"}`, `{"group":2147483648}`, `{"group":1.5}`, `{"user":"a\u0000"}`, `{"user":1}`,
			`{"user":"bob","x":1}`, `{"x":1}`, `null`, `[]`, `"bob"`, `1`,
		},
		"SendBody": {
			`{"kind":"text","text":"x"}`, `{"kind":"text","text":""}`, `{"kind":"text"}`, `{"kind":"text","text":null}`, `{"kind":"text","file":"x"}`,
			`{"kind":"text","text":"x","more":1}`, `{"kind":"image","file":"x"}`, `{"kind":"file","file":""}`, `{"kind":"video","text":"x"}`, `{"kind":"image","file":"x","width":-1}`,
			`{"kind":"location","latitude":1,"longitude":2}`, `{"kind":"location","latitude":91,"longitude":2}`, `{"kind":"location","latitude":1}`,
			`{"kind":"card","target":{"user":"bob"}}`, `{"kind":"card","target":{}}`, `{"kind":"card","target":{"user":"bob","group":1}}`,
			`{"kind":"custom","data":{"a":[1]}}`, `{"kind":"custom","data":[]}`, `{"kind":"custom"}`, `{"kind":"customs","data":{}}`, `{"kind":"Custom","data":{}}`,
			`{"kind":"notice","event":"joined","actor":"a"}`, `{"kind":"other"}`, `{"text":"x"}`, `{"kind":1}`, `{}`, `null`, `[]`,
		},
	} {
		for _, text := range values {
			var value any
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			want := written.Components.Schemas[name].Value.VisitJSON(value) == nil
			accepted[want]++
			if got := simplified.Components.Schemas[name].Value.VisitJSON(value) == nil; got != want {
				t.Errorf("%s as it is checked accepts %s: %v, want %v", name, text, got, want)
			}
			if got := generated.Components.Schemas[name].Value.VisitJSON(value) == nil; got != want {
				t.Errorf("%s as Go is generated from it accepts %s: %v, want %v", name, text, got, want)
			}
		}
	}
	if accepted[true] < 5 || accepted[false] < 20 {
		t.Errorf("%d values were accepted, %d refused", accepted[true], accepted[false])
	}
}
