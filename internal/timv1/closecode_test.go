package timv1

import (
	"slices"
	"testing"

	"tim/gen/frames"
	"tim/internal/socket"
)

// The spec lists every code that the server closes with; the first three are RFC 6455's.
func TestCloseCodesAreTheSpecs(t *testing.T) {
	t.Parallel()
	spec, err := frames.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	var listed []frames.CloseCode
	values, _ := spec.Components.Schemas["CloseCode"].Value.Extensions["x-extensible-enum"].([]any)
	for _, value := range values {
		code, _ := value.(float64)
		listed = append(listed, frames.CloseCode(code))
	}
	want := []frames.CloseCode{
		frames.CloseCode(socket.Unsupported), frames.CloseCode(socket.Invalid), frames.CloseCode(socket.TooLarge),
		codeGoingAway, codeTooSlow, codeComeBackLater, codeServerFault, codeSessionEnded, codeTokenExpired, codeMalformed,
	}
	if !slices.Equal(listed, want) {
		t.Errorf("the spec lists %v, the server has %v", listed, want)
	}
}
