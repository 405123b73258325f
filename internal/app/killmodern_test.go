package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
)

// modernSocket is a client's end of a socket of tim.v1, which uses one group. It is for one goroutine, except that another one
// may write.
type modernSocket struct {
	*socket
	group int32
}

// modernFrame has the fields of a frame that these tests read.
type modernFrame struct {
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	Seq      int64           `json:"seq"`
	Last     int64           `json:"last"`
	Message  json.RawMessage `json:"message"` // of an error its text
	Messages []modernMessage `json:"messages"`
	text     string
}

type modernMessage struct {
	Seq  int64 `json:"seq"`
	Body struct {
		Text string `json:"text"`
	} `json:"body"`
}

func openModernIn(t testing.TB, base, token string, group int32) *modernSocket {
	t.Helper()
	m := &modernSocket{openModern(t, base, token), group}
	if f := m.take(t); f.Type != "hello" {
		t.Fatalf("the first frame is %s", f.text)
	}
	return m
}

func (m *modernSocket) nextFrame() (f modernFrame, err error) {
	if f.text, err = m.next(); err == nil {
		err = json.Unmarshal([]byte(f.text), &f)
	}
	return f, err
}

func (m *modernSocket) take(t testing.TB) modernFrame {
	t.Helper()
	f, err := m.nextFrame()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return f
}

// sending returns a frame that sends a text, which is also its id and client id.
func (m *modernSocket) sending(text string) []byte {
	return fmt.Appendf(nil, `{"type":"send","id":%q,"clientId":%q,"to":{"group":%d},"body":{"kind":"text","text":%q}}`, text, text, m.group, text)
}

// past returns the group's history: texts by seq.
func (m *modernSocket) past(t testing.TB) map[int64]string {
	t.Helper()
	texts := map[int64]string{}
	for after := int64(0); ; {
		m.write(t, fmt.Sprintf(`{"type":"history","id":"h","conversation":{"group":%d},"after":%d,"limit":200}`, m.group, after))
		f := m.take(t)
		if f.Type != "page" {
			t.Fatalf("history: %s", f.text)
		}
		for _, message := range f.Messages {
			if after = message.Seq; message.Body.Text != "" { // otherwise it is a notice
				texts[message.Seq] = message.Body.Text
			}
		}
		if len(f.Messages) == 0 || after >= f.Last {
			return texts
		}
	}
}

// pledges are the messages that one sender has sent, and the seqs of those acknowledged.
type pledges struct {
	mu      sync.Mutex
	account string
	texts   []string
	seqs    map[string]int64
}

func (p *pledges) next() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = append(p.texts, fmt.Sprint(p.account, "-", len(p.texts)))
	return p.texts[len(p.texts)-1]
}

func (p *pledges) acknowledged(f modernFrame) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seqs[f.ID] = f.Seq
	return len(p.seqs)
}

// underWay is the number of unanswered sends of one sender at a time.
const underWay = 32

// send sends as fast as it is accepted, until the socket breaks.
func (p *pledges) send(m *modernSocket, enoughSent func()) {
	slots, broken := make(chan struct{}, underWay), make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case slots <- struct{}{}:
			case <-broken:
				return
			}
			if m.WriteMessage(websocket.TextMessage, m.sending(p.next())) != nil {
				return
			}
		}
	})
	for {
		f, err := m.nextFrame()
		if err != nil {
			break
		}
		if f.Type == "sent" {
			<-slots
			if p.acknowledged(f) == enough {
				enoughSent()
			}
		}
	}
	close(broken)
	writing.Wait()
}

// retry sends everything again, on another connection, that wasn't answered, and some messages that were.
func (p *pledges) retry(t *testing.T, m *modernSocket) (unanswered int) {
	t.Helper()
	for i, text := range p.texts {
		seq, answered := p.seqs[text]
		if answered && i%50 > 0 {
			continue
		}
		m.write(t, string(m.sending(text)))
		f := m.take(t)
		if f.Type != "sent" || answered && f.Seq != seq {
			t.Errorf("%s, which was message %d (0: no answer), is %s when sent again", text, seq, f.text)
		}
		if !answered {
			unanswered++
		}
		p.acknowledged(f)
	}
	return unanswered
}

// reader is a device that remembers the messages that it has.
type reader struct {
	last  int64
	texts []string
	err   error // of the order
}

// sync gives the device a socket, on which it gets the messages that it misses.
func (r *reader) sync(t *testing.T, m *modernSocket) {
	t.Helper()
	m.write(t, fmt.Sprintf(`{"type":"sync","id":"s","have":[{"conversation":{"group":%d},"seq":%d}]}`, m.group, r.last))
	if f := m.take(t); f.Type != "synced" {
		t.Fatalf("sync: %s", f.text)
	}
}

// upTo reads until it has a seq or the socket breaks.
func (r *reader) upTo(m *modernSocket, seq int64) {
	for r.last < seq {
		f, err := m.nextFrame()
		if err != nil {
			return
		}
		if f.Type != "message" {
			continue
		}
		var m modernMessage
		if err := json.Unmarshal(f.Message, &m); r.err == nil && err != nil {
			r.err = err
		}
		if m.Seq != r.last+1 && r.err == nil {
			r.err = fmt.Errorf("message %d came after %d", m.Seq, r.last)
		}
		r.last, r.texts = m.Seq, append(r.texts, m.Body.Text)
	}
}

// A server that was killed while clients of tim.v1 sent has every acknowledged message, under its acknowledged seq, after its
// restart. A message that wasn't answered is one message when it is sent again. A device that says what it has gets the rest,
// each once and in order.
func TestKillModern(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode)
			p := spawn(t, settings)
			accounts, tokens := []string{"km.a", "km.b", "km.c", "km.reader"}, map[string]string{}
			for _, account := range accounts {
				tokens[account] = p.enter(t, account)
			}
			group := p.createGroup(t, tokens["km.a"], "km.a", "km")
			for _, account := range accounts[1:] {
				join := ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", account, "GroupID", encodeJSON(t, group)), token: tokens[account]}
				p.succeedsOnce(t, join, "加入群聊成功")
			}
			device := &reader{last: int64(len(accounts))} // the notices that all have joined
			all := p.pledgeUntilKilled(t, tokens, accounts, group, device)
			before := len(device.texts)

			p = spawn(t, settings)
			unanswered := 0
			for _, one := range all {
				unanswered += one.retry(t, openModernIn(t, p.URL, tokens[one.account], group))
			}
			if unanswered == 0 {
				t.Error("everything had been answered: it was not in the middle")
			}
			stored := openModernIn(t, p.URL, tokens["km.reader"], group).past(t)
			last := checkPledges(t, stored, all)
			back := openModernIn(t, p.URL, tokens["km.reader"], group)
			device.sync(t, back)
			device.upTo(back, last)
			var want []string
			for seq := int64(len(accounts)) + 1; seq <= last; seq++ {
				want = append(want, stored[seq])
			}
			if device.err != nil || !slices.Equal(device.texts, want) {
				t.Errorf("the device has %d messages, %d of them from before, of %d stored: %v", len(device.texts), before, len(want), device.err)
			}
			t.Logf("%d messages stored, %d of them had come before", len(want), before)
		})
	}
}

// pledgeUntilKilled lets all accounts but the last send while the last one reads, and kills the server in the middle.
func (p *process) pledgeUntilKilled(t *testing.T, tokens map[string]string, accounts []string, group int32, device *reader) (all []*pledges) {
	t.Helper()
	middle := make(chan struct{}, len(accounts))
	var running sync.WaitGroup
	away := accounts[len(accounts)-1]
	reading := openModernIn(t, p.URL, tokens[away], group)
	device.sync(t, reading)
	running.Go(func() { device.upTo(reading, 1<<62) })
	for _, account := range accounts[:len(accounts)-1] {
		one := &pledges{account: account, seqs: map[string]int64{}}
		all = append(all, one)
		m := openModernIn(t, p.URL, tokens[account], group)
		running.Go(func() { one.send(m, func() { middle <- struct{}{} }) })
	}
	<-middle
	p.kill(t)
	running.Wait()
	return all
}

// checkPledges fails the test unless the history has each acknowledged message once, under its seq, and no others. It returns
// the last seq.
func checkPledges(t *testing.T, stored map[int64]string, all []*pledges) (last int64) {
	t.Helper()
	count := 0
	for _, one := range all {
		for text, seq := range one.seqs {
			if stored[seq] != text {
				t.Errorf("%s was acknowledged as message %d, which is %q", text, seq, stored[seq])
			}
			last = max(last, seq)
		}
		count += len(one.texts)
	}
	if len(stored) != count {
		t.Errorf("%d messages were sent, %d are stored", count, len(stored))
	}
	return last
}
