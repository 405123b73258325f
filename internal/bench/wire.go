package bench

import (
	"net"
	"sync"
	"time"
)

const writeTimeout = 30 * time.Second

// wire is a TCP connection whose writes wait for flush, or until its reader has nothing left to read: what one read made
// the tool say leaves in one write. Write and flush may be called from any goroutine.
type wire struct {
	net.Conn
	mu  sync.Mutex
	out []byte
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = append(w.out, p...)
	return len(p), nil
}

func (w *wire) Read(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

// flush writes what waits.
func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.out) == 0 {
		return nil
	}
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := w.Conn.Write(w.out)
	if w.out = w.out[:0]; cap(w.out) > 4096 {
		w.out = nil // ten thousand of them are held
	}
	return err
}

// reset ends the connection as one that breaks, which leaves no port waiting behind.
func (w *wire) reset() error {
	if tcp, ok := w.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return w.Close()
}
