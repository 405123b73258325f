package fault_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/gen/api"
	"tim/internal/fault"
)

// The table and the spec must name the same reasons: a reason outside the spec cannot be served, and the spec promises
// none that never comes.
func TestTableIsTheSpecs(t *testing.T) {
	t.Parallel()
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	var promised []fault.Reason
	for _, r := range spec.Components.Schemas["Reason"].Value.Enum {
		promised = append(promised, fault.Reason(r.(string)))
	}
	slices.Sort(promised)
	if diff := cmp.Diff(promised, fault.Reasons()); diff != "" {
		t.Errorf("reasons of the spec (-) and of the table (+):\n%s", diff)
	}
}

func TestEveryReasonHasBothTexts(t *testing.T) {
	t.Parallel()
	for _, r := range fault.Reasons() {
		f := fault.New(r)
		if f.Status() < 400 || http.StatusText(f.Status()) == "" {
			t.Errorf("%s: status %d is no refusal", r, f.Status())
		}
		text := f.Text("")
		if text.In(fault.Chinese) == "" || text.In(fault.English) == "" {
			t.Errorf("%s: a text is missing: %+v", r, text)
		}
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	secret := errors.New("dsn with a password")
	tests := []struct {
		name string
		err  error
		want fault.Reason
	}{
		{"a fault", fault.New(fault.UnknownGroup), fault.UnknownGroup},
		{"a wrapped fault", fmt.Errorf("join: %w", fault.New(fault.UnknownGroup)), fault.UnknownGroup},
		{"anything else", secret, fault.Internal},
	}
	for _, tt := range tests {
		f := fault.From(tt.err)
		if f.Reason != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, f.Reason, tt.want)
		}
	}
	if f := fault.From(secret); !errors.Is(f, secret) || f.Text("").English == secret.Error() {
		t.Errorf("an unknown error must stay for the log and out of the text: %v", f)
	}
}
