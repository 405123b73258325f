package delivery

import (
	"sync"
	"time"

	"tim/internal/chat"
	"tim/internal/feed"
	"tim/internal/socket"
)

// Reader is the conversations of one socket. Safe for concurrent use. Its lock is taken before the socket's own.
type Reader struct {
	kind    *Kind
	conn    *socket.Conn
	account string

	mu      sync.Mutex
	streams map[string]*stream // by conversation
	lagging []*stream          // those that lack something, in turn
	page    []chat.Message     // what was fetched for the first of them, and is still to be queued
	fetched fetched            // … and what is to be known of it at its end

	// Of a socket that carries many conversations, see membership.go.
	state   State
	recheck bool                 // the bus may have lost something while it synced
	left    map[string]departure // conversations that the account has left meanwhile
}

// fetched is what a page's end tells of.
type fetched struct {
	known int64 // the highest seq heard of when it was asked for
	any   bool  // it had messages
	full  bool  // there may be more
}

// stream is what a reader knows of the messages of one conversation. Guarded by the reader's mu.
type stream struct {
	conversation string
	target       chat.Target // as the reader's account names it
	flow         socket.Flow // of the frames with its messages

	over      bool // the account has no right to it any more; it is no longer among the reader's streams
	tentative bool // it isn't known yet whether it is the account's, or where it begins
	started   bool
	fetching  bool // there may be more in the database than known
	lagging   bool // it is among the reader's lagging
	waiting   bool // until the timer says that it is time to fetch again

	joined int64 // the seq at which the membership began
	shown  int64 // the newest seq when the client synced
	known  int64 // the highest seq heard of
	newest int64 // … by an event; negative if another account than the reader's has sent that message
	pos    int64 // … queued, or passed over

	vain  int // fetches in a row that found nothing although something is known
	timer *time.Timer
}

// NewReader returns a reader of an account's socket, without conversations.
func NewReader(k *Kind, conn *socket.Conn, account string) *Reader {
	return &Reader{kind: k, conn: conn, account: account}
}

// behind tells whether something must be fetched.
func (s *stream) behind() bool {
	return s.started && !s.waiting && (s.fetching || s.known > s.pos)
}

// Open gives the reader the one conversation of a socket that has one. Its messages wait for Start.
func (r *Reader) Open(conversation string, t chat.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addStream(&stream{conversation: conversation, target: t})
}

// Resume has a conversation begin after a seq. Before Start.
func (r *Reader) Resume(conversation string, seq int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[conversation]; s != nil {
		s.pos = seq
	}
}

// Start lets the messages of a conversation flow, those missed first. A second call does nothing.
func (r *Reader) Start(conversation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[conversation]; s != nil && !s.started {
		s.started, s.fetching = true, true
		r.follow(s)
	}
}

// Started tells whether the messages of a conversation flow.
func (r *Reader) Started(conversation string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.streams[conversation]
	return s != nil && s.started
}

// Offer brings a new message. It never blocks. It reports whether the reader carries the conversation and the message before
// this one isn't known to be of the same sender: then the sender has, by sending, read what others had said.
func (r *Reader) Offer(n *feed.Announcement, e *feed.MessageStored) (turn bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.streamFor(n.Target, e)
	if s == nil {
		return false
	}
	seq := e.Message.Seq
	own := e.Message.Sender == r.account && !e.Message.IsNotice() // a notice moves marks of which nobody is told
	turn = s.turn(seq, own)
	s.known = max(s.known, seq)
	if s.started && !s.fetching && seq == s.pos+1 && r.conn.Offer(r.outgoing(s, e.Message, r.frame(n, e))) {
		s.pos = seq
		return turn
	}
	r.follow(s)
	return turn
}

// turn notes that an event has told of a message, and whether the reader's account has sent it. It reports whether the message
// before it is one of another sender, or not known to be of the same.
func (s *stream) turn(seq int64, own bool) bool {
	newest, same := s.newest, seq-1
	if !own {
		same = -same
	}
	if seq > max(newest, -newest) {
		if s.newest = seq; !own {
			s.newest = -seq
		}
	}
	return newest != same && seq > 1
}

// frame is a new message's frame, encoded once for the sender's connections, and once for all other readers of its topic.
func (r *Reader) frame(n *feed.Announcement, e *feed.MessageStored) []byte {
	face := r.kind.Face
	if e.Message.Sender == r.account {
		face = r.kind.SenderFace
	}
	frame := &n.Frames[face]
	if *frame == nil {
		*frame = r.kind.Frame(n.Target, e.Message.For(r.account))
	}
	return *frame
}

// outgoing is a message as this reader gets it.
func (r *Reader) outgoing(s *stream, m chat.Message, frame []byte) socket.Frame {
	if r.kind.NoEcho && m.Sender == r.account {
		frame = nil
	}
	if r.kind.Confirmed {
		return socket.Frame{Data: frame, Token: m.Seq}
	}
	return socket.Frame{Data: frame, Token: m.Seq, Flow: &s.flow}
}

// streamFor returns the stream that a message belongs to, nil for one that this reader doesn't carry. r.mu is held.
func (r *Reader) streamFor(t chat.Target, e *feed.MessageStored) *stream {
	s := r.streams[e.Conversation]
	if s == nil && r.state != Idle && t.Group == 0 { // a one-to-one conversation may begin at any time
		s = &stream{conversation: e.Conversation, target: t, tentative: r.state == Syncing, started: r.state == Live}
		r.addStream(s)
	}
	return s
}

// Learn tells a conversation that there are messages up to seq.
func (r *Reader) Learn(conversation string, seq int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[conversation]; s != nil {
		s.known = max(s.known, seq)
		r.follow(s)
	}
}

// follow queues a stream for fetching if it lacks messages, and has the writer call More. r.mu is held.
func (r *Reader) follow(s *stream) {
	if s.behind() && !s.lagging {
		s.lagging = true
		r.lagging = append(r.lagging, s)
	}
	if len(r.lagging) > 0 {
		r.conn.WantMore()
	}
}

// More queues about BatchBytes of what the first of the lagging conversations lacks. One that lacks more than a page then
// waits behind the others. For the socket's handler, whose method of this name says when.
func (r *Reader) More() (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lagging) == 0 {
		return false
	}
	s := r.lagging[0]
	if len(r.page) == 0 && s.behind() {
		if err := r.fetch(s); err != nil {
			r.kind.Source.log.Warn("can't fetch missed messages", "socket", r.conn.ID(), "err", err)
			r.conn.Abort(socket.TryLater, "come back later")
			return false
		}
	}
	if r.queuePage(s) {
		r.finishPage(s)
	}
	return len(r.lagging) > 0
}

// fetch asks for the next page of a stream. r.mu is held, but not while asking.
func (r *Reader) fetch(s *stream) error {
	s.fetching = true
	after, known := s.pos, s.known
	r.mu.Unlock()
	page, err := r.kind.Source.fetchMissing(s.conversation, after, known)
	r.mu.Lock()
	r.page, r.fetched = page, fetched{known: known, any: len(page) > 0, full: len(page) == pageSize}
	return err
}

// queuePage queues messages of the page, and reports whether it is done with it. r.mu is held.
func (r *Reader) queuePage(s *stream) (done bool) {
	for size := 0; len(r.page) > 0 && !s.over; {
		if size >= socket.BatchBytes {
			return false // a pong or a notice shouldn't wait for the whole page
		}
		m := r.page[0]
		f := r.outgoing(s, m, r.kind.Frame(s.target, m.For(r.account)))
		if !r.conn.Offer(f) {
			return false
		}
		size += len(f.Data)
		s.pos, r.page = m.Seq, r.page[1:]
	}
	r.page = nil
	return true
}

// finishPage takes a stream from the head of the lagging and looks at what the end of its page says. r.mu is held.
func (r *Reader) finishPage(s *stream) {
	r.lagging[0] = nil
	r.lagging, s.lagging = r.lagging[1:], false
	if len(r.lagging) == 0 {
		r.lagging = nil
	}
	if s.fetching && !r.fetched.full && !s.over {
		s.fetching = false
		r.lookAgain(s)
	}
	r.follow(s)
}

// lookAgain looks after a page that was the last. What is known and wasn't there, though it was asked for afterwards, is on
// its way to the database that was asked. r.mu is held.
func (r *Reader) lookAgain(s *stream) {
	if r.fetched.any || r.fetched.known <= s.pos {
		s.vain = 0
		return // what has become known meanwhile is fetched next
	}
	if s.vain++; s.vain > fetchAttempts {
		r.kind.Source.log.Error("messages were announced that can't be found", "conversation", s.conversation, "after", s.pos, "up to", r.fetched.known)
		s.vain, s.known = 0, s.pos
		return
	}
	s.waiting = true
	s.timer = time.AfterFunc(r.kind.Source.again, func() {
		r.conn.Guard(func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			s.waiting = false
			r.follow(s) // which does nothing for one that is over
		})
	})
}

// Stop stops the timers. Last.
func (r *Reader) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.streams {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
	r.page = nil
}

// addStream gives the reader a stream of a conversation of which it has none. r.mu is held.
func (r *Reader) addStream(s *stream) {
	if r.streams == nil {
		r.streams = make(map[string]*stream)
	}
	r.streams[s.conversation] = s
}

// endStream takes a stream away: not one more of its messages is written. It returns the last seq that was handed to the
// writer. r.mu is held.
func (r *Reader) endStream(s *stream) (sent int64) {
	s.over, s.started = true, false
	if s.timer != nil {
		s.timer.Stop()
	}
	delete(r.streams, s.conversation)
	return r.conn.EndFlow(&s.flow)
}
