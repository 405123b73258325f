package check

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tim/gen/api"
	"tim/gen/frames"
)

const (
	handshakeTimeout = 5 * time.Second
	writeTimeout     = 5 * time.Second
	closeTimeout     = 5 * time.Second
	answerTimeout    = 4 * time.Second // short of what a node may take, so that some are repeated while they are under way
	visitMean        = 8 * time.Second
	awayMean         = 400 * time.Millisecond
	longAwayMean     = 4 * time.Second
)

var errAway = errors.New("the device is not connected")

// device is a client of tim.v1: it comes, catches up by what it has, listens, and goes in every manner.
type device struct {
	t       *trial
	account *account
	name    string
	random  *rand.Rand // of the goroutine that lives

	// Of the goroutine that lives; others ask installed.
	token  string
	ledger *ledger // changed under mu

	mu      sync.Mutex
	link    *link // nil while it is away
	have    map[string]int64
	waiting map[string]chan any // by the request's id
	number  int
}

// link is a socket that several goroutines write to.
type link struct {
	*websocket.Conn
	mu sync.Mutex
}

func (l *link) writeText(frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return l.WriteMessage(websocket.TextMessage, frame)
}

func (l *link) sayGoodbye() {
	_ = l.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(writeTimeout))
	_ = l.SetReadDeadline(time.Now().Add(closeTimeout)) // for the answer
}

// reset ends the connection as one that breaks.
func (l *link) reset() {
	if tcp, ok := l.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = l.Close()
}

func (t *trial) newDevice(a *account, name string) *device {
	d := &device{t: t, account: a, name: name, random: t.random("device " + name)}
	d.forget()
	return d
}

// forget makes the device one that was just installed.
func (d *device) forget() {
	fresh := d.t.book.open(d.account, d.name, false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger, d.have = fresh, make(map[string]int64)
}

// installed is the ledger of what is installed now.
func (d *device) installed() *ledger {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger
}

// live comes and goes until ctx ends; once it is calm, it stays.
func (d *device) live(ctx context.Context) {
	for ctx.Err() == nil {
		d.visit(ctx)
		mean := awayMean
		switch n := d.random.IntN(100); {
		case n < 3 && !d.t.isCalm():
			d.forget()
		case n < 20:
			mean = longAwayMean
		}
		rest(ctx, d.t.calm, about(d.random, mean))
		if d.t.isCalm() {
			rest(ctx, nil, about(d.random, awayMean))
		}
	}
}

func (t *trial) isCalm() bool {
	select {
	case <-t.calm:
		return true
	default:
		return false
	}
}

// visit is one connection, from opening it to its end.
func (d *device) visit(ctx context.Context) {
	if d.token == "" {
		token, err := d.t.logIn(ctx, d.random, d.account.name)
		if err != nil {
			return
		}
		d.token = token
	}
	socket, status, err := d.t.dial(ctx, d.t.any(d.random), "/websocket", d.token, "tim.v1")
	if status == http.StatusUnauthorized {
		d.token = ""
	}
	if err != nil {
		return
	}
	l := &link{Conn: socket}
	visit := d.ledger.arrive()
	d.connect(l)
	visiting, over := context.WithCancel(ctx)
	defer context.AfterFunc(visiting, func() { _ = socket.Close() })()
	var leaving sync.WaitGroup
	defer leaving.Wait()
	defer over()
	defer d.disconnect()
	plan := d.planEnd(visit)
	leaving.Go(func() {
		if rest(visiting, d.t.calm, plan.after) {
			plan.end(visiting, l)
		}
	})
	d.listen(visiting, l, visit, plan)
	if plan.loggedOut {
		d.token = ""
	}
}

// dial opens a socket, and returns the status of a refusal.
func (t *trial) dial(ctx context.Context, n *node, path, token string, protocols ...string) (*websocket.Conn, int, error) {
	dialer := websocket.Dialer{HandshakeTimeout: handshakeTimeout, Subprotocols: protocols}
	socket, answer, err := dialer.DialContext(ctx, "ws"+n.url[len("http"):]+path, http.Header{"token": {token}})
	status := 0
	if answer != nil {
		status = answer.StatusCode
		_ = answer.Body.Close()
	}
	return socket, status, err
}

// ending is how a visit is to end.
type ending struct {
	after     time.Duration
	end       func(ctx context.Context, l *link)
	loggedOut bool
	silent    chan struct{} // closed when nothing is read any more
	silence   time.Duration
}

// planEnd chooses among the ways in which connections end.
func (d *device) planEnd(visit int) *ending {
	e := &ending{after: about(d.random, visitMean), silent: make(chan struct{}), silence: about(d.random, longAwayMean)}
	switch n := d.random.IntN(100); {
	case n < 45:
		e.end = func(_ context.Context, l *link) { l.sayGoodbye() }
	case n < 80:
		e.end = func(_ context.Context, l *link) { l.reset() }
	case n < 92:
		e.end = func(_ context.Context, l *link) {
			close(e.silent)
			_ = l.SetReadDeadline(time.Now()) // the reader notices
		}
	default:
		e.loggedOut = true
		ledger, token, random := d.ledger, d.token, rand.New(rand.NewPCG(d.random.Uint64(), 0)) //nolint:gosec // no secret
		e.end = func(ctx context.Context, _ *link) {
			if d.t.logOut(ctx, random, token) == nil {
				ledger.sessionEnded(visit)
			}
		}
	}
	return e
}

func (e *ending) isSilent() bool {
	select {
	case <-e.silent:
		return true
	default:
		return false
	}
}

// listen syncs, and then takes what comes until the connection ends. A device that falls silent reads no more, and is
// cut off some time later.
func (d *device) listen(ctx context.Context, l *link, visit int, plan *ending) {
	claimed := d.claims()
	if d.sync(l, nil) != nil {
		return
	}
	for !plan.isSilent() {
		_, frame, err := l.ReadMessage()
		if err != nil && plan.isSilent() {
			break
		}
		if err != nil || !d.take(l, visit, frame, claimed) {
			return
		}
	}
	rest(ctx, d.t.calm, plan.silence)
	l.reset()
}

// take sees to one frame. It returns false when the connection is of no more use.
func (d *device) take(l *link, visit int, frame []byte, claimed map[string]int64) bool {
	decoded, err := d.t.spec.decode(frame)
	if err != nil {
		d.t.book.accuse("a frame that is not as the spec has it: " + err.Error() + ": " + string(frame[:min(len(frame), 300)]))
		return true
	}
	switch f := decoded.(type) {
	case frames.Synced:
		return d.takeSynced(l, f, claimed)
	case frames.MessageFrame:
		d.hear(visit, f.Message)
	case frames.Sent:
		d.answer(f.ID, f)
	case frames.Marked:
		d.answer(f.ID, f)
	case frames.Error:
		if f.ID != nil && *f.ID == syncID {
			return false // it comes back
		}
		if f.ID != nil {
			d.answer(*f.ID, f)
		}
	}
	return true
}

const syncID = "sync"

// sync asks what is new since what the device has.
func (d *device) sync(l *link, after *string) error {
	request := frames.Sync{Type: frames.SyncTypeSync, ID: syncID, After: after}
	if after == nil {
		have := []frames.Have{}
		for key, seq := range d.claims() {
			have = append(have, frames.Have{Conversation: d.named(key), Seq: seq})
		}
		request.Have = &have
	}
	frame, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return l.writeText(frame)
}

// named is a conversation as the device's account names it.
func (d *device) named(key string) api.Target {
	for _, c := range d.account.conversations {
		if c.key == key {
			return c.target
		}
	}
	return api.Target{} // a conversation that it was never given; the server will refuse it
}

func (d *device) claims() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.have)
}

// takeSynced begins the conversations that the device has nothing of at their newest message.
func (d *device) takeSynced(l *link, f frames.Synced, claimed map[string]int64) bool {
	for _, c := range f.Conversations {
		key := d.key(c.Conversation)
		if _, ok := claimed[key]; ok {
			continue
		}
		d.ledger.begin(key, c.Last)
		d.mu.Lock()
		d.have[key] = max(d.have[key], c.Last)
		d.mu.Unlock()
	}
	return f.Next == nil || d.sync(l, f.Next) == nil
}

// key names a conversation as all its accounts do.
func (d *device) key(t api.Target) string {
	if t.Group != nil {
		return groupKey(*t.Group)
	}
	return directKey(d.account.name, *t.User)
}

func (d *device) hear(visit int, m api.Message) {
	var body api.TextBody
	if err := json.Unmarshal(m.Body, &body); err != nil || body.Kind != api.TextBodyKindText {
		body.Text = ""
	}
	key := d.key(m.Conversation)
	d.ledger.hear(key, heard{seq: m.Seq, hash: fingerprint(m.Sender, body.Text), at: time.Now(), visit: visit})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have[key] = max(d.have[key], m.Seq)
}

func (d *device) connect(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link, d.waiting = l, make(map[string]chan any)
}

// disconnect tells whoever waits for an answer that none will come.
func (d *device) disconnect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link = nil
	for _, w := range d.waiting {
		close(w)
	}
	d.waiting = nil
}

func (d *device) answer(id string, frame any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.waiting[id]; w != nil {
		w <- frame // there is room for its one answer
		delete(d.waiting, id)
	}
}

// ask sends a request that build makes for an id, and waits for its answer, errAway if the connection ends before.
func (d *device) ask(ctx context.Context, build func(id string) any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	d.mu.Lock()
	l := d.link
	if l == nil {
		d.mu.Unlock()
		return nil, errAway
	}
	d.number++
	id := "r" + strconv.Itoa(d.number)
	answer := make(chan any, 1)
	d.waiting[id] = answer
	d.mu.Unlock()
	frame, err := json.Marshal(build(id))
	if err == nil {
		err = l.writeText(frame)
	}
	if err != nil {
		return nil, err
	}
	select {
	case got, ok := <-answer:
		if !ok {
			return nil, errAway
		}
		return got, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
