package fault_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	apispec "tim/api"
	"tim/gen/frames"
	"tim/internal/fault"
)

func TestEveryPhraseHasBothTexts(t *testing.T) {
	t.Parallel()
	for _, p := range fault.Phrases() {
		if p.In(fault.Chinese) == "" || p.In(fault.English) == "" || p.Text().Chinese == p.Text().English {
			t.Errorf("phrase %d: a text is missing: %+v", p, p.Text())
		}
	}
}

// A text for an operation that the spec doesn't have would never be used.
func TestTextsAreForOperationsOfTheSpec(t *testing.T) {
	t.Parallel()
	// The generated api.GetSpec renames operations to their names in Go.
	spec, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, item := range spec.Paths.Map() {
		for _, o := range item.Operations() {
			known[o.OperationID] = true
		}
	}
	for _, id := range fault.Operations() {
		if !known[id] {
			t.Errorf("the spec has no operation %s", id)
		}
	}
}

// The texts of the contract's sockets are those of the spec.
func TestSocketTexts(t *testing.T) {
	t.Parallel()
	spec, err := frames.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	var patterns []*regexp.Regexp
	for _, schema := range spec.Components.Schemas {
		if p := schema.Value.Pattern; strings.ContainsRune(p, '线') {
			patterns = append(patterns, regexp.MustCompile(p))
		}
		for _, text := range schema.Value.Enum {
			if text, ok := text.(string); ok {
				patterns = append(patterns, regexp.MustCompile("^"+regexp.QuoteMeta(text)+"$"))
			}
		}
	}
	for _, text := range []string{
		fault.SocketNotOnline, "a" + fault.SocketNotOnline, "a" + fault.SocketDirectEnded, fault.SocketOpened("a"), fault.SocketClosed("a"),
		fault.SocketOnline([]string{"a", "b"}), fault.SocketRemaining([]string{"a", "b"}), fault.SocketRemaining(nil), fault.SocketOnlineCount(3),
	} {
		matches := 0
		for _, p := range patterns {
			if p.MatchString(text) {
				matches++
			}
		}
		if matches == 0 {
			t.Errorf("no pattern of the spec matches %q", text)
		}
	}
}
