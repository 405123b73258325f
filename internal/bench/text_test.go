package bench

import (
	"encoding/json"
	"testing"

	"tim/gen/frames"
	"tim/internal/client"
)

// What the tool sends is what the spec asks for, and it recognises its own texts.
func TestSend(t *testing.T) {
	t.Parallel()
	all, err := frames.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 50, 1000} {
		for _, target := range []string{client.UserTarget("bench1"), client.GroupTarget(7)} {
			raw := appendSend(nil, target, 12, stamp{[]byte("b1"), 34_567}, size)
			var value any
			if err := json.Unmarshal(raw, &value); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			if err := all.Components.Schemas["ClientFrame"].Value.VisitJSON(value); err != nil {
				t.Errorf("%s: %v", raw, err)
			}
			var send frames.Send
			if err := json.Unmarshal(raw, &send); err != nil {
				t.Fatal(err)
			}
			body, err := send.Body.AsTextBody()
			if err != nil || send.ID != "12" || send.ClientID != "b1-12" || len(body.Text) < size || client.TargetJSON(send.To) != target {
				t.Errorf("%s: %+v, %v", raw, send, err)
			}
			if due, ours := readStamp([]byte(body.Text), []byte("b1")); due != 34_567 || !ours {
				t.Errorf("%s: stamp %d, %t", raw, due, ours)
			}
			if _, ours := readStamp([]byte(body.Text), []byte("b")); ours {
				t.Error("another run's text is taken for one's own")
			}
		}
	}
}
