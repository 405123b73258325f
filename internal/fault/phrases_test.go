package fault_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	apispec "tim/api"
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
