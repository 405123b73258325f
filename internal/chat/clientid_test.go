package chat

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"tim/internal/fault"
)

// A retry is the same message, for ever: from another device, after a restart, and of many retries at once.
func TestAClientIDIsOneMessage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		to := ToUser("bob")
		h.told()
		first, err := h.Send(t.Context(), "alice", to, TextContent("hello"), "1")
		must(t, err)
		h.send(t, "bob", ToUser("alice"), "between")
		after := h.reopened(t, func(*Options) {}) // a restart, or another node
		for _, s := range []*house{h, after} {
			again, err := s.Send(t.Context(), "alice", to, TextContent("hello"), "1")
			must(t, err)
			same(t, "the retry", first, again)
		}
		for _, s := range []*house{h, after} {
			_, err := s.Send(t.Context(), "alice", to, TextContent("hello!"), "1")
			refused(t, err, fault.ClientIDReused)
			_, err = s.Send(t.Context(), "alice", to, Content{Body: TextContent("hello").Body, ReplyTo: 1}, "1")
			refused(t, err, fault.ClientIDReused)
		}
		h.Close()
		same(t, "stored", []string{"hello", "between"}, h.texts(t, to.Conversation("alice"), 0))
		if n := len(h.told()) + len(after.told()); n != 2 {
			t.Errorf("%d events of two messages", n)
		}
	})
}

func TestAClientIDSentByManyAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		to := ToGroup(h.group(t, "climbers", "alice"))
		other := h.reopened(t, func(*Options) {})
		h.told()
		const ids, tries = 10, 8
		var work sync.WaitGroup
		var mu sync.Mutex
		got := make(map[string]map[Message]bool)
		for i := range ids * tries {
			node := []*house{h, other}[i%2]
			work.Go(func() {
				id := fmt.Sprint(i / tries)
				m, err := node.Send(t.Context(), "alice", to, TextContent("text "+id), id)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if got[id] == nil {
					got[id] = make(map[Message]bool)
				}
				got[id][m] = true
			})
		}
		work.Wait()
		h.Close()
		other.Close()
		for id, messages := range got {
			if len(messages) != 1 {
				t.Errorf("%s is %d messages: %v", id, len(messages), messages)
			}
		}
		if texts := h.texts(t, to.Conversation(""), 0); len(texts) != ids {
			t.Errorf("stored: %v", texts)
		}
		if n := len(h.told()) + len(other.told()); n != ids {
			t.Errorf("%d events", n)
		}
	})
}

func TestAClientIDTwiceInABatch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		id := h.group(t, "climbers", "alice", "bob")
		h.told()
		batch := batchOf(
			&draft{sender: "alice", target: ToGroup(id), body: stored("a"), clientID: "1"},
			&draft{sender: "alice", target: ToGroup(id), body: stored("a"), clientID: "1"},
			&draft{sender: "alice", target: ToGroup(id), body: stored("other"), clientID: "1"},
			&draft{sender: "bob", target: ToGroup(id), body: stored("b"), clientID: "1"},
			&draft{sender: "alice", target: ToUser("bob"), body: stored("c"), clientID: "1"},
			&draft{sender: "alice", target: ToGroup(id), body: stored("a")},
			&draft{sender: "alice", target: ToGroup(id), body: stored("a")},
		)
		h.commit(t.Context(), batch)
		answers := answersOf(batch)
		refused(t, answers[2].err, fault.ClientIDReused)
		var seqs []int64
		for i, a := range answers {
			if i != 2 {
				must(t, a.err)
				seqs = append(seqs, a.result.Seq)
			}
		}
		same(t, "seqs", []int64{3, 3, 4, 1, 5, 6}, seqs)
		same(t, "in the group", []string{"a", "b", "a", "a"}, h.texts(t, groupID(id), 0))
		same(t, "one to one", []string{"c"}, h.texts(t, ToUser("bob").Conversation("alice"), 0))
		if n := len(h.told()); n != 5 {
			t.Errorf("%d events", n)
		}
	})
}

// A client that has missed the answer gets it by a retry, also when its account has lost the right to write since.
func TestARetryWithoutTheRight(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob", "carol")
		h.befriend(t, "alice", "bob")
		id := h.group(t, "climbers", "alice", "bob")
		gone := h.group(t, "swimmers", "alice")
		targets := []Target{ToUser("bob"), ToGroup(id), ToGroup(gone)}
		first := make([]Message, len(targets))
		for i, to := range targets {
			var err error
			first[i], err = h.Send(t.Context(), "alice", to, TextContent("a"), "1")
			must(t, err)
		}
		h.send(t, "bob", ToUser("alice"), "between") // the right is remembered
		must(t, h.DeleteFriend(t.Context(), "bob", "bob", "alice"))
		must(t, h.RemoveMember(t.Context(), "alice", "alice", id, "bob"))
		must(t, h.LeaveGroup(t.Context(), "alice", "alice", id))
		must(t, h.Dissolve(t.Context(), "alice", "alice", gone))
		h.told()
		for _, s := range []*house{h, h.reopened(t, func(*Options) {})} {
			for i, to := range targets {
				again, err := s.Send(t.Context(), "alice", to, TextContent("a"), "1")
				must(t, err)
				same(t, "the retry", first[i], again)
				_, err = s.Send(t.Context(), "alice", to, TextContent("b"), "1")
				refused(t, err, fault.ClientIDReused)
				for _, clientID := range []string{"2", ""} {
					_, err = s.Send(t.Context(), "alice", to, TextContent("a"), clientID)
					if f := fault.From(err); f.Reason != fault.NotFriends && f.Reason != fault.NotAMember && f.Reason != fault.UnknownGroup {
						t.Errorf("never sent, to %v: %v", to, err)
					}
				}
			}
			_, err := s.Send(t.Context(), "bob", ToUser("alice"), TextContent("a"), "1") // alice's id, not bob's
			refused(t, err, fault.NotFriends)
			_, err = s.Send(t.Context(), "carol", ToGroup(id), TextContent("a"), "1")
			if fault.From(err).Reason == fault.ClientIDReused || err == nil {
				t.Errorf("a stranger learns of a member's client id: %v", err)
			}
			if events := s.told(); len(events) > 0 {
				t.Errorf("events of retries: %+v", events)
			}
		}
	})
}

// In one batch, a retry without the right gets its message, and what others send beside it is stored.
func TestARetryWithoutTheRightInABatch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		to := ToGroup(h.group(t, "climbers", "alice", "bob"))
		first, err := h.Send(t.Context(), "bob", to, TextContent("b"), "1")
		must(t, err)
		h.send(t, "alice", to, "between")
		must(t, h.LeaveGroup(t.Context(), "bob", "bob", to.Group))
		batch := batchOf(
			&draft{sender: "bob", target: to, body: stored("b"), clientID: "1"},
			&draft{sender: "alice", target: to, body: stored("a"), clientID: "1"},
			&draft{sender: "bob", target: to, body: stored("c"), clientID: "2"},
		)
		h.commit(t.Context(), batch)
		answers := answersOf(batch)
		must(t, answers[0].err)
		same(t, "the retry", first, answers[0].result)
		must(t, answers[1].err)
		refused(t, answers[2].err, fault.NotAMember)
		same(t, "in the group", []string{"b", "between", "a"}, h.texts(t, groupID(to.Group), 0))
	})
}

// Contents are equal whatever the order of their mentions and the blanks in their JSON.
func TestTheSameContentIsTheSameMessage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice")
		to := ToGroup(h.group(t, "climbers", "alice"))
		body := func(text string) json.RawMessage { return json.RawMessage(text) }
		first, err := h.Send(t.Context(), "alice", to, Content{
			Body: body(`{"kind":"text","text":"<hi> & bye"}`), Mentions: []string{"bob", "ren\u00e9", "bob"},
		}, "1")
		must(t, err)
		for _, c := range []Content{
			{Body: body(`{"kind":"text","text":"<hi> & bye"}`), Mentions: []string{"rene\u0301", "bob"}},
			{Body: body("{ \"kind\" : \"text\",\n\t\"text\" : \"<hi> & bye\" }"), Mentions: []string{"ren\u00e9", "bob"}},
		} {
			again, err := h.Send(t.Context(), "alice", to, c, "1")
			must(t, err)
			same(t, "the retry", first, again)
		}
		for _, c := range []Content{
			{Body: body(`{"kind":"text","text":"<hi> & bye"}`), Mentions: []string{"bob"}},
			{Body: body(`{"kind":"text","text":"<hi> & bye"}`)},
			{Body: body(`{"kind":"text","text":"<hi>  & bye"}`), Mentions: []string{"bob", "ren\u00e9"}},
		} {
			_, err := h.Send(t.Context(), "alice", to, c, "1")
			refused(t, err, fault.ClientIDReused)
		}
	})
}

func TestReplyTo(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		to := ToUser("bob")
		reply := func(seq int64) error {
			_, err := h.Send(t.Context(), "alice", to, Content{Body: TextContent("x").Body, ReplyTo: seq}, "")
			return err
		}
		refused(t, reply(1), fault.InvalidBody)
		same(t, "conversations of a refused first message", nil, h.column(t, "SELECT account FROM participant"))
		h.send(t, "alice", to, "1")
		must(t, reply(1))
		must(t, reply(2))
		refused(t, reply(4), fault.InvalidBody)
		stored, err := h.Missed(t.Context(), to.Conversation("alice"), 1, 1)
		must(t, err)
		if c := stored[0].Content(); c.ReplyTo != 1 {
			t.Errorf("stored: %+v", c)
		}
	})
}

// A message that a version before this one stored with the name of a file as it came is found by a retry.
func TestRetryOfAnOldFileName(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		send := func(name string) (Message, error) {
			return h.Send(t.Context(), "alice", ToUser("bob"), Content{Body: []byte(`{"kind":"file","file":"f","name":"` + name + `"}`)}, "c1")
		}
		first, err := send("../a.txt")
		must(t, err)
		same(t, "stored", `{"body":{"kind":"file","file":"f","name":"a.txt"}}`, first.Body)
		h.exec(t, "UPDATE message SET body = ?", `{"body":{"kind":"file","file":"f","name":"../a.txt"}}`)
		again, err := send("../a.txt")
		must(t, err)
		if again.Seq != first.Seq {
			t.Errorf("stored again as %d", again.Seq)
		}
		_, err = send("b.txt")
		refused(t, err, fault.ClientIDReused)
	})
}
