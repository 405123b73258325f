package check

import (
	"hash/fnv"
	"sync"
	"time"
)

// book has everything that clients were told, and what they have asked for. Safe for concurrent use.
type book struct {
	mu       sync.Mutex
	ledgers  []*ledger
	sends    []*send
	removals map[side][]time.Time // when each was answered, in order
	marks    map[side]int64       // the highest read mark that was acknowledged
	wrong    []string             // what no server may say
	answered int
}

// side is one account's side of a conversation.
type side struct{ account, conversation string }

// send is a message that a client of tim.v1 or REST has tried to send, until it was acknowledged or refused.
type send struct {
	account      *account
	conversation conversation
	text         string
	clientID     string
	seq          int64 // as acknowledged; 0 for not
}

func newBook() *book { return &book{removals: make(map[side][]time.Time), marks: make(map[side]int64)} }

func (b *book) open(a *account, who string, contract bool) *ledger {
	l := &ledger{
		book: b, account: a, who: who, contract: contract,
		base: make(map[string]int64), heard: make(map[string][]heard),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledgers = append(b.ledgers, l)
	return l
}

func (b *book) note(s *send) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sends = append(b.sends, s)
}

// acknowledge notes a seq that the server gave a message. It has to be the same however often it is asked.
func (b *book) acknowledge(s *send, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s.seq {
	case 0:
		s.seq = seq
		b.answered++
	case seq:
	default:
		b.wrong = append(b.wrong, "two seqs for one client id: "+s.text)
	}
}

func (b *book) removed(account, conversation string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := side{account, conversation}
	b.removals[at] = append(b.removals[at], time.Now())
}

// marked notes that the server has acknowledged a mark.
func (b *book) marked(account, conversation string, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := side{account, conversation}
	b.marks[at] = max(b.marks[at], seq)
}

// accuse notes what no server may say.
func (b *book) accuse(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, what)
}

// totals are how many messages were acknowledged, and how many delivered.
func (b *book) totals() (acknowledged, delivered int) {
	b.mu.Lock()
	ledgers := b.ledgers
	acknowledged = b.answered
	b.mu.Unlock()
	for _, l := range ledgers {
		delivered += l.size()
	}
	return acknowledged, delivered
}

// ledger is what one installation of one client was told. Safe for concurrent use.
type ledger struct {
	book     *book
	account  *account
	who      string
	contract bool

	mu     sync.Mutex
	base   map[string]int64   // by conversation: the seq after which tim.v1 owes it everything
	heard  map[string][]heard // by conversation, in the order in which it came
	visits []visit
}

// heard is a message that was delivered.
type heard struct {
	seq   int64  // 0 on the contract's sockets, which don't tell it
	hash  uint64 // of sender and text
	at    time.Time
	visit int
}

// visit is one connection.
type visit struct {
	ended time.Time // when its session was ended; zero for not
	clean bool      // it was closed as the protocol asks, so what was written counts as read
}

// arrive begins a visit.
func (l *ledger) arrive() (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits = append(l.visits, visit{})
	return len(l.visits) - 1
}

func (l *ledger) leftCleanly(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits[number].clean = true
}

func (l *ledger) sessionEnded(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits[number].ended = time.Now()
}

// begin notes from where on everything is owed.
func (l *ledger) begin(conversation string, seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base[conversation] = seq
}

func (l *ledger) hear(conversation string, h heard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[conversation] = append(l.heard[conversation], h)
}

func (l *ledger) size() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, all := range l.heard {
		n += len(all)
	}
	return n
}

// fingerprint stands for a message's sender and text.
func fingerprint(sender, text string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(sender + "\x00" + text)) // never fails
	return hash.Sum64()
}
