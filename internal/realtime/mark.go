package realtime

import (
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// mark is what a connection knows of how far its peer has read. A ping asks, by its number and the seq of the message
// that was written last; the pong confirms. Guarded by the connection's mu.
type mark struct {
	written int64       // the highest seq written
	asked   int64       // … that a ping has asked about
	read    int64       // … that a pong or a close frame has confirmed
	stored  int64       // … whose confirmation is stored
	timer   *time.Timer // when to ask and store next; nil for not
	over    bool        // no timer any more
	storing bool

	pings  int64 // written so far
	probes []probe
}

// probe is a question whether the peer has read everything, see connection.probe.
type probe struct {
	ping     int64 // the first whose pong is an answer
	answered chan struct{}
}

func (m *mark) resume(delivered int64) {
	m.written, m.asked, m.read, m.stored = delivered, delivered, delivered, delivered
}

// pingText is how long the text of a ping may be: two numbers, and what parts them.
const pingText = 40

// ping appends what the next ping says: its number, and the last message written before it.
func (m *mark) ping(to []byte, written int64) []byte {
	m.pings++
	m.asked = written
	text := append(strconv.AppendInt(to, m.pings, 10), ':')
	return strconv.AppendInt(text, written, 10)
}

// parsePong undoes ping. Anything else is a pong that nobody has asked for, RFC 6455 section 5.5.3.
func parsePong(data string) (number, seq int64, ok bool) {
	left, right, _ := strings.Cut(data, ":")
	number, err1 := strconv.ParseInt(left, 10, 64)
	seq, err2 := strconv.ParseInt(right, 10, 64)
	return number, seq, err1 == nil && err2 == nil
}

// wrote notes that a message is on its way to the peer. c.mu is held.
func (c *connection) wrote(seq int64) {
	c.mark.written = seq
	c.arm()
}

// confirmPing takes a pong: what was written before its ping has been read.
func (c *connection) confirmPing(data string) {
	number, seq, ok := parsePong(data)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.mark
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

// confirm moves the mark. c.mu is held.
func (c *connection) confirm(seq int64) {
	if seq > c.mark.read {
		c.mark.read = seq
		c.arm()
	}
}

// arm sees to it that what was written is asked about, and what was confirmed stored, within StoreEvery. c.mu is held.
func (c *connection) arm() {
	m := &c.mark
	if m.timer != nil || m.over {
		return
	}
	m.timer = time.AfterFunc(c.hub.Timing.StoreEvery, func() {
		c.guardLocked(func() {
			m.timer = nil
			if m.over {
				return
			}
			if m.asked < m.written && c.closing == nil {
				c.push(outgoing{kind: websocket.PingMessage})
			}
			c.store()
		})
	})
}

// store stores the mark if it has moved. c.mu is held, but not while storing.
func (c *connection) store() {
	m := &c.mark
	for m.storing {
		c.awaitChange()
	}
	if m.read <= m.stored {
		return
	}
	seq := m.read
	m.storing = true
	defer func() {
		m.storing = false
		c.tellChange()
	}()
	var err error
	c.unlocked(func() {
		ctx, cancel := c.hub.within(c.hub.Timing.StoreTimeout)
		defer cancel()
		err = c.hub.chat.ConfirmDelivered(ctx, c.account, c.target, seq)
	})
	if err != nil {
		c.hub.Log.Warn("a mark is not stored; messages may come again", "socket", c.id, "account", c.account, "err", err)
		return
	}
	m.stored = max(m.stored, seq)
}

// probe asks the peer whether it has read everything. The channel is closed when it has said so, or when there is nothing
// to ask; when it never says so, the connection's end is the answer.
func (c *connection) probe() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := probe{ping: c.mark.pings + 1, answered: make(chan struct{})}
	if !c.streams[c.conversation].started { // it has been sent no message, and may be asking us the same
		close(p.answered)
		return p.answered
	}
	c.mark.probes = append(c.mark.probes, p)
	if c.closing == nil {
		c.push(outgoing{kind: websocket.PingMessage})
	}
	return p.answered
}

// confirmed is how far the peer has said to have read.
func (c *connection) confirmed() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mark.read
}

// settle makes a new connection begin after what the account's others of its conversation have read by now. One of them
// may be the very one that its client has just closed, without waiting for an answer: its close frame may be unread yet.
// A vanished one is not waited for long. Before start.
func (h *Hub) settle(conn *connection, others []*connection) {
	if len(others) == 0 {
		return
	}
	patience := time.NewTimer(h.Timing.SettleTimeout)
	defer patience.Stop()
	questions := make([]<-chan struct{}, len(others))
	for i, other := range others {
		questions[i] = other.probe()
	}
	for i, other := range others {
		select {
		case <-questions[i]:
			continue
		case <-other.ended:
			continue
		case <-patience.C:
		}
		break // for the others, too
	}
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	opening, err := h.chat.Open(ctx, conn.account, conn.target)
	if err != nil {
		conn.refuse(err)
		return
	}
	read := opening.Delivered
	for _, other := range others {
		read = max(read, other.confirmed())
	}
	conn.resume(read)
}
