package bench

import (
	"bytes"
	"iter"
	"strconv"
)

// serverFrame is what the load tool looks at in a frame of the server; its slices point into the frame.
type serverFrame struct {
	kind         []byte // its `type`
	id           []byte
	conversation []byte // raw JSON
	text         []byte // of a message, as it stands in the JSON
	reason       []byte
	seq          int64
}

// scan reads a frame without decoding it: a decoder of JSON costs the tool more than the whole message costs some servers.
// What it doesn't find stays empty.
func scan(raw []byte) (f serverFrame) {
	var message []byte
	for key, value := range members(raw) {
		switch string(key) {
		case "type":
			f.kind = unquoted(value)
		case "id":
			f.id = unquoted(value)
		case "conversation":
			f.conversation = value
		case "seq":
			f.seq = number(value)
		case "reason":
			f.reason = unquoted(value)
		case "message":
			message = value
		}
	}
	if string(f.kind) != "message" {
		return f
	}
	for key, value := range members(message) {
		switch string(key) {
		case "conversation":
			f.conversation = value
		case "seq":
			f.seq = number(value)
		case "body":
			for key, value := range members(value) {
				if string(key) == "text" {
					f.text = unquoted(value)
				}
			}
		}
	}
	return f
}

// members goes through the members of a JSON object: names without quotes, values raw. It stops where the object ends or
// is none.
func members(raw []byte) iter.Seq2[[]byte, []byte] {
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

// number reads a whole number from the beginning of a value.
func number(value []byte) (n int64) {
	for _, c := range value {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// stamp is what the tool's texts begin with: which run they are of, and when they were due, by the clock of the run.
type stamp struct {
	run []byte
	due int64
}

// appendSend appends a frame that sends a text of so many bytes. The number is its id, and with the run the client id.
func appendSend(to []byte, target string, n int64, s stamp, size int) []byte {
	to = append(to, `{"type":"send","id":"`...)
	to = strconv.AppendInt(to, n, 10)
	to = append(to, `","to":`...)
	to = append(to, target...)
	return append(appendMessage(append(to, ','), n, s, size), '}')
}

// appendMessage appends the members `clientId` and `body`.
func appendMessage(to []byte, n int64, s stamp, size int) []byte {
	to = append(to, `"clientId":"`...)
	to = append(to, s.run...)
	to = append(to, '-')
	to = strconv.AppendInt(to, n, 10)
	to = append(to, `","body":{"kind":"text","text":"`...)
	begin := len(to)
	to = append(to, s.run...)
	to = append(to, ' ')
	to = strconv.AppendInt(to, s.due, 10)
	to = append(to, ' ')
	const filling = "All work and no play makes a dull load. "
	for len(to)-begin < size {
		to = append(to, filling[:min(len(filling), size-(len(to)-begin))]...)
	}
	return append(to, `"}`...)
}

// readStamp tells when a text was due, if it is one of this run.
func readStamp(text, run []byte) (due int64, ok bool) {
	if rest, found := bytes.CutPrefix(text, run); found && len(rest) > 1 && rest[0] == ' ' {
		return number(rest[1:]), true
	}
	return 0, false
}
