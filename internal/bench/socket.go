package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/client"
)

const (
	handshakeTimeout = 30 * time.Second
	writeTimeout     = 30 * time.Second
	silenceTimeout   = 60 * time.Second // some of the server's heartbeats
)

// socket is a device on tim.v1. Its reader is a goroutine; queue may be called from any.
type socket struct {
	pool      *pool
	index     int
	person    *person
	uncounted bool // what it receives is checked, but not counted as delivered
	url       string
	next      func(s *socket, due int64) // called after each answer, with mu held; nil in open loop

	conn *client.Conn  // nil while it is closed
	done chan struct{} // closed when its reader has ended; nil before it has begun

	mu      sync.Mutex
	leaving bool
	gone    bool               // the server closed it
	streams map[string]*stream // by the conversation's JSON
	number  int64
	pending []pending
	frame   []byte
}

// pending is a send that has no answer yet.
type pending struct {
	number, due int64
	of          *conversation
}

// follow makes the socket check a conversation. It is called before the socket is opened.
func (s *socket) follow(target string, of *conversation, guest bool) {
	s.streams[target] = &stream{of: of, guest: guest}
}

// dial opens the socket and reads `hello`.
func (s *socket) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, err := s.pool.dial.Dial(ctx, client.Endpoint{
		Server: s.url, Path: client.Path, Protocol: client.Protocol, Token: s.person.token, From: s.pool.source(s.index),
	})
	if err == nil {
		if err = conn.Hello(ctx); err != nil {
			conn.Reset()
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.person.account, err)
	}
	s.conn = conn
	return nil
}

// sync makes the socket live, and returns when it has everything that was acknowledged. With have it says what it has;
// without, it is a device that begins at the newest messages.
func (s *socket) sync(ctx context.Context, have bool) error {
	ctx, cancel := context.WithTimeout(ctx, deliveredTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, s.conn.Close)()
	var claims []frames.Have
	var err error
	if have {
		if claims, err = s.claims(); err != nil {
			return err
		}
	}
	err = s.conn.Sync(claims)
	for synced := false; err == nil && (!synced || !s.inStep()); {
		var raw []byte
		if raw, err = s.conn.Read(); err != nil {
			break
		}
		if string(client.Scan(raw).Type) != "synced" {
			s.take(raw)
			continue
		}
		var page frames.Synced
		if err = json.Unmarshal(raw, &page); err != nil {
			break
		}
		if !have {
			s.begin(page.Conversations)
		}
		var more bool
		more, err = s.conn.NextPage(page)
		synced = !more
	}
	if err != nil {
		return fmt.Errorf("sync of %s: %w", s.person.account, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

func (s *socket) claims() (claims []frames.Have, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claims = []frames.Have{}
	for target, heard := range s.streams {
		if heard.guest {
			continue
		}
		var named api.Target
		if err := json.Unmarshal([]byte(target), &named); err != nil {
			return nil, err
		}
		claims = append(claims, frames.Have{Conversation: named, Seq: heard.last})
	}
	return claims, nil
}

// begin starts each conversation at its newest message, on a device that has nothing.
func (s *socket) begin(conversations []api.Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conversations {
		if heard := s.streams[client.TargetJSON(c.Conversation)]; heard != nil && heard.heard == 0 {
			heard.last = max(heard.last, c.Last)
		}
	}
}

func (s *socket) inStep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, heard := range s.streams {
		if !heard.inStep() {
			return false
		}
	}
	return true
}

// start starts the reader, which ends when the connection does.
func (s *socket) start() {
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		for {
			raw, err := s.conn.Read()
			if err != nil {
				s.ended(err)
				return
			}
			s.take(raw)
		}
	}()
}

// take handles one frame.
func (s *socket) take(raw []byte) {
	f, now := client.Scan(raw), s.pool.clock.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(f.Type) {
	case "message":
		s.receive(f, now)
	case "sent", "error":
		s.answered(f, now)
	}
}

func (s *socket) receive(f client.Frame, now int64) {
	heard := s.streams[string(f.Conversation)]
	if heard == nil {
		return // of an earlier run
	}
	due, ours := readStamp(f.Text, s.pool.run)
	heard.receive(f.Seq, ours)
	if ours && !s.uncounted {
		s.pool.recorder().record(s.index, delivered, due, now)
	}
}

func (s *socket) answered(f client.Frame, now int64) {
	id := client.Number(f.ID)
	at := 0
	for at < len(s.pending) && s.pending[at].number != id {
		at++
	}
	if at == len(s.pending) {
		s.pool.recorder().unexpected.Add(1)
		s.pool.recorder().countRefusal(string(f.Reason))
		return
	}
	p := s.pending[at]
	s.pending = append(s.pending[:at], s.pending[at+1:]...)
	if string(f.Type) == "sent" {
		p.of.acknowledge(f.Seq)
		s.pool.recorder().record(s.index, acknowledged, p.due, now)
	} else {
		p.of.open.Add(-1)
		s.pool.recorder().countRefusal(string(f.Reason))
	}
	if s.next != nil {
		s.next(s, now)
	}
}

// queue queues a message that was due at a time. It leaves with the next flush or read.
func (s *socket) queue(target string, of *conversation, due int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queueLocked(target, of, due)
}

func (s *socket) queueLocked(target string, of *conversation, due int64) error {
	s.number++
	of.open.Add(1)
	s.pending = append(s.pending, pending{s.number, due, of})
	s.frame = appendSend(s.frame[:0], target, s.number, stamp{s.pool.run, due}, s.pool.size)
	if err := s.conn.Queue(s.frame); err != nil {
		return fmt.Errorf("send as %s: %w", s.person.account, err)
	}
	s.pool.recorder().total[sends].Add(1)
	return nil
}

func (s *socket) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return
	}
	s.gone = true
	reason := "connection broken"
	s.pool.recorder().disconnected.Add(1)
	if code := client.CloseCode(err); code != 0 {
		reason = "closed with " + strconv.Itoa(code)
	}
	s.pool.recorder().countRefusal(reason)
}

// drop breaks the connection and waits for its reader.
func (s *socket) drop() {
	if s.conn == nil {
		return
	}
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	s.conn.Reset()
	if s.done != nil {
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving, s.gone, s.conn, s.done = false, false, nil, nil
}
