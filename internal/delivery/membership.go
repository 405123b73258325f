package delivery

import "tim/internal/chat"

// State tells how far a socket that carries many conversations has come.
type State uint8

// The states. A socket of one conversation stays Idle.
const (
	Idle    State = iota // it carries nothing, and events don't concern it
	Syncing              // events concern it; messages wait for EndSync
	Live
)

// Standing is where an account stands in a conversation, as the database or an event has it.
type Standing struct {
	Conversation string
	Target       chat.Target
	Joined       int64 // the seq at which the membership began; 0 one to one
	From         int64 // the seq after which the messages begin
	Last         int64 // the newest seq
	Shown        int64 // the newest seq that the answer to a sync shows; 0 outside of one
}

// departure is what a reader remembers of a conversation that its account has left.
type departure struct {
	seq  int64 // at which it left
	sent int64 // what had been written then: the database may have been ahead of the event
}

// State returns the reader's state.
func (r *Reader) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// BeginSync makes events concern the reader. It reports whether it was the first call, or the first after AbortSync.
func (r *Reader) BeginSync() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != Idle {
		return false
	}
	r.state = Syncing
	return true
}

// AbortSync undoes BeginSync: the client may sync again. Topics that were joined stay joined for that.
func (r *Reader) AbortSync() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.streams {
		r.endStream(s)
	}
	r.state = Idle
}

// EndSync lets the messages flow. It returns the groups that turned out not to be the account's any more, and whether the
// bus may have lost something meanwhile.
func (r *Reader) EndSync() (strange []string, recheck bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = Live
	for _, s := range r.streams {
		if s.tentative && s.target.Group != 0 {
			strange = append(strange, s.conversation)
			r.endStream(s)
			continue
		}
		s.tentative, s.started = false, true
		r.follow(s)
	}
	recheck, r.recheck = r.recheck, false
	return strange, recheck
}

// AddConversation gives the reader a conversation, unless the account has left it since. The seqs of joining and leaving tell
// in what order those came, which events from several nodes and answers of the database don't. A conversation that flows
// already stays where it is. A new one, of which it returns true, waits for Begin.
func (r *Reader) AddConversation(p Standing) (fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, hasLeft := r.left[p.Conversation]
	if hasLeft && p.Joined <= before.seq {
		return false
	}
	s := r.streams[p.Conversation]
	if fresh = s == nil; fresh {
		s = &stream{conversation: p.Conversation}
		r.addStream(s)
	}
	if !s.started {
		s.target, s.pos = p.Target, max(p.From, before.sent)
	}
	if p.Joined > s.joined { // the account has left and joined again, and no event told of it
		s.joined, s.pos = p.Joined, max(s.pos, p.Joined)
	}
	s.tentative, s.known, s.shown = false, max(s.known, p.Last), max(s.shown, p.Shown)
	r.follow(s)
	return fresh
}

// Begin lets the messages of a conversation flow whose topic has been joined.
func (r *Reader) Begin(conversation string, last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[conversation]; s != nil {
		s.known, s.started = max(s.known, last), r.state != Syncing
		r.follow(s)
	}
}

// Drop ends a conversation that the account has left at a seq: not one more of its messages is written. An account that has
// joined again since stays.
func (r *Reader) Drop(conversation string, left int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.left[conversation]
	if s := r.streams[conversation]; s != nil {
		if left <= s.joined {
			return
		}
		before.sent = max(before.sent, r.endStream(s))
	}
	if r.left == nil {
		r.left = make(map[string]departure)
	}
	before.seq = max(before.seq, left)
	r.left[conversation] = before
}

// Carries tells whether the reader carries a conversation.
func (r *Reader) Carries(conversation string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streams[conversation] != nil
}

// Shows tells whether the client has seen by its sync what a conversation was at a seq.
func (r *Reader) Shows(conversation string, seq int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.streams[conversation]
	return s != nil && seq > 0 && seq <= s.shown
}

// Memberships lists the groups that a live reader carries and the seqs at which they were joined; nil for one that isn't
// live. One that is just syncing may have asked before a loss of the bus: EndSync then says so.
func (r *Reader) Memberships() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recheck = r.state == Syncing
	if r.state != Live {
		return nil
	}
	all := make(map[string]int64, len(r.streams))
	for name, s := range r.streams {
		if s.target.Group != 0 { // what is one to one is never left
			all[name] = s.joined
		}
	}
	return all
}
