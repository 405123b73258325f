package realtime

import (
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
