package check

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"tim/gen/frames"
	"tim/internal/client"
)

// Answers that a server can't serve count as such in each form, and those before anything was broken are wrong.
func TestCannotServe(t *testing.T) {
	t.Parallel()
	tr := &trial{results: newResults()}
	closed := func(code int) { tr.results.noteClose("socket", &websocket.CloseError{Code: code}) }
	for _, harmless := range []error{nil, errors.New("broken"), &client.Refusal{Status: http.StatusConflict}, &client.Refusal{Status: http.StatusTooManyRequests}} {
		tr.results.noteFailure("REST", harmless)
		tr.results.noteClose("socket", harmless)
	}
	closed(websocket.CloseNormalClosure)
	tr.noteErrorFrame(frames.Error{Reason: notAMember})
	if all, unprovoked := tr.results.cannotServe(); all != 0 || unprovoked != nil {
		t.Fatalf("%d, %v of what is no failure", all, unprovoked)
	}

	tr.results.noteFailure("REST", &client.Refusal{Status: http.StatusServiceUnavailable, Body: "later"})
	tr.noteErrorFrame(frames.Error{Reason: internalError})
	closed(websocket.CloseTryAgainLater)
	tr.results.disturb()
	tr.noteErrorFrame(frames.Error{Reason: unavailable})
	closed(websocket.CloseInternalServerErr)
	all, unprovoked := tr.results.cannotServe()
	want := []string{"REST: 503 later", "tim.v1: internal", "socket: websocket: close 1013"}
	if diff := cmp.Diff(want, unprovoked); diff != "" || all != 5 {
		t.Errorf("%d in all, want 5; before anything broke (-want +got):\n%s", all, diff)
	}
	tr.faults = newFaults(tr)
	report := tr.report(&verdict{acknowledged: 1, delivered: 1, unprovoked: unprovoked}, newMemoryWatch(nil))
	if report.Passed || !cmp.Equal(report.Findings, want) {
		t.Errorf("passed: %v, %q", report.Passed, report.Findings)
	}
}
