package realtime

import (
	"maps"
	"slices"

	"tim/gen/frames"
)

// For the fuzz targets, which call what parses a client's bytes.

// DecodeText is decodeText with the schema of the spec.
func (h *Hub) DecodeText(frame []byte) (frames.DirectText, string) {
	return decodeText(h.directText, frame)
}

// AccountParam is accountParam.
func AccountParam(escaped string) (string, error) { return accountParam(escaped, "useraccount") }

// GroupParam is groupParam.
func GroupParam(text string) (int32, error) { return groupParam(text, "GroupID") }

// ParsePong is parsePong.
func ParsePong(data string) (number, seq int64, ok bool) { return parsePong(data) }

// Topics lists what is listened to.
func (h *Hub) Topics() []string {
	h.topics.mu.Lock()
	defer h.topics.mu.Unlock()
	return slices.Sorted(maps.Keys(h.topics.open))
}

// Closing counts the connections that are ending.
func (h *Hub) Closing() (n int) {
	for _, c := range h.connections() {
		if c.shutting() {
			n++
		}
	}
	return n
}

// ErrorFrame is errorFrame, encoded.
func (h *Hub) ErrorFrame(id string, err error) []byte { return encode(h.errorFrame(id, err)) }

// RequestID is requestID.
func RequestID(frame []byte) (string, bool) { return requestID(frame) }
