package testserver

import (
	"testing"

	"tim/internal/servers"
)

// Server is a server of one test, which may stop or kill it. It is removed when the test ends. Its methods fail the test when they
// fail, so they are called from the test's own goroutine, one at a time.
type Server struct {
	// Address is for the settings of the code under test. Restarts don't change it. For MariaDB it is the DSN of an empty utf8mb4
	// database, for Redis a URL.
	Address string

	// TCPAddress is 127.0.0.1:port. MariaDB admits root there without a password.
	TCPAddress string

	t      testing.TB
	server *servers.Server
}

func newServer(t testing.TB, constructor func(*servers.Home) (*servers.Server, error)) *Server {
	t.Helper()
	server, err := start(t, constructor)
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	removeAfter(t, server)
	return ofTest(t, server)
}

func ofTest(t testing.TB, server *servers.Server) *Server {
	t.Helper()
	return &Server{Address: server.Address, TCPAddress: server.TCPAddress, t: t, server: server}
}

func removeAfter(t testing.TB, server *servers.Server) {
	t.Helper()
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Errorf("testserver: %v", err)
		}
	})
}

// Stop asks the server to end (SIGTERM) and returns when it has. It does nothing when the server is down.
func (s *Server) Stop() {
	s.t.Helper()
	s.must(s.server.Stop())
}

// Kill ends the server at once (SIGKILL). It does nothing when the server is down.
func (s *Server) Kill() {
	s.t.Helper()
	s.must(s.server.Kill())
}

// Start starts the server again after Stop or Kill, on the same address with the same data, and returns when it
// answers.
func (s *Server) Start() {
	s.t.Helper()
	s.must(s.server.Start())
}

// Pause stops the process (SIGSTOP): connections stay open, new ones are accepted, and nothing is answered.
func (s *Server) Pause() {
	s.t.Helper()
	s.must(s.server.Pause())
}

// Resume ends a Pause (SIGCONT). The server then answers what it was asked meanwhile.
func (s *Server) Resume() {
	s.t.Helper()
	s.must(s.server.Resume())
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("testserver: %v", err)
	}
}
