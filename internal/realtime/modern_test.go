package realtime_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"tim/internal/testserver"
)

// frame is what tests look at of a server's frame of tim.v1.
type frame struct {
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	Reason     string          `json:"reason"`
	Field      string          `json:"field"`
	Event      string          `json:"event"`
	Account    string          `json:"account"`
	Token      string          `json:"token"`
	Seq        int64           `json:"seq"`
	RetryAfter int64           `json:"retryAfter"`
	Code       int             `json:"code"`
	Reconnect  bool            `json:"reconnect"`
	Message    json.RawMessage `json:"message"`

	Conversation who   `json:"conversation"`
	Received     int64 `json:"received"`
	Read         int64 `json:"read"`

	text string
}

type who struct {
	User  string `json:"user,omitempty"`
	Group int    `json:"group,omitempty"`
}

// said is a message as a client gets it.
type said struct {
	Conversation who   `json:"conversation"`
	Seq          int64 `json:"seq"`
	Body         struct {
		Text string `json:"text"`
	} `json:"body"`
}

// device is a client of tim.v1. It keeps what it was sent of each conversation, and fails the test when a message comes
// out of order, twice, or not at all. For one goroutine.
type device struct {
	*peer
	session string
	n       int
	has     map[who]int64
	texts   map[who][]string
	others  []frame // neither messages nor answers
	moving  bool    // its memberships come and go, and with them what it is sent
}

const subprotocols = "tim.v1"

// device opens a socket of tim.v1 and reads its hello.
func (w *world) device(session string) *device { return w.deviceWith(session, options{}) }

func (w *world) deviceWith(session string, o options) *device {
	w.t.Helper()
	o.protocols, o.header = []string{subprotocols}, http.Header{"token": {w.tokens[session]}}
	p, response, err := w.tryDial("/websocket", o)
	if err != nil {
		w.t.Fatalf("open tim.v1: %v %v", err, response)
	}
	d := &device{peer: p, session: session, has: map[who]int64{}, texts: map[who][]string{}}
	if !o.hold {
		if hello := d.read1(); hello.Type != "hello" {
			w.t.Fatalf("the first frame is %s", hello.text)
		}
	}
	return d
}

// again opens another socket as the same device, which knows what it has.
func (d *device) again(w *world) *device {
	w.t.Helper()
	next := w.device(d.session)
	next.has, next.texts, next.n = d.has, d.texts, d.n
	return next
}

func (d *device) take(text string) frame {
	d.t.Helper()
	f := frame{text: text}
	must(d.t, json.Unmarshal([]byte(text), &f))
	if f.Type == "message" {
		var m said
		must(d.t, json.Unmarshal(f.Message, &m))
		if last, known := d.has[m.Conversation]; known && m.Seq != last+1 && (!d.moving || m.Seq <= last) {
			d.t.Errorf("%s: %v: message %d came after %d", d.session, m.Conversation, m.Seq, last)
		}
		d.has[m.Conversation] = m.Seq
		d.texts[m.Conversation] = append(d.texts[m.Conversation], m.Body.Text)
	}
	return f
}

// read1 returns the next frame, whatever it is.
func (d *device) read1() frame {
	d.t.Helper()
	return d.take(d.next())
}

// until reads on until a frame of a type comes.
func (d *device) until(kind string, fits func(frame) bool) frame {
	d.t.Helper()
	for {
		f := d.read1()
		if f.Type == kind && (fits == nil || fits(f)) {
			return f
		}
		if f.Type != "message" {
			d.others = append(d.others, f)
		}
	}
}

// request sends a frame and returns its id.
func (d *device) request(kind string, fields map[string]any) string {
	d.t.Helper()
	d.n++
	id := fmt.Sprintf("%s-%d", kind, d.n)
	out := map[string]any{"type": kind, "id": id}
	maps.Copy(out, fields)
	text, err := json.Marshal(out)
	must(d.t, err)
	d.send(string(text))
	return id
}

// ask sends a request and returns its answer.
func (d *device) ask(kind string, fields map[string]any) frame {
	d.t.Helper()
	id := d.request(kind, fields)
	for {
		f := d.read1()
		if f.ID == id {
			return f
		}
		if f.ID != "" {
			d.t.Errorf("an answer to %s, which was not asked", f.ID)
		}
		if f.Type != "message" {
			d.others = append(d.others, f)
		}
	}
}

// sync says what the device has.
func (d *device) sync() frame {
	d.t.Helper()
	have := []map[string]any{}
	for conversation, seq := range d.has {
		have = append(have, map[string]any{"conversation": conversation, "seq": seq})
	}
	f := d.ask("sync", map[string]any{"have": have})
	if f.Type != "synced" {
		d.t.Fatalf("sync: %s", f.text)
	}
	return f
}

func textTo(to who, clientID, text string) map[string]any {
	return map[string]any{"to": to, "clientId": clientID, "body": map[string]any{"kind": "text", "text": text}}
}

// say sends a text and wants it stored.
func (d *device) say(to who, text string) int64 {
	d.t.Helper()
	f := d.ask("send", textTo(to, fmt.Sprintf("c%d-%s", d.n, text), text))
	if f.Type != "sent" {
		d.t.Fatalf("send: %s", f.text)
	}
	return f.Seq
}

// upTo reads on until the device has a conversation up to a seq.
func (d *device) upTo(conversation who, seq int64) {
	d.t.Helper()
	for d.has[conversation] < seq {
		if f := d.read1(); f.Type != "message" {
			d.others = append(d.others, f)
		}
	}
}

// expectBye wants a bye, and a close with the same code behind it.
func (d *device) expectBye(code int) {
	d.t.Helper()
	frames := d.expectEnd(code)
	if len(frames) == 0 {
		d.t.Fatalf("closed with %d without bye", code)
	}
	var last frame
	for _, text := range frames {
		last = d.take(text)
	}
	if comesBack := code >= 4000 && code < 4500; last.Type != "bye" || last.Code != code || last.Reconnect != comesBack {
		d.t.Errorf("before %d came %s", code, last.text)
	}
}

// quiet wants nothing to come of some type while others do.
func (d *device) quiet(kind string) {
	d.t.Helper()
	d.ask("ping", nil)
	for _, f := range d.others {
		if f.Type == kind {
			d.t.Errorf("%s got %s", d.session, f.text)
		}
	}
}

// deaf is how soon a former member or an ended session gets nothing more, on any node.
const deaf = time.Second

// testModes runs a test on the embedded database and on MariaDB.
func testModes(t *testing.T, test func(t *testing.T, s setup)) {
	t.Helper()
	modes := []string{"embedded"}
	if testserver.Available() {
		modes = append(modes, "mariadb")
	}
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			var s setup
			if mode == "mariadb" {
				s.dsn = mariaDB(t)
			}
			test(t, s)
		})
	}
}
