package cluster

import (
	"bytes"
	"testing"
)

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(envelope{kind: kindMessage, from: newNodeID(), number: 1 << 60, payload: []byte("text")}.encode())
	f.Add(envelope{kind: kindBeat}.encode())
	f.Add(bytes.Repeat([]byte{'m'}, envelopeHead-1))
	f.Add(bytes.Repeat([]byte{'?'}, envelopeHead))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			if len(b) >= envelopeHead && bytes.ContainsAny(b[:1], "mbg") {
				t.Errorf("refused: %q", b)
			}
			return
		}
		if again := e.encode(); !bytes.Equal(again, b) {
			t.Errorf("%q became %q", b, again)
		}
	})
}
