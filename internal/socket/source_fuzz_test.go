package socket

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// FuzzSource reads whatever a client may send with a source and with gorilla: the messages, the control frames between them
// and the end are the same.
func FuzzSource(f *testing.F) {
	for _, stream := range [][]byte{
		nil,
		masked(0x81, "hello"),
		append(masked(0x01, "in "), append(masked(0x89, "ping"), masked(0x80, "pieces")...)...),
		append(masked(0x8a, "1"), masked(0x88, "\x03\xe8bye")...),
		masked(0x88, ""), masked(0x88, "\x03"), masked(0x88, "\x03\xed"), masked(0x88, "\x03\xe8\xff"), masked(0x88, "\x0f\xa1"),
		masked(0x82, string(make([]byte, 300))), masked(0x82, string(make([]byte, 5000))),
		masked(0x83, ""), masked(0xc1, "x"), masked(0x80, "x"), masked(0x09, "x"), masked(0x89, string(make([]byte, 126))),
		append(masked(0x01, "x"), masked(0x81, "y")...),
		{0x81, 0x01, 'x'}, {0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, {0x81, 0xfe, 0x10},
	} {
		f.Add(stream, uint8(1))
		f.Add(stream, uint8(255))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		pieces := func() net.Conn { return sending{Reader: piecewise{bytes.NewReader(stream), max(1, int(piece))}} }
		if diff := cmp.Diff(asGorilla(t, pieces()), asSource(pieces())); diff != "" {
			t.Errorf("%x (-gorilla +source):\n%s", stream, diff)
		}
	})
}

// piecewise reads at most so many bytes at once.
type piecewise struct {
	io.Reader
	most int
}

func (p piecewise) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.most)]) }

const fuzzLimit = 4096

// asSource tells what a source makes of a stream.
func asSource(network net.Conn) (seen []string) {
	s := &source{network: network}
	var message []byte
	kind := 0
	for {
		opcode, control, err := s.next(fuzzLimit)
		var v violation
		switch {
		case errors.As(err, &v) && v.text == badLength: // of which gorilla only says that it is too large
			return append(seen, "cut")
		case errors.As(err, &v):
			return append(seen, fmt.Sprint("violation ", v.code))
		case err != nil:
			return append(seen, "cut")
		case opcode == websocket.CloseMessage:
			code := noStatus
			if len(control) > 1 { // gorilla overlooks half a code
				var wrong string
				if code, wrong = closeCode(control); wrong != "" {
					return append(seen, "violation 1002")
				}
			}
			return append(seen, fmt.Sprint("closed ", code))
		case opcode == websocket.PingMessage, opcode == websocket.PongMessage:
			seen = append(seen, fmt.Sprintf("%d %q", opcode, control))
		default:
			part, err := io.ReadAll(s)
			if err != nil {
				return append(seen, "cut")
			}
			if opcode != opContinuation {
				kind, message = opcode, nil
			}
			if message = append(message, part...); !s.open {
				seen = append(seen, fmt.Sprintf("%d %q", kind, message))
			}
		}
	}
}

// hijacked lends gorilla a network.
type hijacked struct {
	http.ResponseWriter
	network net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.network, bufio.NewReadWriter(bufio.NewReader(h.network), bufio.NewWriter(io.Discard)), nil
}

// said is a network that notes the code of the close frame that gorilla writes.
type said struct {
	net.Conn
	code *int
}

func (s said) Write(p []byte) (int, error) {
	if p[0] == 0x88 && len(p) >= 4 {
		*s.code = int(p[2])<<8 | int(p[3])
	}
	return len(p), nil
}

func (said) SetDeadline(time.Time) error      { return nil }
func (said) SetReadDeadline(time.Time) error  { return nil }
func (said) SetWriteDeadline(time.Time) error { return nil }
func (said) Close() error                     { return nil }

// asGorilla tells what gorilla makes of a stream.
func asGorilla(t *testing.T, network net.Conn) (seen []string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	code := 0
	socket, err := new(websocket.Upgrader).Upgrade(hijacked{httptest.NewRecorder(), said{network, &code}}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	socket.SetReadLimit(fuzzLimit)
	note := func(opcode int) func(string) error {
		return func(payload string) error {
			seen = append(seen, fmt.Sprintf("%d %q", opcode, payload))
			return nil
		}
	}
	socket.SetPingHandler(note(websocket.PingMessage))
	socket.SetPongHandler(note(websocket.PongMessage))
	socket.SetCloseHandler(func(int, string) error { return nil })
	for {
		kind, message, err := socket.ReadMessage()
		if err == nil {
			seen = append(seen, fmt.Sprintf("%d %q", kind, message))
			continue
		}
		closed, isClosed := errors.AsType[*websocket.CloseError](err)
		switch {
		case code != 0:
			return append(seen, fmt.Sprint("violation ", code))
		case isClosed && closed.Code != websocket.CloseAbnormalClosure:
			return append(seen, fmt.Sprint("closed ", closed.Code))
		default:
			return append(seen, "cut")
		}
	}
}
