package realtime_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"tim/internal/apptest"
	"tim/internal/chat"
	"tim/internal/realtime"
)

// numbered are the texts from 0 to n-1.
func numbered(prefix string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return texts
}

// inOrder checks that of each sender's texts all are there, once and in order.
func inOrder(t *testing.T, who string, got []string, senders []string, each int) {
	t.Helper()
	bySender := map[string][]string{}
	for _, text := range got {
		sender := strings.TrimRight(text, "0123456789")
		bySender[sender] = append(bySender[sender], text)
	}
	for _, sender := range senders {
		if diff := cmp.Diff(numbered(sender, each), bySender[sender]); diff != "" {
			t.Errorf("%s: texts of %s (-) and what came (+):\n%s", who, sender, diff)
		}
	}
	if len(got) != len(senders)*each {
		t.Errorf("%s: %d texts came, want %d", who, len(got), len(senders)*each)
	}
}

// A backlog of any length comes in order and once, also while its sender goes on.
func TestBacklog(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w, _ := start(t, mode, "--limit-send-rate=0")
			for _, size := range []int{1, 64, 65, 1000} {
				t.Run(fmt.Sprint(size), func(t *testing.T) {
					alice, bob := fmt.Sprintf("alice%d", size), fmt.Sprintf("bob%d", size)
					w.users(alice, bob)
					w.friends(alice, bob)
					w.chat(alice)
					w.chat(bob)
					sender := w.dial(alice, directPath(alice, bob))
					last := size + size/4 + 70 // those over size are sent while the backlog is read
					for i := range size {
						sender.send(fmt.Sprint("m", i))
					}
					// What came back on the other's account tells that all are stored.
					watch := w.dial(bob, directPath(bob, alice))
					watch.texts(size)
					watch.cut()
					fresh := w.dial(bob, directPath(bob, alice))
					for i := size; i < last; i++ {
						sender.send(fmt.Sprint("m", i))
					}
					var got []string
					for len(got) == 0 || got[len(got)-1] != fmt.Sprint("m", last-1) {
						got = append(got, fresh.text())
					}
					first := slices.Index(numbered("m", last), got[0])
					if diff := cmp.Diff(numbered("m", last)[first:], got); diff != "" || first > size {
						t.Errorf("sent (-) and received (+) from %d:\n%s", first, diff)
					}
					if rest := fresh.leave(); len(rest) > 0 {
						t.Errorf("came twice: %q", rest)
					}
				})
			}
		})
	}
}

// Whoever opens while others send sees everything once; the bus and the database must not lose a message between them.
func TestOpeningWhileOthersSend(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob")
	group := n.group("alice", "bob")
	n.chat("bob")
	const total = 700
	sent := make(chan error, 1)
	go func() {
		for i := range total {
			if _, err := n.service.Send(t.Context(), "alice", chat.ToGroup(int32(group)), chat.TextContent(fmt.Sprint("m", i)), ""); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	var got []string
	for len(got) < total {
		p := n.dial("bob", groupPath(group, "bob"))
		for range min(37, total-len(got)) {
			got = append(got, p.text())
		}
		for _, frame := range p.leave() {
			if text, ok := textOf(frame); ok {
				got = append(got, text)
			}
		}
	}
	must(t, <-sent)
	inOrder(t, "bob", got, []string{"m"}, total)
}

// A message that comes while the last page of a backlog is being written is not forgotten, although none follows.
func TestLastMessageDuringBacklog(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{StoreEvery: time.Hour}}) // no pings
	n.users("alice", "bob")
	n.friends("alice", "bob")
	n.chat("bob")
	const count = 10
	large := strings.Repeat("x", 1<<20) // all of them are more than the system buffers
	for range count {
		n.say("alice", chat.ToUser("bob"), large)
	}
	bob := n.dialWith("bob", directPath("bob", "alice"), options{hold: true, buffer: 1 << 20, unchecked: true})
	time.Sleep(300 * time.Millisecond) // the page has been asked for by then, and its writing stands still
	n.say("alice", chat.ToUser("bob"), "last")
	bob.release()
	for i, text := range bob.texts(count + 1) {
		if want := large; i < count && text != want || i == count && text != "last" {
			t.Errorf("message %d has %d bytes", i, len(text))
		}
	}
}

// Many send at once in one group on two nodes, and every member sees the same order without gaps.
func TestOneOrderOnTwoNodes(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Servers, "--limit-send-rate=0")
	first, second := apptest.Start(t, settings), apptest.Start(t, settings)
	one := newWorld(t, first.URL, first.HTTP(t))
	accounts := []string{"a", "b", "c", "d", "e", "f"}
	one.users(accounts...)
	group := one.group(accounts...)
	nodes := []*world{one, one.at(second)}
	const each = 40
	members := make([]*peer, len(accounts))
	for i, account := range accounts {
		nodes[i%2].chat(account)
		members[i] = nodes[i%2].member(account, group)
	}
	var sending sync.WaitGroup
	for i, account := range accounts {
		sending.Go(func() {
			for _, text := range numbered(account, each) {
				if err := members[i].WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var order []string
	for i, account := range accounts {
		got := members[i].texts(each * len(accounts))
		inOrder(t, account, got, accounts, each)
		if order == nil {
			order = got
		}
		if diff := cmp.Diff(order, got); diff != "" {
			t.Errorf("%s saw another order than a (-):\n%s", account, diff)
		}
	}
	sending.Wait()
	for i, p := range members {
		for _, frame := range p.leave() {
			if text, ok := textOf(frame); ok {
				t.Errorf("%s got %q once more", accounts[i], text)
			}
		}
	}
}

// Two nodes are one chat: messages, transient texts, lists, the ends of rights and of sessions.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Servers)
	first, second := apptest.Start(t, settings), apptest.Start(t, settings)
	one := newWorld(t, first.URL, first.HTTP(t))
	one.users("alice", "bob")
	one.login("bob#2")
	one.friends("alice", "bob")
	group := one.group("alice", "bob")
	two := one.at(second)
	aliceChat := one.chat("alice")
	bobChat := two.dial("bob", chatPath("bob"))
	bobChat.next()
	bobChat.expect(`{"users":[{"username":"bob"},{"username":"alice"}]}`)
	aliceChat.send(`{"to":"bob","text":"x"}`)
	bobChat.expect(`[{"from":"alice"},{"text":"x"}]`)
	alice, bob := one.dial("alice", directPath("alice", "bob")), two.dial("bob", directPath("bob", "alice"))
	alice.send("hello")
	if got := bob.text(); got != "hello" {
		t.Errorf("got %q", got)
	}
	aliceGroup := one.member("alice", group)
	bobGroup := two.member("bob", group)
	aliceGroup.expect("用户BOB上线")
	aliceGroup.expect("当前群在线用户列表：[ALICE, BOB]")
	// The last chat socket is on one node, the one-to-one socket on the other.
	other := one.chat("bob#2")
	bobChat.leave()
	other.send(`{"text":"out"}`)
	other.expectEnd(1000)
	bob.expect("bob客户端下线,一对一通信连接断开")
	bob.expectEnd(1000)
	// A session ends on one node, its sockets on the other.
	begun := time.Now()
	one.call("bob", "GET", "/Tim/UserLogout", nil, nil)
	bobGroup.expectEnd(1008)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the sockets of an ended session were closed after %v", took)
	}
	aliceGroup.expect("用户BOB下线")
	aliceGroup.expect("当前群聊在线用户[ALICE]")
	two.call("bob#2", "GET", "/Tim/deleteFriend", map[string][]string{"UserAccount": {"bob"}, "FriendAccount": {"alice"}}, nil)
	alice.expectEnd(1008)
}

// After an unclean break what was unconfirmed comes again, and nothing is lost.
func TestUncleanBreak(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w, _ := start(t, mode)
			w.users("alice", "bob")
			w.friends("alice", "bob")
			w.chat("alice")
			w.chat("bob")
			alice := w.dial("alice", directPath("alice", "bob"))
			bob := w.dial("bob", directPath("bob", "alice"))
			for _, text := range numbered("m", 10) {
				alice.send(text)
			}
			bob.texts(10)
			bob.cut()
			alice.send("m10")
			bob = w.dial("bob", directPath("bob", "alice"))
			var got []string
			for len(got) == 0 || got[len(got)-1] != "m10" {
				got = append(got, bob.text())
			}
			if want := numbered("m", 11)[11-len(got):]; !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What a pong has confirmed doesn't come again, not even after an unclean break; what none has, does.
func TestPongMovesTheMark(t *testing.T) {
	t.Parallel()
	for _, confirmed := range []bool{true, false} {
		t.Run(fmt.Sprint(confirmed), func(t *testing.T) {
			t.Parallel()
			timing := realtime.Timing{StoreEvery: 20 * time.Millisecond}
			if !confirmed {
				timing.StoreEvery = time.Hour
			}
			n := startNode(t, setup{timing: timing})
			n.users("alice", "bob")
			n.friends("alice", "bob")
			n.chat("bob")
			n.say("alice", chat.ToUser("bob"), numbered("m", 5)...)
			bob := n.dial("bob", directPath("bob", "alice"))
			bob.texts(5)
			want := 5
			if confirmed {
				eventually(t, "the mark moves", func() bool { return n.delivered("bob", chat.ToUser("alice")) == 5 })
				want = 0
			}
			bob.cut()
			bob = n.dial("bob", directPath("bob", "alice"))
			n.say("alice", chat.ToUser("bob"), "last")
			got := bob.texts(want + 1)
			if diff := cmp.Diff(append(numbered("m", 5)[:want], "last"), got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// A client that closes without waiting for the answer, and opens again at once, gets nothing twice and misses nothing.
func TestCloseWithoutWaiting(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w, _ := start(t, mode)
			w.users("alice", "bob")
			w.friends("alice", "bob")
			group := w.group("alice", "bob")
			w.chat("alice")
			w.chat("bob")
			direct, inGroup := w.dial("alice", directPath("alice", "bob")), w.member("alice", group)
			for path, sender := range map[string]*peer{directPath("bob", "alice"): direct, groupPath(group, "bob"): inGroup} {
				for i := range 15 {
					bob := w.dial("bob", path)
					sender.send(fmt.Sprint(i))
					if got := bob.text(); got != fmt.Sprint(i) {
						t.Fatalf("%s: got %q, want %d", path, got, i)
					}
					bob.sayGoodbye([]int{1000, 1001, 1005}[i%3])
					must(t, bob.Close())
				}
			}
		})
	}
}

// A further device begins after what the account's other one has read, and both get what comes.
func TestFurtherDevice(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{timing: realtime.Timing{StoreEvery: time.Hour}})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	n.chat("bob")
	n.say("alice", chat.ToUser("bob"), "one", "two")
	phone := n.dial("bob", directPath("bob", "alice"))
	phone.texts(2)
	tablet := n.dial("bob", directPath("bob", "alice"))
	eventually(t, "the tablet has begun", func() bool {
		n.say("alice", chat.ToUser("bob"), "three")
		return tablet.got.Load() > 0
	})
	if got := tablet.text(); got != "three" {
		t.Errorf("the tablet got %q first", got)
	}
	if got := phone.text(); got != "three" {
		t.Errorf("the phone got %q", got)
	}
}

// However many come and go at once, the last list that a group hears is the right one.
func TestRosterOfManyAtOnce(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	accounts := numbered("m", 20)
	n.users(append(accounts, "watch")...)
	group := n.group(append(accounts, "watch")...)
	for _, account := range append(accounts, "watch") {
		n.chat(account)
	}
	watch := n.member("watch", group)
	peers := make([]*peer, len(accounts))
	var coming sync.WaitGroup
	for i, account := range accounts {
		coming.Go(func() { peers[i] = n.dial(account, groupPath(group, account)) })
	}
	coming.Wait()
	present := 1
	for range accounts {
		watch.next()
		list := watch.next()
		if present++; strings.Count(list, ",") < present-1 {
			t.Errorf("%d are there, and the list is %s", present, list)
		}
	}
	for _, p := range peers {
		coming.Go(func() { p.cut() })
	}
	coming.Wait()
	var list string
	for range accounts {
		watch.next()
		list = watch.next()
	}
	if list != "当前群聊在线用户[WATCH]" {
		t.Errorf("the last list is %s", list)
	}
}
