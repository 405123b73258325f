package socket

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writes is a network of which only what is written to it counts.
type writes struct {
	net.Conn

	all []string
	cut int // how much of a write comes through; 0 for all
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, string(p))
	if w.cut > 0 {
		return w.cut, net.ErrClosed
	}
	return len(p), nil
}

// The greeting goes out with the answer to the handshake, in one write, of which gorilla sees its part.
func TestGreetingGoesWithTheAnswer(t *testing.T) {
	t.Parallel()
	out := &writes{}
	m := greeting{Conn: out, greet: func() []byte { return []byte("hello") }}
	answer := append(make([]byte, 0, 64), "HTTP/1.1 101\r\n\r\n"...)
	if n, err := m.Write(answer); n != len(answer) || err != nil {
		t.Errorf("written: %d, %v", n, err)
	}
	if behind := answer[len(answer):cap(answer)]; behind[0] != 0 {
		t.Errorf("written behind what was given: %q", behind)
	}
	if diff := cmp.Diff([]string{"HTTP/1.1 101\r\n\r\n\x81\x05hello"}, out.all); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	for _, cut := range []int{3, len(answer) + 2} {
		m := greeting{Conn: &writes{cut: cut}, greet: func() []byte { return []byte("hello") }}
		if n, err := m.Write(answer); n > len(answer) || err == nil {
			t.Errorf("broken off after %d bytes: %d, %v", cut, n, err)
		}
	}
}
