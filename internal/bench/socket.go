package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tim/gen/api"
	"tim/gen/frames"
)

const (
	handshakeTimeout = 30 * time.Second
	silenceTimeout   = 60 * time.Second // some of the server's heartbeats
	silenceSlack     = 5 * time.Second  // how much earlier it may be, so that not every frame sets it anew
)

// socket is a device on tim.v1. One goroutine reads it; say may be called from any.
type socket struct {
	crowd  *crowd
	index  int
	person *person
	mute   bool // what it hears is checked, but not counted as delivered
	url    string
	next   func(s *socket, due int64) // after each answer, with mu held; nil in open loop

	wire     *wire
	ws       *websocket.Conn
	in       []byte
	deadline time.Time
	done     chan struct{} // closed when its reader has ended; nil before it has begun

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

// follow lets the socket check a conversation, before it opens.
func (s *socket) follow(target string, of *conversation, guest bool) {
	s.streams[target] = &stream{of: of, guest: guest}
}

// dial opens the socket and reads `hello`.
func (s *socket) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	ws, answer, err := s.crowd.dialer(s.index).DialContext(ctx, "ws"+s.url[len("http"):]+"/websocket", http.Header{"token": {s.person.token}})
	if answer != nil {
		_ = answer.Body.Close()
	}
	if err != nil {
		if answer != nil {
			err = fmt.Errorf("%s: %w", answer.Status, err)
		}
		return fmt.Errorf("open a socket for %s: %w", s.person.account, err)
	}
	below := ws.NetConn()
	if secure, ok := below.(*tls.Conn); ok {
		below = secure.NetConn()
	}
	s.ws, s.wire, s.deadline = ws, below.(*wire), time.Time{} //nolint:forcetypeassert // made by dialer
	defer context.AfterFunc(ctx, func() { _ = s.wire.Close() })()
	ws.SetPingHandler(func(data string) error {
		s.deadline = time.Time{}
		s.extend()
		return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(writeTimeout))
	})
	first, err := s.receive()
	if err == nil && string(scan(first).kind) != "hello" {
		err = fmt.Errorf("the first frame is no hello: %.200s", first)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("hello for %s: %w", s.person.account, err), s.wire.reset())
	}
	return nil
}

// sync makes the socket live, and returns when it has everything that was acknowledged.
func (s *socket) sync(ctx context.Context, have bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.wire.Close() })()
	request := frames.Sync{Type: frames.SyncTypeSync, ID: "sync"}
	if have {
		claims, err := s.claims()
		if err != nil {
			return err
		}
		request.Have = &claims
	}
	err := s.ws.WriteJSON(request)
	for synced := false; err == nil && (!synced || !s.inStep()); {
		var raw []byte
		if raw, err = s.receive(); err != nil {
			break
		}
		if string(scan(raw).kind) != "synced" {
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
		if synced = page.Next == nil; !synced {
			err = s.ws.WriteJSON(frames.Sync{Type: request.Type, ID: request.ID, After: page.Next})
		}
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

// begin begins the conversations at their newest message, on a device that has nothing.
func (s *socket) begin(conversations []api.Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conversations {
		if heard := s.streams[named(c.Conversation)]; heard != nil && heard.heard == 0 {
			heard.last = max(heard.last, c.Last)
		}
	}
}

// named is the JSON of a conversation as the server writes it.
func named(t api.Target) string {
	if t.Group != nil {
		return groupTarget(*t.Group)
	}
	return userTarget(*t.User)
}

func userTarget(account string) string { return `{"user":` + strconv.Quote(account) + `}` }

func groupTarget(id int32) string { return `{"group":` + strconv.Itoa(int(id)) + `}` }

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

// start lets it listen until it is closed.
func (s *socket) start() {
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		for {
			raw, err := s.receive()
			if err != nil {
				s.ended(err)
				return
			}
			s.take(raw)
		}
	}()
}

// extend gives the server more time to say something.
func (s *socket) extend() {
	if now := time.Now(); s.deadline.Sub(now) < silenceTimeout-silenceSlack {
		s.deadline = now.Add(silenceTimeout)
		_ = s.wire.SetReadDeadline(s.deadline) // a dead connection says so when it is read
	}
}

// receive reads a frame, which holds until the next call.
func (s *socket) receive() ([]byte, error) {
	s.extend()
	_, r, err := s.ws.NextReader()
	if err != nil {
		return nil, err
	}
	s.in = s.in[:0]
	for {
		if len(s.in) == cap(s.in) {
			s.in = append(s.in, 0)[:len(s.in)]
		}
		n, err := r.Read(s.in[len(s.in):cap(s.in)])
		s.in = s.in[:len(s.in)+n]
		if errors.Is(err, io.EOF) {
			return s.in, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// take sees to one frame.
func (s *socket) take(raw []byte) {
	f, now := scan(raw), s.crowd.clock.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(f.kind) {
	case "message":
		s.hear(f, now)
	case "sent", "error":
		s.answered(f, now)
	}
}

func (s *socket) hear(f serverFrame, now int64) {
	heard := s.streams[string(f.conversation)]
	if heard == nil {
		return // of an earlier run
	}
	due, ours := readStamp(f.text, s.crowd.run)
	heard.hear(f.seq, ours)
	if ours && !s.mute {
		s.crowd.recorder().note(s.index, delivered, due, now)
	}
}

func (s *socket) answered(f serverFrame, now int64) {
	id := number(f.id)
	at := 0
	for at < len(s.pending) && s.pending[at].number != id {
		at++
	}
	if at == len(s.pending) {
		s.crowd.recorder().astray.Add(1)
		s.crowd.recorder().refuse(string(f.reason))
		return
	}
	p := s.pending[at]
	s.pending = append(s.pending[:at], s.pending[at+1:]...)
	if string(f.kind) == "sent" {
		p.of.acknowledge(f.seq)
		s.crowd.recorder().note(s.index, acknowledged, p.due, now)
	} else {
		p.of.open.Add(-1)
		s.crowd.recorder().refuse(string(f.reason))
	}
	if s.next != nil {
		s.next(s, now)
	}
}

// say sends a message that was due at a time; it leaves with the next flush.
func (s *socket) say(target string, of *conversation, due int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sayLocked(target, of, due)
}

func (s *socket) sayLocked(target string, of *conversation, due int64) error {
	s.number++
	of.open.Add(1)
	s.pending = append(s.pending, pending{s.number, due, of})
	s.frame = appendSend(s.frame[:0], target, s.number, stamp{s.crowd.run, due}, s.crowd.size)
	if err := s.ws.WriteMessage(websocket.TextMessage, s.frame); err != nil {
		return fmt.Errorf("send as %s: %w", s.person.account, err)
	}
	s.crowd.recorder().total[sends].Add(1)
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
	s.crowd.recorder().disconnected.Add(1)
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		reason = "closed with " + strconv.Itoa(closed.Code)
	}
	s.crowd.recorder().refuse(reason)
}

// drop breaks the connection and waits for its reader.
func (s *socket) drop() {
	if s.wire == nil {
		return
	}
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	_ = s.wire.reset()
	if s.done != nil {
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving, s.gone, s.wire, s.ws, s.done = false, false, nil, nil, nil
}
