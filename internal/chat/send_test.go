package chat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tim/internal/fault"
	"tim/internal/store"
	"tim/internal/testserver"
)

func TestSendStoresThenTells(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		id := h.group(t, "climbers", "alice")
		h.told()
		before := time.Now().UnixMilli()
		for _, to := range []Target{ToUser("bob"), ToGroup(id)} {
			conversation := to.Conversation("alice")
			base := int64(0)
			if to.Group != 0 {
				base = 1 // the notice of the group's creation
			}
			if last := h.last(t, conversation); last != base {
				t.Errorf("before the first message: %d", last)
			}
			for i := range 3 {
				sent := h.send(t, "alice", to, fmt.Sprint(i))
				if sent.Seq != base+int64(i+1) || sent.Sender != "alice" || sent.SentAt < before || sent.SentAt > time.Now().UnixMilli() {
					t.Errorf("message %d is %+v", i, sent)
				}
				stored, err := h.Missed(t.Context(), conversation, base+int64(i), 10)
				must(t, err)
				same(t, "stored", []Message{sent}, stored)
			}
			if last := h.last(t, conversation); last != base+3 {
				t.Errorf("last: %d", last)
			}
			if page, err := h.Missed(t.Context(), conversation, 0, 2); err != nil || len(page) != 2 || page[1].Seq != 2 {
				t.Errorf("a page of two: %v, %v", page, err)
			}
			if none, err := h.Missed(t.Context(), conversation, 0, 0); err != nil || len(none) != 0 {
				t.Errorf("a page of none: %v, %v", none, err)
			}
		}
		h.Close()
		events := h.told()
		for i, e := range events {
			m := *e.Message
			want := Event{Kind: MessageStored, Conversation: e.Conversation, Message: e.Message}
			if i < 3 {
				want.Accounts, want.Conversation = []string{"alice", "bob"}, ToUser("bob").Conversation("alice")
			} else {
				want.Group, want.Conversation = id, groupID(id)
				m.Seq--
			}
			same(t, "the event", want, e)
			if m.Seq != int64(i%3+1) || textOf(m) != fmt.Sprint(i%3) {
				t.Errorf("event %d is %+v", i, e)
			}
		}
		if len(events) != 6 {
			t.Errorf("%d events", len(events))
		}
	})
}

// Messages wait for an account that was never online: both participants' rows are created with the first message.
func TestFirstMessageBeginsBothSides(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		h.send(t, "alice", ToUser("bob"), "hello")
		got := h.column(t, "SELECT peer FROM participant ORDER BY account")
		same(t, "opposite alice and bob", []string{"bob", "alice"}, got)
		o, err := h.Open(t.Context(), "bob", ToUser("alice"))
		must(t, err)
		same(t, "missed", []string{"hello"}, h.texts(t, o.Conversation, o.Delivered))
	})
}

func TestSendRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "friend")
		h.befriend(t, "alice", "friend")
		id := h.group(t, "climbers", "bob")
		for to, want := range map[Target]fault.Reason{
			ToUser("bob"): fault.NotFriends, ToUser("alice"): fault.NotFriends, ToUser("nobody"): fault.UnknownAccount,
			ToGroup(id): fault.NotAMember, ToGroup(id + 1): fault.UnknownGroup,
		} {
			_, err := h.Send(t.Context(), "alice", to, TextContent("x"), "")
			refused(t, err, want)
		}
		same(t, "conversations", []string{groupID(id)}, h.column(t, "SELECT id FROM conversation"))
		must(t, h.DeleteFriend(t.Context(), "friend", "friend", "alice"))
		_, err := h.Send(t.Context(), "alice", ToUser("friend"), TextContent("x"), "")
		refused(t, err, fault.NotFriends)
		h.told()
		h.Close()
		same(t, "messages", nil, h.column(t, "SELECT body FROM message WHERE seq > 1"))
		same(t, "told", nil, h.told())
	})
}

// sending is a random run of many senders over many conversations.
type sending struct {
	*house

	random *rand.Rand
	groups []int32
	people []string
	base   map[string]int64 // the last seq before the run: the notices of the members

	mu   sync.Mutex
	sent map[string][]Message // by conversation, as Send returned them
}

func newSending(t *testing.T, h *house) *sending {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &sending{house: h, random: rand.New(rand.NewPCG(seed, 0)), sent: make(map[string][]Message), base: make(map[string]int64)}
	s.people = []string{"a", "b", "c", "d", "e"}
	h.register(t, s.people...)
	for i, me := range s.people {
		h.befriend(t, me, s.people[i+1:]...)
	}
	for i := range 3 { // the last person isn't a member of the last group
		s.groups = append(s.groups, h.group(t, fmt.Sprint("group", i), s.people[:5-i/2]...))
		conversation := groupID(s.groups[i])
		s.base[conversation] = h.last(t, conversation)
	}
	h.told()
	return s
}

// plan draws what one sender sends and where.
func (s *sending) plan(sender, messages int) []Target {
	targets := make([]Target, messages)
	for i := range targets {
		if s.random.IntN(3) == 0 {
			targets[i] = ToUser(s.people[(sender+1+s.random.IntN(4))%5])
			continue
		}
		targets[i] = ToGroup(s.groups[s.random.IntN(3)])
	}
	return targets
}

func (s *sending) run(t *testing.T, sender string, device int, plan []Target) {
	last := make(map[string]int64)
	for i, to := range plan {
		text := fmt.Sprintf("%s%d: %d", sender, device, i)
		m, err := s.Send(t.Context(), sender, to, TextContent(text), "")
		if to.Group == s.groups[2] && sender == "e" {
			refused(t, err, fault.NotAMember)
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		conversation := to.Conversation(sender)
		if m.Seq <= last[conversation] || textOf(m) != text || m.Sender != sender {
			t.Errorf("%s: sent %q after %d and got %+v", conversation, text, last[conversation], m)
		}
		last[conversation] = m.Seq
		s.mu.Lock()
		s.sent[conversation] = append(s.sent[conversation], m)
		s.mu.Unlock()
	}
}

// Seqs have no gaps. Every answered message is stored once, as it was answered, and announced once, in order, when it can be
// read already.
func TestSendByManyAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		s := newSending(t, h)
		var unread atomic.Int64
		h.notified = func(e Event) {
			m, err := h.Missed(context.Background(), e.Conversation, e.Message.Seq-1, 1)
			if err != nil || len(m) != 1 || m[0] != *e.Message {
				unread.Add(1)
			}
		}
		var work sync.WaitGroup
		for i, sender := range s.people {
			for device := range 3 {
				plan := s.plan(i, 20)
				work.Go(func() { s.run(t, sender, device, plan) })
			}
		}
		work.Wait()
		h.Close()
		if n := unread.Load(); n > 0 {
			t.Errorf("%d messages were told before they could be read", n)
		}
		told := make(map[string][]Message)
		for _, e := range h.told() {
			told[e.Conversation] = append(told[e.Conversation], *e.Message)
		}
		total := 0
		for conversation, answered := range s.sent {
			total += len(answered)
			h.texts(t, conversation, 0) // checks that there are no gaps
			stored, err := h.Missed(t.Context(), conversation, s.base[conversation], 1000)
			must(t, err)
			same(t, conversation+": told", stored, told[conversation])
			if len(answered) != len(stored) {
				t.Errorf("%s: %d were answered, %d stored", conversation, len(answered), len(stored))
			}
			for _, m := range answered {
				if there := stored[m.Seq-1-s.base[conversation]]; m != there {
					t.Errorf("%s: answered %+v, stored %+v", conversation, m, there)
				}
			}
		}
		if n := h.column(t, "SELECT COUNT(*) FROM message WHERE body NOT LIKE '%notice%'"); n[0] != fmt.Sprint(total) {
			t.Errorf("%s messages stored, %d answered", n[0], total)
		}
	})
}

// counted counts the transactions of a service that has sent nothing yet.
func counted(h *house) *atomic.Int64 {
	var commits atomic.Int64
	commit := h.drafts.commit
	h.drafts.commit = func(ctx context.Context, batch []*waitingDraft) {
		commits.Add(1)
		commit(ctx, batch)
	}
	return &commits
}

// waiting returns the number of items that wait in all lanes.
func (b *batches[T, R]) waiting() (n int) {
	for i := range b.lanes {
		b.lanes[i].mu.Lock()
		n += len(b.lanes[i].queue)
		b.lanes[i].mu.Unlock()
	}
	return n
}

// until waits until other goroutines have made a condition true.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s still not: %s", what)
		}
	}
}

func TestMessagesThatWaitTogetherAreStoredTogether(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		const many = maxBatch + 50
		h.register(t, "alice")
		to := ToGroup(h.group(t, "climbers", "alice"))
		held, entered := make(chan struct{}), make(chan struct{})
		h.notified = func(e Event) {
			if e.Message.Seq == 2 { // holds the lane after the first commit
				close(entered)
				<-held
			}
		}
		commits := counted(h)
		h.send(t, "alice", to, "first")
		<-entered
		var work sync.WaitGroup
		for i := range many {
			work.Go(func() {
				if _, err := h.Send(t.Context(), "alice", to, TextContent(fmt.Sprint(i)), ""); err != nil {
					t.Error(err)
				}
			})
		}
		until(t, "all wait", func() bool { return h.drafts.waiting() == many })
		close(held)
		work.Wait()
		if got := len(h.texts(t, to.Conversation(""), 0)); got != many+1 {
			t.Errorf("%d messages are stored", got)
		}
		if got := commits.Load(); got != 3 { // the first; a full batch; the rest
			t.Errorf("%d commits", got)
		}
	})
}

func TestConversationsOfOneLaneKeepToIt(t *testing.T) {
	t.Parallel()
	b := newBatches[*draft, Message](4, false, nil)
	defer b.close()
	used := make(map[*lane[*draft, Message]]int)
	for i := range 1000 {
		l := b.lane(groupID(int32(i)))
		if l != b.lane(groupID(int32(i))) {
			t.Fatal("a conversation has two lanes")
		}
		used[l]++
	}
	for l, n := range used {
		if n < 150 {
			t.Errorf("lane %p has %d of 1000", l, n)
		}
	}
	if len(used) != 4 {
		t.Errorf("%d lanes are used", len(used))
	}
}

// batchOf makes a batch of drafts.
func batchOf(drafts ...*draft) []*waitingDraft {
	batch := make([]*waitingDraft, len(drafts))
	for i, d := range drafts {
		d.conversation = d.target.Conversation(d.sender)
		batch[i] = &waitingDraft{item: d, answer: make(chan answer[Message], 1)}
	}
	return batch
}

// answersOf waits for the answers to a batch.
func answersOf(batch []*waitingDraft) []answer[Message] {
	answers := make([]answer[Message], len(batch))
	for i, w := range batch {
		answers[i] = <-w.answer
	}
	return answers
}

func TestARefusedDraftDoesNotFailItsBatch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "stranger")
		h.befriend(t, "alice", "bob")
		id := h.group(t, "climbers", "alice")
		batch := batchOf(
			&draft{sender: "stranger", target: ToGroup(id), body: stored("refused")},
			&draft{sender: "alice", target: ToGroup(id), body: stored("1")},
			&draft{sender: "stranger", target: ToGroup(id), body: stored("refused")},
			&draft{sender: "alice", target: ToUser("bob"), body: stored("1")},
			&draft{sender: "alice", target: ToUser("stranger"), body: stored("refused")},
			&draft{sender: "alice", target: ToGroup(id), body: stored("2")},
			&draft{sender: "bob", target: ToUser("alice"), body: stored("2")},
		)
		h.told()
		h.commit(t.Context(), batch)
		answers := answersOf(batch)
		for i, a := range answers {
			if (a.err != nil) != (batch[i].item.body == stored("refused")) {
				t.Errorf("draft %d: %v", i, a.err)
			}
		}
		refused(t, answers[0].err, fault.NotAMember)
		refused(t, answers[4].err, fault.NotFriends)
		for _, to := range []Target{ToGroup(id), ToUser("bob")} {
			same(t, "stored", []string{"1", "2"}, h.texts(t, to.Conversation("alice"), 0))
		}
		same(t, "no side of a refused conversation", []string{"alice", "alice", "bob"},
			h.column(t, "SELECT account FROM participant ORDER BY account"))
		if n := len(h.told()); n != 4 {
			t.Errorf("%d events", n)
		}
	})
}

func TestOnlyRefusedDraftsStoreNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		batch := batchOf(&draft{sender: "a", target: ToUser("b")}, &draft{sender: "a", target: ToGroup(1)})
		h.commit(t.Context(), batch)
		answers := answersOf(batch)
		refused(t, answers[0].err, fault.UnknownAccount)
		refused(t, answers[1].err, fault.UnknownGroup)
		same(t, "conversations", nil, h.column(t, "SELECT id FROM conversation"))
		same(t, "told", nil, h.told())
	})
}

// If rights can't be looked up, the batch fails, and nothing of it is stored.
func TestRightsThatCannotBeLookedUpFailTheBatch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		id := h.group(t, "climbers", "alice")
		h.exec(t, "ALTER TABLE friends RENAME TO elsewhere")
		batch := batchOf(
			&draft{sender: "alice", target: ToGroup(id), body: stored("1")},
			&draft{sender: "alice", target: ToUser("bob"), body: stored("2")},
			&draft{sender: "alice", target: ToGroup(id), body: stored("3")},
		)
		h.told()
		h.commit(t.Context(), batch)
		for i, a := range answersOf(batch) {
			if fault.From(a.err).Reason != fault.Internal {
				t.Errorf("draft %d: %v", i, a.err)
			}
		}
		same(t, "stored", nil, h.column(t, "SELECT body FROM message WHERE seq > 1"))
		same(t, "told", nil, h.told())
		h.exec(t, "ALTER TABLE elsewhere RENAME TO friends")
		same(t, "the next number", 2, h.send(t, "alice", ToGroup(id), "4").Seq)
	})
}

func TestUnavailableDatabaseFailsTheBatch(t *testing.T) {
	t.Parallel()
	server := testserver.DatabaseServer(t)
	h := onMySQL(t, server.Address)
	h.register(t, "alice", "bob")
	h.befriend(t, "alice", "bob")
	h.told()
	h.send(t, "alice", ToUser("bob"), "before")
	until(t, "the first was told", func() bool { return len(h.told()) == 1 })
	server.Kill()
	var work sync.WaitGroup
	for i := range 10 {
		work.Go(func() {
			_, err := h.Send(t.Context(), "alice", ToUser("bob"), TextContent(fmt.Sprint("lost", i)), "")
			if !store.IsUnavailable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	work.Wait()
	same(t, "told", nil, h.told())
	server.Start()
	h.send(t, "alice", ToUser("bob"), "after")
	same(t, "stored", []string{"before", "after"}, h.texts(t, ToUser("bob").Conversation("alice"), 0))
}

// The database ends one of two transactions that wait for each other. That batch is tried again and stored once.
func TestRetryAfterADeadlockStoresOnce(t *testing.T) {
	t.Parallel()
	h := onMySQL(t, testserver.Database(t))
	h.register(t, "alice")
	first, second := h.group(t, "one", "alice"), h.group(t, "two", "alice")
	ctx := t.Context()
	rival, err := h.raw.BeginTx(ctx, nil)
	must(t, err)
	defer rival.Rollback()
	for i := range 50 { // the database ends the transaction that has written less
		_, err := rival.ExecContext(ctx, "INSERT INTO `user` (account, username) VALUES (?, 'x')", fmt.Sprint("rival", i))
		must(t, err)
	}
	lockRow := func(group int32) {
		var last int64
		must(t, rival.QueryRowContext(ctx, "SELECT last_seq FROM conversation WHERE id = ? FOR UPDATE", groupID(group)).Scan(&last))
	}
	lockRow(second)
	batch := batchOf(
		&draft{sender: "alice", target: ToGroup(second), body: stored("two")},
		&draft{sender: "alice", target: ToGroup(first), body: stored("one")},
	)
	h.told()
	go h.commit(ctx, batch) // the test waits for its drafts
	until(t, "the batch waits for the rival", func() bool {
		var waiting int
		must(t, rival.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.innodb_trx t
			JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
			WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()`).Scan(&waiting))
		if waiting == 0 {
			time.Sleep(150 * time.Millisecond) // MariaDB renews these tables only when nobody has read them for 100 ms
		}
		return waiting > 0
	})
	lockRow(first) // the batch holds it, so this is the deadlock
	must(t, rival.Commit())
	for i, a := range answersOf(batch) {
		if a.err != nil || a.result.Seq != 2 {
			t.Errorf("draft %d: %+v, %v", i, a.result, a.err)
		}
	}
	same(t, "of the first", []string{"one"}, h.texts(t, groupID(first), 0))
	same(t, "of the second", []string{"two"}, h.texts(t, groupID(second), 0))
	until(t, "both were told", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.events) >= 2 })
	if n := len(h.told()); n != 2 {
		t.Errorf("%d events", n)
	}
}

// Another process, such as an operator's command, may write to the embedded database.
func TestRetryWhileAnotherProcessWrites(t *testing.T) {
	t.Parallel()
	h := onSQLite(t)
	h.register(t, "alice")
	to := ToGroup(h.group(t, "climbers", "alice"))
	rival, err := h.raw.BeginTx(t.Context(), nil) // takes SQLite's lock at once
	must(t, err)
	released := make(chan error)
	// Longer than SQLite itself waits, so that it reports "busy".
	time.AfterFunc(1200*time.Millisecond, func() { released <- rival.Rollback() })
	h.send(t, "alice", to, "1")
	must(t, <-released)
	same(t, "stored", []string{"1"}, h.texts(t, to.Conversation(""), 0))
}

func TestSendGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	h := onSQLite(t)
	h.register(t, "alice")
	to := ToGroup(h.group(t, "climbers", "alice"))
	rival, err := h.raw.BeginTx(t.Context(), nil)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := h.Send(ctx, "alice", to, TextContent("1"), "")
		done <- err
	}()
	until(t, "the lane has taken it", func() bool { return h.drafts.lane(to.Conversation("")).taken() })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	must(t, rival.Rollback())
	h.Close()
	// A caller that gives up doesn't know whether its message was stored. It was.
	same(t, "stored", []string{"1"}, h.texts(t, to.Conversation(""), 0))
}

func (l *lane[T, R]) taken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy && len(l.queue) == 0
}

func TestCloseWaits(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		to := ToGroup(h.group(t, "climbers", "alice"))
		h.told()
		held, entered := make(chan struct{}), make(chan struct{}, 10)
		h.notified = func(Event) {
			entered <- struct{}{}
			<-held
		}
		h.send(t, "alice", to, "1")
		<-entered
		second := make(chan error)
		go func() {
			_, err := h.Send(t.Context(), "alice", to, TextContent("2"), "")
			second <- err
		}()
		until(t, "the second waits", func() bool { return h.drafts.waiting() == 1 })
		closed := make(chan struct{})
		go func() {
			h.Close()
			close(closed)
		}()
		select {
		case <-closed:
			t.Error("closed while a message was under way")
		case <-time.After(50 * time.Millisecond):
		}
		close(held)
		<-closed
		must(t, <-second)
		same(t, "stored", []string{"1", "2"}, h.texts(t, to.Conversation(""), 0))
		if n := len(h.told()); n != 2 {
			t.Errorf("%d of 2 were told before Close returned", n)
		}
	})
}

func TestLongBodies(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		to := ToGroup(h.group(t, "climbers", "alice"))
		want := []string{strings.Repeat("密", 100_000), strings.Repeat("\x01\"\\", 50_000), "😀"}
		for _, text := range want {
			h.send(t, "alice", to, text)
		}
		same(t, "stored", want, h.texts(t, to.Conversation(""), 0))
	})
}
