package check

import (
	"errors"
	"hash/fnv"
	"net/http"
	"slices"
	"sync"
	"time"

	"tim/internal/client"
)

// results holds what clients received, what they sent, and how that was answered. Safe for concurrent use.
type results struct {
	mu         sync.Mutex
	logs       []*clientLog
	sends      []*send
	removals   map[side][]time.Time // when each was answered, in order
	marks      map[side]int64       // the highest read mark that was acknowledged
	violations []string             // answers and frames that no server may send
	failures   []string             // answers that say that the server can't serve
	unprovoked []string             // those of them before anything was broken
	disturbed  bool                 // something was broken
	answered   int
}

// side is an account's part of a conversation.
type side struct{ account, conversation string }

// send is a message that a device tries to send, over tim.v1 or REST, until it is acknowledged or refused.
type send struct {
	account      *account
	conversation conversation
	text         string
	clientID     string
	seq          int64 // as acknowledged; 0 while it isn't
}

func newResults() *results {
	return &results{removals: make(map[side][]time.Time), marks: make(map[side]int64)}
}

func (b *results) open(a *account, who string, contract bool) *clientLog {
	l := &clientLog{
		results: b, account: a, who: who, contract: contract,
		base: make(map[string]int64), heard: make(map[string][]heard),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logs = append(b.logs, l)
	return l
}

func (b *results) note(s *send) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sends = append(b.sends, s)
}

// acknowledge notes the seq that the server gave a message. Each further answer must have the same seq.
func (b *results) acknowledge(s *send, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s.seq {
	case 0:
		s.seq = seq
		b.answered++
	case seq:
	default:
		b.violations = append(b.violations, "two seqs for one client id: "+s.text)
	}
}

func (b *results) removed(account, conversation string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := side{account, conversation}
	b.removals[at] = append(b.removals[at], time.Now())
}

// marked notes that the server has acknowledged a read mark.
func (b *results) marked(account, conversation string, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := side{account, conversation}
	b.marks[at] = max(b.marks[at], seq)
}

// violation notes an answer or a frame that no server may send.
func (b *results) violation(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.violations = append(b.violations, what)
}

// failure notes an answer that says that the server can't serve: over HTTP a status of 500 or more, on a socket a reason that stands
// for such a status, or a close code that does.
func (b *results) failure(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, what)
	if !b.disturbed {
		b.unprovoked = append(b.unprovoked, what)
	}
}

// noteFailure is failure for an error that may be such an answer.
func (b *results) noteFailure(what string, err error) {
	if refusal, ok := errors.AsType[*client.Refusal](err); ok && refusal.Status >= http.StatusInternalServerError {
		b.failure(what + ": " + refusal.Error())
	}
}

// noteClose is failure for the end of a connection whose close code may say so.
func (b *results) noteClose(what string, err error) {
	const internalError, tryAgainLater = 1011, 1013 // RFC 6455, and IANA's list of its codes
	if code := client.CloseCode(err); code == internalError || code == tryAgainLater {
		b.failure(what + ": " + err.Error())
	}
}

// disturb notes that something is broken from now on, so that a server may be unable to serve.
func (b *results) disturb() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disturbed = true
}

// cannotServe returns how often a server could not serve, and how it said so before anything was broken.
func (b *results) cannotServe() (all int, unprovoked []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.failures), slices.Clone(b.unprovoked)
}

// totals returns how many messages were acknowledged and how many delivered.
func (b *results) totals() (acknowledged, delivered int) {
	b.mu.Lock()
	logs := b.logs
	acknowledged = b.answered
	b.mu.Unlock()
	for _, l := range logs {
		delivered += l.size()
	}
	return acknowledged, delivered
}

// clientLog is what one installation of one client received. Safe for concurrent use.
type clientLog struct {
	results  *results
	account  *account
	who      string
	contract bool

	mu     sync.Mutex
	base   map[string]int64   // by conversation: the seq after which tim.v1 must deliver everything
	heard  map[string][]heard // by conversation, in the order of arrival
	visits []visit
}

// heard is a message that a client received.
type heard struct {
	seq   int64  // 0 on the contract's sockets, whose messages have none
	hash  uint64 // of sender and text
	at    time.Time
	visit int
}

// visit is one connection.
type visit struct {
	ended time.Time // when its session was ended; zero when it wasn't
	clean bool      // it was closed cleanly, so that everything the server wrote counts as read
}

// arrive begins a visit.
func (l *clientLog) arrive() (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits = append(l.visits, visit{})
	return len(l.visits) - 1
}

func (l *clientLog) leftCleanly(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits[number].clean = true
}

func (l *clientLog) sessionEnded(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits[number].ended = time.Now()
}

// begin notes the seq after which everything must be delivered.
func (l *clientLog) begin(conversation string, seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base[conversation] = seq
}

func (l *clientLog) receive(conversation string, h heard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[conversation] = append(l.heard[conversation], h)
}

func (l *clientLog) size() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, all := range l.heard {
		n += len(all)
	}
	return n
}

// fingerprint returns a hash of a message's sender and text.
func fingerprint(sender, text string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(sender + "\x00" + text)) // never fails
	return hash.Sum64()
}
