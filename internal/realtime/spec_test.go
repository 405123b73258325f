package realtime_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"tim/gen/frames"
	"tim/gen/specs"
)

// spec is asyncapi.yaml: which frames each channel carries, in each direction.
type spec struct {
	// messages by channel and direction, such as chatToClient.
	messages map[string][]message
}

type message struct {
	name   string
	json   bool
	schema *openapi3.Schema
}

type asyncAPI struct {
	Operations map[string]struct {
		Action   string      `yaml:"action"` // the server's: receive or send
		Channel  reference   `yaml:"channel"`
		Messages []reference `yaml:"messages"`
		Reply    struct {
			Messages []reference `yaml:"messages"`
		} `yaml:"reply"`
	} `yaml:"operations"`
	Components struct {
		Messages map[string]struct {
			ContentType string `yaml:"contentType"`
			Payload     struct {
				Schema reference `yaml:"schema"`
			} `yaml:"payload"`
		} `yaml:"messages"`
	} `yaml:"components"`
}

type reference struct {
	Ref string `yaml:"$ref"`
}

// last is the name that a reference ends in.
func (r reference) last() string { return r.Ref[strings.LastIndexByte(r.Ref, '/')+1:] }

// loadSpec reads the specs once for all tests of the package.
var loadSpec = sync.OnceValues(func() (*spec, error) { //nolint:gochecknoglobals // read once, never changed
	var document asyncAPI
	if err := yaml.Unmarshal([]byte(specs.AsyncAPI()), &document); err != nil {
		return nil, err
	}
	schemas, err := frames.GetSpec()
	if err != nil {
		return nil, err
	}
	s := &spec{messages: map[string][]message{}}
	add := func(direction string, refs []reference) {
		for _, ref := range refs {
			if slices.ContainsFunc(s.messages[direction], func(m message) bool { return m.name == ref.last() }) {
				continue // Error, which answers every request
			}
			m := document.Components.Messages[ref.last()]
			s.messages[direction] = append(s.messages[direction], message{
				name: ref.last(), json: m.ContentType == "application/json",
				schema: schemas.Components.Schemas[m.Payload.Schema.last()].Value,
			})
		}
	}
	for _, o := range document.Operations {
		if o.Action == "receive" {
			add(o.Channel.last()+"FromClient", o.Messages)
		} else {
			add(o.Channel.last()+"ToClient", o.Messages)
		}
		add(o.Channel.last()+"ToClient", o.Reply.Messages)
	}
	return s, nil
})

func theSpec(t testing.TB) *spec {
	t.Helper()
	s, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// matches lists the messages of an operation that a frame may be.
func (s *spec) matches(operation, frame string) (names []string) {
	bare := !strings.HasPrefix(frame, "{") && !strings.HasPrefix(frame, "[") // matching long JSON against patterns takes long
	var typed struct {
		Type string `json:"type"`
	}
	if strings.HasPrefix(operation, "timV1") {
		_ = json.Unmarshal([]byte(frame), &typed) // no type is as good as a wrong one
	}
	for _, m := range s.messages[operation] {
		if typed.Type != "" && !slices.Contains(m.schema.Properties["type"].Value.Enum, any(typed.Type)) {
			continue
		}
		if m.json == bare && strings.HasSuffix(operation, "ToClient") {
			continue
		}
		value := any(frame)
		if m.json && json.Unmarshal([]byte(frame), &value) != nil {
			continue
		}
		if m.schema.VisitJSON(value) == nil {
			names = append(names, m.name)
		}
	}
	return names
}

// seen collects which messages were seen in which operation. Safe for concurrent use.
type seen struct {
	mu    sync.Mutex
	names map[string]map[string]bool
}

func (s *seen) add(operation string, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]map[string]bool{}
	}
	if s.names[operation] == nil {
		s.names[operation] = map[string]bool{}
	}
	for _, name := range names {
		s.names[operation][name] = true
	}
}

// compare fails the test unless every message of the spec was seen. What isn't in the spec, a client has refused.
func (s *seen) compare(t *testing.T, spec *spec) {
	t.Helper()
	want, got := map[string][]string{}, map[string][]string{}
	for operation, messages := range spec.messages {
		for _, m := range messages {
			want[operation] = append(want[operation], m.name)
		}
		slices.Sort(want[operation])
		got[operation] = slices.Sorted(maps.Keys(s.names[operation]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages of asyncapi.yaml (-) and seen in the conversations (+):\n%s", diff)
	}
}

// Every schema of a frame is the payload of a message, or a part of one.
func TestEveryFrameSchemaIsUsed(t *testing.T) {
	t.Parallel()
	schemas, err := frames.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range schemas.Components.Schemas {
		example := s.Value.Example
		if example != nil && s.Value.VisitJSON(example) != nil {
			t.Errorf("the example of %s is not as its schema has it", name)
		}
	}
	names := map[string]bool{}
	for _, m := range theSpec(t).messages {
		for _, one := range m {
			names[one.name] = true
		}
	}
	for name := range schemas.Components.Schemas {
		switch name {
		case "OnlineUser", "DirectTextFrom", "DirectTextBody", "CloseCode", "RequestID", "Have", "SocketLimits": // parts of others
		case "ClientFrame", "ServerFrame": // choices of them
		default:
			if !names[name] && !strings.HasPrefix(name, "openapi_") {
				t.Errorf("no message of asyncapi.yaml carries %s", name)
			}
		}
	}
}
