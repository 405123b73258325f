package client

import (
	"bytes"
	"iter"
	"strconv"

	"tim/gen/api"
)

// Frame is what [Scan] finds in a frame of the server. Its slices point into the frame.
type Frame struct {
	Type         []byte
	ID           []byte // of the request that it answers
	Conversation []byte // raw JSON, as UserTarget and GroupTarget write it
	Text         []byte // of a message, with the escapes of JSON
	Reason       []byte // of an error
	Seq          int64
}

// Scan reads a frame of tim.v1 without decoding it: a decoder of JSON takes more CPU than the whole message takes of the server.
// It checks nothing; what it doesn't find stays empty. [Spec.Decode] is the strict way.
func Scan(raw []byte) (f Frame) {
	var message []byte
	for key, value := range Members(raw) {
		switch string(key) {
		case "type":
			f.Type = unquoted(value)
		case "id":
			f.ID = unquoted(value)
		case "conversation":
			f.Conversation = value
		case "seq":
			f.Seq = Number(value)
		case "reason":
			f.Reason = unquoted(value)
		case "message":
			message = value
		}
	}
	if string(f.Type) != "message" {
		return f
	}
	for key, value := range Members(message) {
		switch string(key) {
		case "conversation":
			f.Conversation = value
		case "seq":
			f.Seq = Number(value)
		case "body":
			for key, value := range Members(value) {
				if string(key) == "text" {
					f.Text = unquoted(value)
				}
			}
		}
	}
	return f
}

// Members goes through the members of a JSON object: names without quotes, values raw. It stops where the object ends or
// is none.
func Members(raw []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		at := blanks(raw, 0)
		if at >= len(raw) || raw[at] != '{' {
			return
		}
		for {
			key := blanks(raw, at+1)
			colon := blanks(raw, valueEnd(raw, key))
			if colon >= len(raw) || raw[colon] != ':' {
				return
			}
			value := blanks(raw, colon+1)
			end := valueEnd(raw, value)
			if end == value || !yield(unquoted(bytes.TrimRight(raw[key:colon], " \t\r\n")), raw[value:end]) {
				return
			}
			if at = blanks(raw, end); at >= len(raw) || raw[at] != ',' {
				return
			}
		}
	}
}

func blanks(raw []byte, at int) int {
	for at < len(raw) && (raw[at] == ' ' || raw[at] == '\t' || raw[at] == '\n' || raw[at] == '\r') {
		at++
	}
	return at
}

// valueEnd is where the value that begins at a place ends; the place itself if none does.
func valueEnd(raw []byte, at int) int {
	if at >= len(raw) {
		return at
	}
	switch raw[at] {
	case '"':
		return stringEnd(raw, at)
	case '{', '[':
		depth := 0
		for i := at; i < len(raw); i++ {
			switch raw[i] {
			case '"':
				i = stringEnd(raw, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return at
	}
	end := bytes.IndexAny(raw[at:], ",}] \t\r\n")
	if end < 0 {
		return len(raw)
	}
	return at + end
}

// stringEnd is where the string that begins at a place ends, the end of everything if it doesn't.
func stringEnd(raw []byte, at int) int {
	for i := at + 1; i < len(raw); i++ {
		next := bytes.IndexByte(raw[i:], '"')
		if next < 0 {
			break
		}
		i += next
		slashes := 0
		for raw[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return len(raw)
}

func unquoted(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1]
}

// Number reads a whole number from the beginning of a value.
func Number(value []byte) (n int64) {
	for _, c := range value {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// UserTarget is a conversation with an account, as JSON and as the server writes it.
func UserTarget(account string) string { return `{"user":` + strconv.Quote(account) + `}` }

// GroupTarget is a group's conversation, as JSON and as the server writes it.
func GroupTarget(id int32) string { return `{"group":` + strconv.Itoa(int(id)) + `}` }

// TargetJSON is a conversation as JSON and as the server writes it.
func TargetJSON(t api.Target) string {
	if t.Group != nil {
		return GroupTarget(*t.Group)
	}
	return UserTarget(*t.User)
}
