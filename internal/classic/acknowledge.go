package classic

import (
	"bytes"
	"strconv"
	"sync"
	"time"
)

// mark is what a socket knows of how far its peer has read. A ping asks, by its number and the seq of the message that was
// written last; the pong confirms. Its lock may be taken while the connection's is held, never the other way round.
type mark struct {
	mu      sync.Mutex
	written int64       // the highest seq written
	asked   int64       // … that a ping has asked about
	read    int64       // … that a pong or a close frame has confirmed
	stored  int64       // … whose confirmation is stored
	timer   *time.Timer // when to ask and store next; nil for not
	over    bool        // no timer any more

	pings  int64 // written so far
	probes []probe

	storing sync.Mutex // held while a mark is being stored; taken before mu
}

// probe is a question whether the peer has read everything.
type probe struct {
	ping     int64 // the first whose pong is an answer
	answered chan struct{}
}

func (m *mark) resume(delivered int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written, m.asked, m.read, m.stored = delivered, delivered, delivered, delivered
}

// PingPayload implements socket.Handler: its number, and the last message written before it.
func (c *Conversation) PingPayload(payload []byte, written int64) []byte {
	m := &c.mark
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pings++
	m.asked = max(m.asked, written)
	payload = append(strconv.AppendInt(payload, m.pings, 10), ':')
	return strconv.AppendInt(payload, m.asked, 10)
}

// parsePong undoes PingPayload. Anything else is a pong that nobody has asked for, RFC 6455 section 5.5.3.
func parsePong(payload []byte) (number, seq int64, ok bool) {
	left, right, _ := bytes.Cut(payload, []byte(":"))
	number, err1 := strconv.ParseInt(string(left), 10, 64)
	seq, err2 := strconv.ParseInt(string(right), 10, 64)
	return number, seq, err1 == nil && err2 == nil
}

// Written implements socket.Handler.
func (c *Conversation) Written(seq int64) {
	c.mark.mu.Lock()
	defer c.mark.mu.Unlock()
	c.mark.written = max(c.mark.written, seq)
	c.arm()
}

// Pong implements socket.Handler: what was written before the ping has been read.
func (c *Conversation) Pong(payload []byte) {
	number, seq, ok := parsePong(payload)
	if !ok {
		return
	}
	m := &c.mark
	m.mu.Lock()
	defer m.mu.Unlock()
	if number > m.pings {
		return // it was never asked
	}
	c.confirm(min(seq, m.asked))
	waiting := m.probes[:0]
	for _, p := range m.probes {
		if number >= p.ping {
			close(p.answered)
		} else {
			waiting = append(waiting, p)
		}
	}
	clear(m.probes[len(waiting):])
	m.probes = waiting
}

// confirmWritten confirms all that was written.
func (c *Conversation) confirmWritten() {
	c.mark.mu.Lock()
	defer c.mark.mu.Unlock()
	c.confirm(c.mark.written)
}

// confirm moves the mark. mark.mu is held.
func (c *Conversation) confirm(seq int64) {
	if seq > c.mark.read {
		c.mark.read = seq
		c.arm()
	}
}

// confirmed is how far the peer has said to have read.
func (c *Conversation) confirmed() int64 {
	c.mark.mu.Lock()
	defer c.mark.mu.Unlock()
	return c.mark.read
}

// arm starts the timer, unless it runs: within StoreEvery a ping asks about what was written, and what was confirmed is
// stored. mark.mu is held.
func (c *Conversation) arm() {
	m := &c.mark
	if m.timer != nil || m.over {
		return
	}
	m.timer = time.AfterFunc(c.service.Timing.StoreEvery, func() { c.conn.Guard(c.askAndStore) })
}

func (c *Conversation) askAndStore() {
	m := &c.mark
	m.mu.Lock()
	m.timer = nil
	over, ask := m.over, m.asked < m.written
	m.mu.Unlock()
	if over {
		return
	}
	if ask {
		c.conn.Ping()
	}
	c.store()
}

// stopMark stops the timer.
func (c *Conversation) stopMark() {
	m := &c.mark
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	if m.timer != nil {
		m.timer.Stop()
	}
}

// store stores the mark if it has moved. It waits for one that is being stored.
func (c *Conversation) store() {
	m := &c.mark
	m.storing.Lock()
	defer m.storing.Unlock()
	m.mu.Lock()
	seq, moved := m.read, m.read > m.stored
	m.mu.Unlock()
	if !moved {
		return
	}
	ctx, cancel := c.service.within()
	defer cancel()
	if err := c.service.Chat.ConfirmDelivered(ctx, c.account(), c.target, seq); err != nil {
		c.service.Log.Warn("a mark is not stored; messages may come again", "socket", c.conn.ID(), "account", c.account(), "err", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored = max(m.stored, seq)
}
