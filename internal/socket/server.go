package socket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Timing is how long things may take. Every field is needed.
type Timing struct {
	// Handshake bounds what the upgrade may take.
	Handshake time.Duration
	// PeerTimeout is how long a peer may leave pings unanswered.
	PeerTimeout time.Duration
	// FrameStall is how long a frame that has begun to come may stand still. All of it must come within PeerTimeout.
	FrameStall time.Duration
	// Heartbeat is how often a peer is pinged.
	Heartbeat time.Duration
	// SlowAfter is how long one write may stand still before its reader is called too slow, at the next Heartbeat.
	SlowAfter time.Duration
	// WriteTimeout is when such a write is given up. Until then a reader that reads again learns why it is closed.
	WriteTimeout time.Duration
	// CloseTimeout is how long a peer may take to answer a close frame.
	CloseTimeout time.Duration
	// LastWords is what the connections have to end in, once Close has cut them.
	LastWords time.Duration
}

// Options of New. Every field is needed, except that a limit of 0 means none.
type Options struct {
	Timing     Timing
	FrameLimit int64 // bytes of a peer's message
	// Pace counts what an owner's connections have read, as so many messages, and returns how long the one that asks must
	// wait before it reads on; nil for no limit.
	Pace func(owner string, messages int) time.Duration
	Log  *slog.Logger
	// Ended is called once for each connection that was registered, after its handler's Closed.
	Ended func(*Conn)
}

// ErrClosed says that the server takes no more connections.
var ErrClosed = errors.New("the server is going away")

// Server holds what a node's connections share. Safe for concurrent use.
type Server struct {
	Options

	// life ends when Close gives up waiting, and with it whatever the connections still wait for.
	life context.Context //nolint:containedctx // the goroutines of the connections live by it
	end  context.CancelFunc

	began   time.Time // of the clock, see moment
	buffers sync.Pool // gorilla's write buffers
	batches sync.Pool // of *batch
	wheel   wheel
	workers *workers

	mu       sync.Mutex
	draining bool
	open     map[*Conn]struct{}
	moves    int            // how many connections have come and gone
	running  sync.WaitGroup // one for each connection, each writer, and each function of Go
	beating  sync.WaitGroup // the heartbeat and what it starts
}

// New returns a server without connections and starts its heartbeat. Close ends it.
func New(o Options) *Server {
	s := newServer(o)
	s.beating.Go(s.beat)
	return s
}

func newServer(o Options) *Server {
	s := &Server{Options: o, open: make(map[*Conn]struct{}), workers: newWorkers(), began: time.Now()}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// moment is nanoseconds since the server began: 8 bytes instead of time.Time's 24, and a connection has four. 0 means unset.
type moment int64

func (m moment) add(d time.Duration) moment { return m + moment(d) }
func (m moment) sub(n moment) time.Duration { return time.Duration(m - n) }

func (s *Server) now() moment               { return moment(time.Since(s.began)) }
func (s *Server) timeOf(m moment) time.Time { return s.began.Add(time.Duration(m)) }

// Within returns a context for what connections ask of others: it ends with the server or after timeout.
func (s *Server) Within(timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.life, timeout)
}

// Life ends when Close gives up waiting.
func (s *Server) Life() context.Context { return s.life }

// Go runs f on a goroutine that Close waits for. what names it in the log should it panic.
func (s *Server) Go(what string, f func()) {
	s.running.Go(func() {
		defer s.Survive(what)
		f()
	})
}

// Register makes a connection one of the server's, which Close waits for. After an error it is none, and its handler isn't
// told of its end.
func (s *Server) Register(c *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return ErrClosed
	}
	s.open[c] = struct{}{}
	s.moves++
	s.running.Add(1)
	return nil
}

// Discard ends a connection that was registered and never started.
func (s *Server) Discard(c *Conn) { s.release(c) }

// release tells the handler that its connection has ended, and forgets it. Called once, last.
func (s *Server) release(c *Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.open, c)
		s.moves++
		s.mu.Unlock()
		s.running.Done()
	}()
	defer s.Survive("the end of a socket")
	defer s.Ended(c)
	defer s.Survive("the end of a socket") // so that Ended is called after a panic, too
	c.handler.Closed()
}

// Conns lists the connections.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Conn, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	return all
}

// Close closes every connection with GoingAway and waits until all have ended; when ctx ends first, it cuts them. It returns
// within Timing.LastWords of that. A second call does nothing.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, c := range s.Conns() {
		c.Close(GoingAway, ErrClosed.Error())
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.cutAll(done)
	}
	s.end()
	s.beating.Wait()
	s.workers.running.Wait()
}

// cutAll ends the connections that have not ended in time, without a close frame. Their handlers have Timing.LastWords to
// tell the database and other nodes.
func (s *Server) cutAll(done <-chan struct{}) {
	for _, c := range s.Conns() {
		c.Cut()
	}
	select {
	case <-done:
	case <-time.After(s.Timing.LastWords):
		s.end()
		<-done
	}
}

// Survive keeps a panic in what is done for many connections from ending the process. Deferred.
func (s *Server) Survive(where string) {
	if p := recover(); p != nil {
		s.Log.Error("panic", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}
