package feed

import (
	"encoding/json"
	"fmt"
)

// envelope is what every event's JSON begins with.
type envelope struct {
	Kind string `json:"kind"`
}

// encode is an event on the bus: its JSON, with its kind before its fields.
func encode(e Event) ([]byte, error) {
	if stored, ok := e.(*MessageStored); ok {
		return encodeStored(stored), nil
	}
	head, err := json.Marshal(envelope{e.kind()})
	if err != nil {
		return nil, fmt.Errorf("encode the kind: %w", err)
	}
	fields, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if len(fields) == len("{}") {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), fields[1:]...), nil
}

// decode undoes encode. An event of a kind that this version doesn't know is nil.
func decode(payload []byte) (Event, error) {
	if isStored(payload) {
		return decodeStored(payload)
	}
	var head envelope
	if err := json.Unmarshal(payload, &head); err != nil {
		return nil, fmt.Errorf("decode the kind: %w", err)
	}
	for _, known := range kinds() {
		if known.kind() != head.Kind {
			continue
		}
		if _, ok := known.(*MessageStored); ok {
			return nil, errStored
		}
		if err := json.Unmarshal(payload, known); err != nil {
			return nil, fmt.Errorf("decode %s: %w", head.Kind, err)
		}
		return known, nil
	}
	return nil, nil //nolint:nilnil // see above
}
