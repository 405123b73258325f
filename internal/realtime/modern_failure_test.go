package realtime_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/apptest"
	"tim/internal/chat"
	"tim/internal/realtime"
	"tim/internal/socket"
	"tim/internal/testserver"
)

// A reader that stops reading while its group gets messages costs nobody else anything: they get everything, no more
// than its queue waits, memory stays flat; it is closed with 4001, and gets the rest when it comes back. Not parallel: it
// measures the heap.
func TestModernReaderThatStopsReading(t *testing.T) {
	n := startNode(t, setup{timing: realtime.Timing{Heartbeat: 50 * time.Millisecond, SlowAfter: 500 * time.Millisecond}})
	n.users("alice", "bob", "carol")
	group := who{Group: n.group("alice", "bob", "carol")}
	bob := n.deviceWith("bob", options{unchecked: true})
	carol := n.deviceWith("carol", options{hold: true, buffer: 64 << 10, unchecked: true})
	carol.send(`{"type":"sync","id":"s"}`)
	bob.has[group] = 3
	bob.sync()
	eventually(t, "carol listens to the group", func() bool { return n.hub.Listening(int32(group.Group)) == 2 })
	const count, size = 110, 60_000 // 6.6 MB: more than the system buffers
	large := strings.Repeat("x", size)
	before, waited := heap(), 0
	for i := range count {
		n.say("alice", chat.ToGroup(int32(group.Group)), large)
		bob.upTo(group, int64(4+i)) // so that the queue of nobody but carol grows
		delete(bob.texts, group)
		waited = max(waited, n.hub.Queued())
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("memory has grown by %d kB", grown>>10)
	}
	if waited < socket.QueueLimit/2 || waited > socket.QueueLimit+2*size {
		t.Errorf("%d kB waited on one connection", waited>>10)
	}
	eventually(t, "it is noticed", func() bool { return n.hub.Closing() > 0 })
	if waited := n.hub.Queued(); waited > 1<<10 {
		t.Errorf("%d kB wait for one that is closed", waited>>10)
	}
	carol.has[group] = 3
	carol.release()
	carol.expectBye(4001)
	if got := carol.has[group]; got >= 3+count {
		t.Errorf("it was not slow: it got all up to %d", got)
	}
	back := n.deviceWith("carol", options{unchecked: true})
	back.has[group] = carol.has[group]
	back.sync()
	back.upTo(group, 3+count)
	if f := bob.ask("ping", nil); f.Type != "pong" {
		t.Errorf("bob got %s", f.text)
	}
}

// One that never reads again is gone in the end, whether it is messages or answers that it doesn't read.
func TestModernReaderThatNeverReads(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"messages", "answers"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, setup{timing: realtime.Timing{
				Heartbeat: 50 * time.Millisecond, SlowAfter: 100 * time.Millisecond, WriteTimeout: 300 * time.Millisecond,
			}})
			n.users("alice", "bob")
			n.friends("alice", "bob")
			large := strings.Repeat("x", 60_000)
			n.say("alice", chat.ToUser("bob"), large)
			stuck := n.deviceWith("bob", options{hold: true, buffer: 64 << 10})
			stuck.send(`{"type":"sync","id":"s"}`)
			for i := 0; n.hub.Open() > 0; i++ {
				if i > 2000 {
					t.Fatal("never given up")
				}
				if what == "messages" {
					n.say("alice", chat.ToUser("bob"), large)
				} else {
					_ = stuck.WriteMessage(1, []byte(`{"type":"history","id":"h","conversation":{"user":"alice"}}`)) // the end comes in the middle
				}
				time.Sleep(time.Millisecond)
			}
			stuck.release()
			stuck.end()
		})
	}
}

// outcome is what became of the sends of one device: by text the seq, 0 for what was refused or not answered.
type outcome map[string]int64

// sendOn sends texts until told to stop, each with itself as client id, and waits for each answer: a seq or unavailable.
func (d *device) sendOn(to who, prefix string, stop <-chan struct{}) outcome {
	d.t.Helper()
	all := outcome{}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return all
		default:
		}
		text := fmt.Sprint(prefix, i)
		f := d.ask("send", textTo(to, text, text))
		switch {
		case f.Type == "sent":
			all[text] = f.Seq
		case f.Reason == "unavailable":
			all[text] = 0
			time.Sleep(time.Millisecond) // as a client would
		default:
			d.t.Errorf("send: %s", f.text)
			return all
		}
	}
}

// retry sends again what was refused, until it is stored.
func (d *device) retry(to who, all outcome) {
	d.t.Helper()
	for text, seq := range all {
		if seq == 0 {
			eventually(d.t, "it is stored", func() bool {
				f := d.ask("send", textTo(to, text, text))
				all[text] = f.Seq
				return f.Type == "sent"
			})
		}
	}
}

// past is all texts of a conversation by seq, as the socket tells it; a page that is refused for now is asked for again.
func (d *device) past(of who) map[int64]string {
	d.t.Helper()
	texts := map[int64]string{}
	for after := int64(0); ; {
		var f frame
		eventually(d.t, "a page of history", func() bool {
			f = d.ask("history", map[string]any{"conversation": of, "after": after, "limit": 200})
			return f.Reason != "unavailable"
		})
		if f.Type != "page" {
			d.t.Fatalf("history: %s", f.text)
		}
		var page struct {
			Last     int64  `json:"last"`
			Messages []said `json:"messages"`
		}
		must(d.t, json.Unmarshal([]byte(f.text), &page))
		for _, m := range page.Messages {
			if after = m.Seq; m.Body.Text != "" {
				texts[m.Seq] = m.Body.Text
			}
		}
		if len(page.Messages) == 0 || after >= page.Last {
			return texts
		}
	}
}

// storedOnce wants the history to be what was acknowledged, no more and no less, and the reader to have got it in order.
func storedOnce(t *testing.T, reader *device, of who, sent ...outcome) {
	t.Helper()
	want := map[int64]string{}
	last := int64(0)
	for _, all := range sent {
		for text, seq := range all {
			if was, taken := want[seq]; taken {
				t.Errorf("%q and %q are both message %d", was, text, seq)
			}
			want[seq] = text
			last = max(last, seq)
		}
	}
	got := reader.past(of)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("acknowledged (-) and stored (+):\n%.2000s", diff)
	}
	reader.upTo(of, last)
	begin := last - int64(len(reader.texts[of]))
	for i, text := range reader.texts[of] {
		if seq := begin + 1 + int64(i); text != got[seq] {
			t.Errorf("as %d came %q, stored is %q", seq, text, got[seq])
		}
	}
}

// A database that is killed, stopped or falls silent while clients send: what they send meanwhile is answered with
// unavailable, what was acknowledged is stored, nobody is told of what isn't, and it all recovers by itself; a retry with
// the same client id is one message, also of what was stored though nobody heard of it.
func TestModernDatabaseAway(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct{ away, back func(*testserver.Server) }{
		"killed":  {(*testserver.Server).Kill, (*testserver.Server).Start},
		"stopped": {(*testserver.Server).Stop, (*testserver.Server).Start},
		"silent":  {(*testserver.Server).Pause, (*testserver.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := testserver.DatabaseServer(t)
			n := startNode(t, setup{dsn: database.Address, timing: realtime.Timing{FrameTimeout: 500 * time.Millisecond, StoreTimeout: 500 * time.Millisecond}})
			n.users("alice", "bob", "carol")
			group := who{Group: n.group("alice", "bob", "carol")}
			reader := n.device("bob")
			reader.has[group] = 3
			reader.sync()
			stop := make(chan struct{})
			results := make(chan outcome, 2)
			var senders sync.WaitGroup
			devices := []*device{n.device("alice"), n.device("carol")}
			for i, d := range devices {
				senders.Go(func() { results <- d.sendOn(group, fmt.Sprint(i, "-"), stop) })
			}
			reader.upTo(group, 20)
			one.away(database)
			known := reader.has[group]
			time.Sleep(2 * time.Second) // that long it is away
			one.back(database)
			eventually(t, "messages flow again", func() bool {
				select {
				case text := <-reader.frames:
					reader.take(text)
				case <-time.After(10 * time.Millisecond):
				}
				return reader.has[group] > known+20
			})
			close(stop)
			senders.Wait()
			sent := []outcome{<-results, <-results}
			refused := 0
			for _, all := range sent {
				for _, seq := range all {
					if seq == 0 {
						refused++
					}
				}
			}
			if refused == 0 {
				t.Error("nothing was refused")
			}
			again := n.device("alice") // another connection, as the same account
			for _, all := range sent {
				sender := devices[1]
				for text := range all {
					if strings.HasPrefix(text, "0-") {
						sender = again
					}
					break
				}
				sender.retry(group, all)
			}
			storedOnce(t, reader, group, sent...)
		})
	}
}

// While the database is away every request has its answer, those that need nothing of it the usual one; a device that
// connects is told to come back, and one that is there goes on afterwards. On whole servers, with their own times.
func TestModernWithoutDatabase(t *testing.T) {
	t.Parallel()
	database := testserver.DatabaseServer(t)
	w, _ := start(t, apptest.Servers, "--mysql-dsn="+database.Address)
	w.users("alice", "bob")
	w.friends("alice", "bob")
	alice, bob := w.device("alice"), w.device("bob")
	bob.has[who{User: "alice"}] = 0
	bob.sync()
	bob.upTo(who{User: "alice"}, alice.say(who{User: "bob"}, "before"))
	database.Kill()
	to := map[string]any{"conversation": who{User: "bob"}, "seq": 1}
	for kind, fields := range map[string]map[string]any{
		"send": textTo(who{User: "bob"}, "1", "meanwhile"), "sync": nil, "read": to, "received": to, "typing": to, "renew": nil,
		"history": {"conversation": who{User: "bob"}},
	} {
		if f := alice.ask(kind, fields); f.Type != "error" || f.Reason != "unavailable" {
			t.Errorf("%s without a database: %s", kind, f.text)
		}
	}
	if f := alice.ask("ping", nil); f.Type != "pong" && f.Reason != "unavailable" {
		t.Errorf("a ping without a database: %s", f.text)
	}
	database.Start()
	eventually(t, "the same socket may send again", func() bool {
		return alice.ask("send", textTo(who{User: "bob"}, "1", "meanwhile")).Type == "sent"
	})
	bob.upTo(who{User: "alice"}, 2)
	if diff := cmp.Diff([]string{"before", "meanwhile"}, bob.texts[who{User: "alice"}]); diff != "" {
		t.Error(diff)
	}
	if f := alice.sync(); f.Type != "synced" {
		t.Errorf("sync after it all: %s", f.text)
	}
}
