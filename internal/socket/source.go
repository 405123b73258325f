package socket

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// The opcodes of data frames, RFC 6455 section 5.2.
const (
	opContinuation = 0 // goes on with a message
	opText         = websocket.TextMessage
	opBinary       = websocket.BinaryMessage
)

// maxControl is how long the payload of a control frame may be, RFC 6455 section 5.5.
const maxControl = 125

// sourceBuffer is how many bytes are read ahead. Most frames fit into them; of a larger one the rest is read past them. A
// Conn, of which they are part, takes 448 bytes with them, which is one of the sizes that the runtime gives out.
const sourceBuffer = 216

// source reads a client's frames, RFC 6455 section 5. A fuzz test compares it with gorilla's reader. While nothing comes, a
// goroutine waits in await, where a stack of 2 kB is enough. Gorilla's reader waits deeper, and with its buffers costs 4 kB
// more for each socket. For the reader.
type source struct {
	network  net.Conn
	left     int64 // bytes of the frame under way
	size     int64 // … of the message under way, as far as its frames have begun
	mask     [4]byte
	masked   uint8 // how far into the mask the frame is
	open     bool  // another frame of the message is to come
	from, to uint16
	buffer   [sourceBuffer]byte
}

// badLength is wrong with a length whose first bit is set.
const badLength = "bad length"

// violation is what a peer did against RFC 6455, and the code to close with.
type violation struct {
	code Code
	text string
}

// Error implements error.
func (v violation) Error() string { return v.text }

// errClosed says that the peer has closed.
var errClosed = errors.New("closed by the peer")

// await waits until there is something to read.
func (s *source) await() error {
	if s.from < s.to {
		return nil
	}
	n, err := s.network.Read(s.buffer[:])
	s.from, s.to = 0, uint16(n) //nolint:gosec // at most the buffer
	if n > 0 {
		return nil
	}
	return err
}

// gone tells whether the peer has ended the connection, behind what was taken from it. A peer that doesn't wait for the answer to its
// close frame hasn't read what was written after that frame came. It is taken late while the handler waits for the database, since nothing
// is read meanwhile.
func (s *source) gone() bool {
	below, ok := s.network.(syscall.Conn)
	if !ok || s.from < s.to {
		return false
	}
	raw, err := below.SyscallConn()
	if err != nil {
		return false
	}
	var next [1]byte
	n := -1
	var failed error
	err = raw.Read(func(fd uintptr) (done bool) {
		n, _, failed = syscall.Recvfrom(int(fd), next[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && (n == 0 || errors.Is(failed, syscall.ECONNRESET))
}

// take reads n bytes, of no more than half the buffer. They are good until the next call.
func (s *source) take(n int) ([]byte, error) {
	if int(s.from)+n > len(s.buffer) {
		s.to = uint16(copy(s.buffer[:], s.buffer[s.from:s.to])) //nolint:gosec // at most the buffer
		s.from = 0
	}
	for int(s.to-s.from) < n {
		got, err := s.network.Read(s.buffer[s.to:])
		s.to += uint16(got) //nolint:gosec // at most the buffer
		if err != nil && int(s.to-s.from) < n {
			return nil, cutShort(err)
		}
	}
	taken := s.buffer[s.from:][:n]
	s.from += uint16(n) //nolint:gosec // at most the buffer
	return taken, nil
}

// Read reads what is left of a frame.
func (s *source) Read(p []byte) (n int, err error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.left)]
	if s.from < s.to {
		n = copy(p, s.buffer[s.from:s.to])
		s.from += uint16(n) //nolint:gosec // at most the buffer
	} else if n, err = s.network.Read(p); n > 0 {
		err = nil // it comes again
	}
	s.unmask(p[:n])
	s.left -= int64(n)
	return n, cutShort(err)
}

// cutShort is the error of a stream that ends within a frame.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unmask decodes the next bytes of a frame.
func (s *source) unmask(p []byte) {
	var key [8]byte
	for i := range key {
		key[i] = s.mask[(int(s.masked)+i)%len(s.mask)]
	}
	s.masked = uint8((int(s.masked) + len(p)) % len(s.mask)) //nolint:gosec // at most 3
	for word := binary.NativeEndian.Uint64(key[:]); len(p) >= len(key); p = p[len(key):] {
		binary.NativeEndian.PutUint64(p, binary.NativeEndian.Uint64(p)^word)
	}
	for i := range p {
		p[i] ^= key[i]
	}
}

// next goes on to the next frame, passing over what is left of the one before. Of a control frame it returns the payload,
// which is good until the next call; that of any other is read. A message may have limit bytes, 0 for any number.
func (s *source) next(limit int64) (opcode int, control []byte, err error) {
	if s.left > 0 {
		if _, err := io.CopyN(io.Discard, s, s.left); err != nil {
			return 0, nil, cutShort(err)
		}
	}
	head, err := s.take(2)
	if err != nil {
		return 0, nil, err
	}
	first, second := head[0], head[1]
	opcode = int(first & 0x0f)
	if wrong := s.wrong(first, second); wrong != "" {
		return 0, nil, violation{Protocol, wrong}
	}
	if err := s.begin(second & 0x7f); err != nil {
		return 0, nil, err
	}
	switch opcode {
	case websocket.CloseMessage, websocket.PingMessage, websocket.PongMessage:
		if control, err = s.take(int(s.left)); err == nil {
			s.unmask(control)
		}
		s.left = 0
		return opcode, control, err
	case opContinuation:
	default:
		s.size = 0
	}
	s.open = first&0x80 == 0
	switch s.size += s.left; {
	case s.left < 0 || s.size < 0:
		return 0, nil, violation{Protocol, badLength}
	case limit > 0 && s.size > limit:
		return 0, nil, violation{TooLarge, "the frame is too large"}
	}
	return opcode, nil, nil
}

// wrong tells what is wrong with the first two bytes of a frame, nothing if it is empty.
func (s *source) wrong(first, second byte) string {
	var wrong []string
	if first&0x70 != 0 {
		wrong = append(wrong, "reserved bits are set")
	}
	switch opcode := int(first & 0x0f); opcode {
	case websocket.CloseMessage, websocket.PingMessage, websocket.PongMessage:
		if second&0x7f > maxControl {
			wrong = append(wrong, "a control frame is too long")
		}
		if first&0x80 == 0 {
			wrong = append(wrong, "a control frame in pieces")
		}
	case opText, opBinary:
		if s.open {
			wrong = append(wrong, "a message within another")
		}
	case opContinuation:
		if !s.open {
			wrong = append(wrong, "a continuation of nothing")
		}
	default:
		wrong = append(wrong, "bad opcode "+strconv.Itoa(opcode))
	}
	if second&0x80 == 0 {
		wrong = append(wrong, "a frame without a mask")
	}
	return strings.Join(wrong, ", ")
}

// begin reads the rest of a header: the length, of which short is what its second byte says, and the mask.
func (s *source) begin(short byte) error {
	more := 0
	switch short {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	rest, err := s.take(more + len(s.mask))
	if err != nil {
		return err
	}
	switch more {
	case 2:
		s.left = int64(binary.BigEndian.Uint16(rest))
	case 8:
		s.left = int64(binary.BigEndian.Uint64(rest)) //nolint:gosec // next refuses what is negative
	default:
		s.left = int64(short)
	}
	s.mask, s.masked = [4]byte(rest[more:]), 0
	return nil
}

// closeCode is the code of a close frame that has a payload, RFC 6455 section 7.4; wrong tells what is wrong with it.
func closeCode(payload []byte) (code Code, wrong string) {
	if len(payload) < 2 {
		return 0, "a close frame with half a code"
	}
	code = Code(binary.BigEndian.Uint16(payload))
	known := code >= Normal && code <= Unsupported || code >= Invalid && code <= TryLater
	switch {
	case !known && (code < 3000 || code > 4999):
		return code, "bad close code " + strconv.Itoa(int(code))
	case !utf8.Valid(payload[2:]):
		return code, "a close frame that is not UTF-8"
	}
	return code, ""
}
