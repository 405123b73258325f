package client

import (
	"net"
	"sync"
	"time"
)

// keptBuffer is how large a buffer stays with its connection; of a load tool's there are ten thousand.
const keptBuffer = 4096

// buffered is a TCP connection whose writes wait for flush, or until its reader has nothing left to read: all that a client
// says in answer to what one read brought then leaves in one write. Its methods may be called from any goroutine.
type buffered struct {
	net.Conn
	timeout time.Duration // of a write

	mu  sync.Mutex
	out []byte
}

// Write keeps the bytes until the next flush.
func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out = append(b.out, p...)
	return len(p), nil
}

// Read writes what waits, and reads.
func (b *buffered) Read(p []byte) (int, error) {
	if err := b.flush(); err != nil {
		return 0, err
	}
	return b.Conn.Read(p)
}

// flush writes what waits.
func (b *buffered) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.out) == 0 {
		return nil
	}
	if err := b.SetWriteDeadline(time.Now().Add(b.timeout)); err != nil {
		return err
	}
	_, err := b.Conn.Write(b.out)
	if b.out = b.out[:0]; cap(b.out) > keptBuffer {
		b.out = nil
	}
	return err
}
