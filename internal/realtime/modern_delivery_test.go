package realtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/apptest"
	"tim/internal/chat"
	"tim/internal/realtime"
	"tim/internal/testserver"
)

func mariaDB(t *testing.T) string {
	t.Helper()
	return testserver.Database(t)
}

// twoNodes runs two servers on the same database, Redis and files.
func twoNodes(t *testing.T, flags ...string) (first, second *world) {
	t.Helper()
	settings := apptest.Settings(t, apptest.Servers, flags...)
	one := apptest.Start(t, settings)
	first = newWorld(t, one.URL, one.HTTP(t))
	return first, first.at(apptest.Start(t, settings))
}

// fill stores texts, many at once.
func (n *node) fill(from string, to chat.Target, prefix string, count int) {
	n.t.Helper()
	const atOnce = 128
	for done := 0; done < count; done += atOnce {
		var wg sync.WaitGroup
		for i := done; i < min(count, done+atOnce); i++ {
			wg.Go(func() {
				if _, err := n.service.Send(n.t.Context(), from, to, chat.TextContent(fmt.Sprint(prefix, i)), ""); err != nil {
					n.t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// history is all texts of a conversation.
func (n *node) history(account string, of chat.Target) (texts []string) {
	n.t.Helper()
	for from := int64(0); ; {
		page, err := n.service.History(n.t.Context(), account, of, chat.Page{Forward: true, From: from, Limit: 500})
		must(n.t, err)
		for _, m := range page.Messages {
			text, _ := m.Text()
			texts = append(texts, text)
			from = m.Seq
		}
		if from >= page.Last {
			return texts
		}
	}
}

// However much a device has missed, what it got before, by sync and since is the history, while others keep sending.
func TestModernResume(t *testing.T) {
	t.Parallel()
	testModes(t, func(t *testing.T, s setup) {
		n := startNode(t, s)
		n.users("alice", "bob")
		group := n.group("alice", "bob")
		inGroup, target := who{Group: group}, chat.ToGroup(int32(group))
		d := n.device("bob")
		d.has[inGroup] = 2 // what came with bob's joining
		d.sync()
		sizes := []int{1, 128}
		if s.dsn == "" {
			sizes = append(sizes, 10_000)
		}
		for _, size := range sizes {
			d.upTo(inGroup, d.has[inGroup])
			d.cut()
			n.fill("alice", target, fmt.Sprint("missed", size, "-"), size)
			sending, stop := context.WithCancel(t.Context())
			var sender sync.WaitGroup
			sender.Go(func() {
				for i := 0; sending.Err() == nil; i++ {
					if _, err := n.service.Send(t.Context(), "alice", target, chat.TextContent(fmt.Sprint("live", size, "-", i)), ""); err != nil {
						t.Error(err)
						return
					}
				}
			})
			d = d.again(n.world)
			d.sync()
			d.upTo(inGroup, d.has[inGroup]+int64(size)+20)
			stop()
			sender.Wait()
			last, err := n.service.LastSeq(t.Context(), target.Conversation(""))
			must(t, err)
			d.upTo(inGroup, last)
		}
		got := d.texts[inGroup]
		if diff := cmp.Diff(n.history("bob", target), got); diff != "" {
			t.Errorf("history (-) and what came (+):\n%.2000s", diff)
		}
		d.quiet("message")
	})
}

// Several devices of one account, and the sender's own, get everything once and in the same order; the contract's
// sockets, too.
func TestModernDevices(t *testing.T) {
	t.Parallel()
	testModes(t, func(t *testing.T, s setup) {
		n := startNode(t, s)
		n.users("alice", "bob")
		n.friends("alice", "bob")
		n.chat("bob")
		out := n.device("alice")
		devices := []*device{n.device("alice"), n.device("bob"), n.device("bob")}
		for _, d := range devices {
			d.has[who{User: "alice"}], d.has[who{User: "bob"}] = 0, 0
			d.sync()
		}
		direct := n.dial("bob", directPath("bob", "alice"))
		texts := numbered("m", 50)
		for _, text := range texts {
			out.say(who{User: "bob"}, text)
		}
		for i, d := range devices {
			with := who{User: "alice"}
			if i == 0 {
				with = who{User: "bob"}
			}
			d.upTo(with, int64(len(texts)))
			if diff := cmp.Diff(texts, d.texts[with]); diff != "" {
				t.Errorf("device %d, sent (-) and received (+):\n%s", i, diff)
			}
		}
		if diff := cmp.Diff(texts, direct.texts(len(texts))); diff != "" {
			t.Errorf("the contract's socket, sent (-) and received (+):\n%s", diff)
		}
	})
}

// Concurrent senders on two nodes: every device sees one order without gaps, also when Redis is killed and restarted in
// the middle, and a retry over another connection, node or face is the same message.
func TestModernTwoNodes(t *testing.T) {
	t.Parallel()
	redis := testserver.RedisServer(t)
	first, second := twoNodes(t, "--redis-url="+redis.Address, "--limit-send-rate=0")
	first.users("alice", "bob", "carol")
	group := who{Group: first.group("alice", "bob", "carol")}
	readers := []*device{first.device("carol"), second.device("carol"), second.device("alice")}
	for _, d := range readers {
		d.has[group] = 3
		d.sync()
	}
	const each = 60
	var senders sync.WaitGroup
	for i, w := range []*world{first, second} {
		account := []string{"alice", "bob"}[i]
		senders.Go(func() {
			d := w.device(account)
			for m := range each {
				if f := d.ask("send", textTo(group, fmt.Sprint("c", m), fmt.Sprint(account, m))); f.Type != "sent" {
					t.Errorf("send: %s", f.text)
				}
			}
		})
	}
	readers[0].upTo(group, 20)
	redis.Kill()
	readers[0].upTo(group, 40)
	redis.Start()
	senders.Wait()
	for _, d := range readers {
		d.upTo(group, 3+2*each)
		if diff := cmp.Diff(readers[0].texts[group], d.texts[group]); diff != "" {
			t.Errorf("two orders:\n%s", diff)
		}
		inOrder(t, "a device", d.texts[group], []string{"alice", "bob"}, each)
	}
	retry := second.device("alice")
	again := retry.ask("send", textTo(group, "c7", "alice7"))
	if got := readers[0].texts[group][again.Seq-4]; again.Type != "sent" || got != "alice7" {
		t.Errorf("a retry elsewhere: %s, which is %q", again.text, got)
	}
	body := map[string]any{"to": group, "clientId": "c7", "body": map[string]any{"kind": "text", "text": "alice7"}}
	if data := first.call("alice", "POST", "/Tim/sendMessage", nil, body); !strings.Contains(string(data), fmt.Sprintf(`"seq":%d`, again.Seq)) {
		t.Errorf("a retry over REST: %s, want seq %d", data, again.Seq)
	}
}

// A member who was removed on one node gets nothing more on another within a second, and comes back to where it joined.
func TestModernRemoved(t *testing.T) {
	t.Parallel()
	first, second := twoNodes(t)
	first.users("alice", "bob")
	first.friends("alice", "bob")
	group := who{Group: first.group("alice", "bob")}
	alice, bob := first.device("alice"), second.device("bob")
	bob.has[group] = 2
	bob.sync()
	bob.upTo(group, alice.say(group, "seen"))
	for round := range 3 {
		change := map[string][]string{"UserAccount": {"alice"}, "GroupID": {fmt.Sprint(group.Group)}, "MemberAccount": {"bob"}}
		first.call("alice", "POST", "/Tim/removeMember", change, nil)
		removed := time.Now()
		bob.until("notice", func(f frame) bool { return f.Event == "left" && f.Account == "bob" })
		if took := time.Since(removed); took > deaf {
			t.Errorf("told after %v", took)
		}
		seen := bob.has[group]
		alice.say(group, fmt.Sprint("secret", round))
		alice.ask("typing", map[string]any{"conversation": group})
		if f := bob.ask("history", map[string]any{"conversation": group}); f.Reason != "not_a_member" {
			t.Errorf("a former member reads %s", f.text)
		}
		first.call("alice", "POST", "/Tim/addMember", change, nil)
		delete(bob.has, group)
		bob.until("notice", func(f frame) bool { return f.Event == "joined" && f.Account == "bob" })
		want := alice.say(group, fmt.Sprint("welcome", round))
		bob.upTo(group, want)
		if want <= seen+1 {
			t.Errorf("message %d after %d", want, seen)
		}
	}
	for _, text := range bob.texts[group] {
		if strings.HasPrefix(text, "secret") {
			t.Errorf("a former member got %q", text)
		}
	}
	for i := range 3 {
		if !slices.Contains(bob.texts[group], fmt.Sprint("welcome", i)) {
			t.Errorf("the member that came back missed %d", i)
		}
	}
	bob.quiet("typing")
}

// A member who comes and goes while it syncs, on several devices at once, ends up with what the database says.
func TestModernMembershipRaces(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob")
	group := n.group("alice")
	target, inGroup := chat.ToGroup(int32(group)), who{Group: group}
	for round := range 30 {
		devices := make([]*device, 3)
		for i := range devices {
			devices[i] = n.device("bob")
			devices[i].moving = true
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 4 {
				must(t, n.service.JoinGroup(t.Context(), "bob", "bob", int32(group)))
				must(t, n.service.LeaveGroup(t.Context(), "bob", "bob", int32(group)))
			}
			if round%2 == 0 {
				must(t, n.service.JoinGroup(t.Context(), "bob", "bob", int32(group)))
			}
		})
		for _, d := range devices {
			d.request("sync", nil)
		}
		wg.Wait()
		for _, d := range devices {
			d.until("synced", nil)
		}
		if round%2 == 1 { // news of the last leave may still be on its way; a second is what is promised
			eventually(t, "nobody listens to the group", func() bool {
				return !slices.ContainsFunc(n.hub.Topics(), func(topic string) bool { return strings.HasPrefix(topic, "c:") })
			})
		}
		text := fmt.Sprint("after ", round)
		m, err := n.service.Send(t.Context(), "alice", target, chat.TextContent(text), "")
		must(t, err)
		for _, d := range devices {
			if round%2 == 0 {
				d.upTo(inGroup, m.Seq)
			}
			d.ask("ping", nil)
			if got := slices.Contains(d.texts[inGroup], text); got != (round%2 == 0) {
				t.Errorf("round %d: a member %t got the message %t", round, round%2 == 0, got)
			}
			d.leave()
		}
		if round%2 == 0 {
			must(t, n.service.LeaveGroup(t.Context(), "bob", "bob", int32(group)))
		}
	}
	eventually(t, "nothing is listened to any more", func() bool { return len(n.hub.Topics()) == 0 })
}

// What the bus has lost, catching up finds: messages, memberships that began or ended, conversations, whoever came online.
func TestModernCatchUp(t *testing.T) {
	t.Parallel()
	testModes(t, func(t *testing.T, s setup) {
		n := startNode(t, s)
		n.users("alice", "bob", "carol")
		n.friends("alice", "bob")
		kept, lost, won := n.group("alice", "bob"), n.group("alice", "bob"), n.group("alice")
		d := n.device("bob")
		for _, group := range []int{kept, lost} {
			d.has[who{Group: group}] = 2
		}
		d.sync()
		silent := chat.New(chat.Options{DB: n.db, Lanes: 1, Notify: func(context.Context, chat.Event) {}, Online: n.presence.Online})
		defer silent.Close()
		say := func(to chat.Target, text string) int64 {
			m, err := silent.Send(t.Context(), "alice", to, chat.TextContent(text), "")
			must(t, err)
			return m.Seq
		}
		must(t, silent.RemoveMember(t.Context(), "alice", "alice", int32(lost), "bob"))
		must(t, silent.AddMember(t.Context(), "alice", "alice", int32(won), "bob"))
		say(chat.ToGroup(int32(lost)), "secret")
		inKept, inWon := say(chat.ToGroup(int32(kept)), "kept"), say(chat.ToGroup(int32(won)), "won")
		direct := say(chat.ToUser("bob"), "direct")
		n.hub.CatchUp(t.Context())
		d.upTo(who{Group: kept}, inKept)
		d.upTo(who{Group: won}, inWon)
		d.upTo(who{User: "alice"}, direct)
		n.say("alice", chat.ToGroup(int32(won)), "live")
		d.upTo(who{Group: won}, inWon+1)
		n.say("alice", chat.ToGroup(int32(lost)), "secret, live")
		n.say("alice", chat.ToUser("bob"), "last")
		d.upTo(who{User: "alice"}, direct+1)
		d.ask("ping", nil)
		if got := d.texts[who{Group: lost}]; len(got) > 0 {
			t.Errorf("a former member got %q", got)
		}
	})
}

// A slow reader is closed with 4001, costs nobody else anything, and catches up when it comes back.
func TestModernSlowReader(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{
		Heartbeat: 50 * time.Millisecond, SlowAfter: 300 * time.Millisecond, WriteTimeout: patience, CloseTimeout: patience,
	}})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	slow := n.deviceWith("bob", options{hold: true, buffer: 64 << 10})
	slow.send(`{"type":"sync","id":"s"}`)
	quick := n.device("bob")
	fromAlice := who{User: "alice"}
	quick.has[fromAlice] = 0
	quick.sync()
	const count = 100
	large := strings.Repeat("x", 60_000)
	for i := range count {
		n.say("alice", chat.ToUser("bob"), large)
		quick.upTo(fromAlice, int64(i+1))
	}
	eventually(t, "it is noticed", func() bool { return n.hub.Closing() > 0 })
	slow.release()
	slow.has[fromAlice] = 0
	slow.expectBye(4001)
	if slow.has[fromAlice] >= count {
		t.Error("it was not slow")
	}
	back := slow.again(n.world)
	back.sync()
	back.upTo(fromAlice, count)
}
