package socket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// sending is a network that is only read.
type sending struct {
	net.Conn
	io.Reader
}

func (s sending) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// masked is a client's frame.
func masked(first byte, payload string) []byte {
	const key = "\x01\x20\x03\x40"
	frame := appendFrame(nil, 0, []byte(payload))
	frame[0] = first
	head := len(frame) - len(payload)
	frame[1] |= 0x80
	frame = append(frame[:head:head], key...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^key[i%len(key)])
	}
	return frame
}

// readAllFrames lists what a source makes of a stream.
func readAllFrames(s *source, limit int64) (frames []string, err error) {
	for {
		if err := s.await(); err != nil {
			return frames, err
		}
		opcode, control, err := s.next(limit)
		if err != nil {
			return frames, err
		}
		payload := control
		if opcode < websocket.CloseMessage && !strings.HasPrefix(fmt.Sprint(len(frames)), "9") { // some are passed over
			if payload, err = io.ReadAll(s); err != nil {
				return frames, err
			}
		}
		frames = append(frames, fmt.Sprintf("%d %t %s", opcode, s.open, payload))
	}
}

// Frames of every length arrive as they were sent, in whatever pieces the network brings them.
func TestSource(t *testing.T) {
	t.Parallel()
	var stream []byte
	var want []string
	add := func(first byte, payload string) {
		stream = append(stream, masked(first, payload)...)
		open := len(want) > 0 && strings.Contains(want[len(want)-1], "true")
		if opcode := first & 0xf; opcode < websocket.CloseMessage {
			open = first&0x80 == 0
		}
		if first&0xf < websocket.CloseMessage && strings.HasPrefix(fmt.Sprint(len(want)), "9") {
			payload = ""
		}
		want = append(want, fmt.Sprintf("%d %t %s", first&0xf, open, payload))
	}
	for _, size := range []int{0, 1, 7, 8, 9, 125, 126, sourceBuffer - 8, sourceBuffer, 1000, 65535, 65536, 70001} {
		text := strings.Repeat("0123456789abcdef,", size/17+1)[:size]
		add(0x81, text)
		add(0x89, text[:min(size, maxControl)])
		add(0x01, text)
		add(0x8a, "between")
		add(0x00, "more")
		add(0x80, "")
	}
	for name, pieces := range map[string]func(io.Reader) io.Reader{
		"whole":         func(r io.Reader) io.Reader { return r },
		"byte by byte":  iotest.OneByteReader,
		"in halves":     iotest.HalfReader,
		"end with data": iotest.DataErrReader,
	} {
		got, err := readAllFrames(&source{network: sending{Reader: pieces(bytes.NewReader(stream))}}, 0)
		if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v (-want +got):\n%.500s", name, err, diff)
		}
	}
	for cut := range 300 {
		if _, err := readAllFrames(&source{network: sending{Reader: bytes.NewReader(masked(0x81, strings.Repeat("x", 400))[:1+cut])}}, 0); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", 1+cut, err)
		}
	}
}

// What breaks the protocol is said, with the code to close with.
func TestSourceViolations(t *testing.T) {
	t.Parallel()
	long := func(length uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, length)) + "key."
	}
	for stream, want := range map[string]violation{
		"\x81\x01x":            {Protocol, "a frame without a mask"},
		"\xc1\x80":             {Protocol, "reserved bits are set"},
		"\x83\x80":             {Protocol, "bad opcode 3"},
		"\x80\x80":             {Protocol, "a continuation of nothing"},
		"\x09\x80":             {Protocol, "a control frame in pieces"},
		"\x89\xfe":             {Protocol, "a control frame is too long"},
		"\x01\x80key.\x81\x80": {Protocol, "a message within another"},
		"\xf3\x00":             {Protocol, "reserved bits are set, bad opcode 3, a frame without a mask"},
		long(1 << 63):          {Protocol, "bad length"},
		long(101):              {TooLarge, "the frame is too large"},
		string(masked(1, strings.Repeat("x", 60))) + string(masked(0x80, strings.Repeat("x", 60))): {TooLarge, "the frame is too large"},
	} {
		_, err := readAllFrames(&source{network: sending{Reader: strings.NewReader(stream)}}, 100)
		if got, ok := errors.AsType[violation](err); !ok || got != want {
			t.Errorf("%.20q: %v, want %v", stream, err, want)
		}
	}
}

// A close frame has no code, or one that may be sent, and a text.
func TestCloseCode(t *testing.T) {
	t.Parallel()
	for code := range 1 << 16 {
		_, wrong := closeCode(binary.BigEndian.AppendUint16(nil, uint16(code)))
		if ok := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1013 || code >= 3000 && code < 5000; ok != (wrong == "") {
			t.Errorf("%d: %q", code, wrong)
		}
	}
	for _, payload := range []string{"x", "\x03\xe8\xff"} {
		if _, wrong := closeCode([]byte(payload)); wrong == "" {
			t.Errorf("%q is taken", payload)
		}
	}
}
