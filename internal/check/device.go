package check

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/client"
)

const (
	handshakeTimeout = 5 * time.Second
	writeTimeout     = 5 * time.Second
	answerTimeout    = 4 * time.Second // less than a node may take, so that some requests are repeated while the first is still being handled
	visitMean        = 8 * time.Second
	awayMean         = 400 * time.Millisecond
	longAwayMean     = 4 * time.Second
)

var errAway = errors.New("the device is not connected")

// device is a client of tim.v1. It connects, syncs by what it has, reads, and ends the connection in one of several ways.
type device struct {
	t       *trial
	account *account
	name    string
	random  *rand.Rand // of the goroutine of live

	// Of the goroutine of live; other goroutines call installed.
	token     string
	clientLog *clientLog // changed under mu

	mu      sync.Mutex
	conn    *client.Conn // nil while it is away
	have    map[string]int64
	waiting map[string]chan any // by the request's id
	number  int
}

func (t *trial) newDevice(a *account, name string) *device {
	d := &device{t: t, account: a, name: name, random: t.random("device " + name)}
	d.forget()
	return d
}

// forget makes the device one that was just installed, which has nothing.
func (d *device) forget() {
	fresh := d.t.results.open(d.account, d.name, false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clientLog, d.have = fresh, make(map[string]int64)
}

// installed returns the log of what is installed now.
func (d *device) installed() *clientLog {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clientLog
}

// live connects again and again until ctx ends. Once everything is repaired it stays connected.
func (d *device) live(ctx context.Context) {
	for ctx.Err() == nil {
		d.visit(ctx)
		mean := awayMean
		switch n := d.random.IntN(100); {
		case n < 3 && !d.t.areFaultsOver():
			d.forget()
		case n < 20:
			mean = longAwayMean
		}
		sleep(ctx, d.t.faultsOver, randomAround(d.random, mean))
		if d.t.areFaultsOver() {
			sleep(ctx, nil, randomAround(d.random, awayMean))
		}
	}
}

func (t *trial) areFaultsOver() bool {
	select {
	case <-t.faultsOver:
		return true
	default:
		return false
	}
}

// visit opens a connection and reads it to its end.
func (d *device) visit(ctx context.Context) {
	if d.token == "" {
		token, err := d.t.logIn(ctx, d.random, d.account.name)
		if err != nil {
			return
		}
		d.token = token
	}
	conn, err := d.t.dial(ctx, d.t.any(d.random), client.Path, d.token, client.Protocol)
	if client.RefusedWith(err, http.StatusUnauthorized) {
		d.token = ""
	}
	if err != nil {
		return
	}
	visit := d.clientLog.arrive()
	d.connect(conn)
	visiting, over := context.WithCancel(ctx)
	defer context.AfterFunc(visiting, conn.Close)()
	var leaving sync.WaitGroup
	defer leaving.Wait()
	defer over()
	defer d.disconnect()
	plan := d.planEnd(visit)
	leaving.Go(func() {
		if sleep(visiting, d.t.faultsOver, plan.after) {
			plan.end(visiting, conn)
		}
	})
	d.listen(visiting, conn, visit, plan)
	if plan.loggedOut {
		d.token = ""
	}
}

// dial opens a socket of a node.
func (t *trial) dial(ctx context.Context, n *node, path, token, protocol string) (*client.Conn, error) {
	conn, err := t.dialer.Dial(ctx, client.Endpoint{Server: n.URL, Path: path, Protocol: protocol, Token: token})
	t.results.noteFailure("handshake of "+path, err)
	return conn, err
}

// ending is how a visit will end.
type ending struct {
	after     time.Duration
	end       func(ctx context.Context, conn *client.Conn)
	loggedOut bool
	silent    chan struct{} // closed when the device stops reading
	silence   time.Duration
}

// planEnd chooses how the visit ends: by a close frame, a reset, by not reading any more, or by logging out.
func (d *device) planEnd(visit int) *ending {
	e := &ending{after: randomAround(d.random, visitMean), silent: make(chan struct{}), silence: randomAround(d.random, longAwayMean)}
	switch n := d.random.IntN(100); {
	case n < 45:
		e.end = func(_ context.Context, conn *client.Conn) { conn.CloseCleanly() }
	case n < 80:
		e.end = func(_ context.Context, conn *client.Conn) { conn.Reset() }
	case n < 92:
		e.end = func(_ context.Context, conn *client.Conn) {
			close(e.silent)
			conn.StopReading()
		}
	default:
		e.loggedOut = true
		clientLog, token, random := d.clientLog, d.token, rand.New(rand.NewPCG(d.random.Uint64(), 0)) //nolint:gosec // no secret
		e.end = func(ctx context.Context, _ *client.Conn) {
			if d.t.logOut(ctx, random, token) == nil {
				clientLog.sessionEnded(visit)
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

// listen syncs, and then handles frames until the connection ends. A device that stops reading resets the connection some time
// later.
func (d *device) listen(ctx context.Context, conn *client.Conn, visit int, plan *ending) {
	claimed := d.claims()
	if conn.Sync(d.haveOf(claimed)) != nil {
		return
	}
	for !plan.isSilent() {
		frame, err := conn.Read()
		d.t.results.noteClose("tim.v1", err)
		if err != nil && plan.isSilent() {
			break
		}
		if err != nil || !d.take(conn, visit, frame, claimed) {
			return
		}
	}
	sleep(ctx, d.t.faultsOver, plan.silence)
	conn.Reset()
}

// take handles one frame. It returns false when the device must connect again.
func (d *device) take(conn *client.Conn, visit int, frame []byte, claimed map[string]int64) bool {
	decoded, err := d.t.spec.Decode(frame)
	if err != nil {
		d.t.results.violation("a frame that is not as the spec has it: " + err.Error() + ": " + string(frame[:min(len(frame), 300)]))
		return true
	}
	switch f := decoded.(type) {
	case frames.Synced:
		return d.takeSynced(conn, f, claimed)
	case frames.MessageFrame:
		d.receive(visit, f.Message)
	case frames.Sent:
		d.answer(f.ID, f)
	case frames.Marked:
		d.answer(f.ID, f)
	case frames.Error:
		if f.ID != nil && *f.ID == client.SyncID {
			d.t.noteErrorFrame(f)
			return false // it connects again
		}
		if f.ID != nil {
			d.answer(*f.ID, f)
		}
	}
	return true
}

// haveOf returns what the device says that it has.
func (d *device) haveOf(claimed map[string]int64) []frames.Have {
	have := []frames.Have{}
	for key, seq := range claimed {
		have = append(have, frames.Have{Conversation: d.named(key), Seq: seq})
	}
	return have
}

// named returns a conversation as the device's account names it.
func (d *device) named(key string) api.Target {
	for _, c := range d.account.conversations {
		if c.key == key {
			return c.target
		}
	}
	return api.Target{} // not one of the account's, so the server refuses it
}

func (d *device) claims() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.have)
}

// takeSynced starts the conversations of which the device has nothing at their newest message, and asks for the next page.
func (d *device) takeSynced(conn *client.Conn, f frames.Synced, claimed map[string]int64) bool {
	for _, c := range f.Conversations {
		key := d.key(c.Conversation)
		if _, ok := claimed[key]; ok {
			continue
		}
		d.clientLog.begin(key, c.Last)
		d.mu.Lock()
		d.have[key] = max(d.have[key], c.Last)
		d.mu.Unlock()
	}
	_, err := conn.NextPage(f)
	return err == nil
}

// key returns the key of a conversation, which all its accounts share.
func (d *device) key(t api.Target) string {
	if t.Group != nil {
		return groupKey(*t.Group)
	}
	return directKey(d.account.name, *t.User)
}

func (d *device) receive(visit int, m api.Message) {
	var body api.TextBody
	if err := json.Unmarshal(m.Body, &body); err != nil || body.Kind != api.TextBodyKindText {
		body.Text = ""
	}
	key := d.key(m.Conversation)
	d.clientLog.receive(key, heard{seq: m.Seq, hash: fingerprint(m.Sender, body.Text), at: time.Now(), visit: visit})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have[key] = max(d.have[key], m.Seq)
}

func (d *device) connect(conn *client.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn, d.waiting = conn, make(map[string]chan any)
}

// disconnect ends the waiting for answers: none will come.
func (d *device) disconnect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn = nil
	for _, w := range d.waiting {
		close(w)
	}
	d.waiting = nil
}

func (d *device) answer(id string, frame any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.waiting[id]; w != nil {
		w <- frame // the channel has room for its one answer
		delete(d.waiting, id)
	}
}

// ask sends the request that build makes with an id, and waits for its answer; errAway when the connection ends before.
func (d *device) ask(ctx context.Context, build func(id string) any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	d.mu.Lock()
	conn := d.conn
	if conn == nil {
		d.mu.Unlock()
		return nil, errAway
	}
	d.number++
	id := "r" + strconv.Itoa(d.number)
	answer := make(chan any, 1)
	d.waiting[id] = answer
	d.mu.Unlock()
	if err := conn.SendJSON(build(id)); err != nil {
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
