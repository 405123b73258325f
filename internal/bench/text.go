package bench

import (
	"bytes"
	"strconv"

	"tim/internal/client"
)

// stamp is the beginning of the tool's texts: the run, and when the message was due by the run's clock, in ns.
type stamp struct {
	run []byte
	due int64
}

// appendSend appends a `send` frame with a text of size bytes. n is the frame's id and, with the run, the client id.
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

// readStamp returns when a text was due, if this run has sent it.
func readStamp(text, run []byte) (due int64, ok bool) {
	if rest, found := bytes.CutPrefix(text, run); found && len(rest) > 1 && rest[0] == ' ' {
		return client.Number(rest[1:]), true
	}
	return 0, false
}
