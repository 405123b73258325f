package timv1

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"testing"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/delivery"
	"tim/internal/feed"
)

// fill sets every text of an event to x, and every group to 7.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Int32:
		v.SetInt(7)
	default:
	}
}

// textFrame reads a server's text frame, RFC 6455 section 5.2.
func textFrame(t *testing.T, r io.Reader) []byte {
	t.Helper()
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	head := read(2)
	size := int(head[1])
	if size == 126 {
		size = int(binary.BigEndian.Uint16(read(2)))
	}
	return read(size)
}

// noticesOf returns the notices that alice's connection sends while something is done with it.
func noticesOf(t *testing.T, do func(*Session)) (sent []sockets.Notice) {
	t.Helper()
	service := bare(t)
	s := service.NewSession(auth.Session{Account: "alice", ID: "s"})
	if err := service.Sockets.Register(s.conn); err != nil {
		t.Fatal(err)
	}
	s.gone = true // what would ask the database is left out
	ours, network := net.Pipe()
	defer ours.Close()
	s.conn.Start(network, nil)
	go func() {
		defer s.conn.Send([]byte(`{"type":"end"}`))
		do(s)
	}()
	for r := bufio.NewReader(ours); ; {
		var frame struct {
			sockets.Notice

			Type string `json:"type"`
		}
		if err := json.Unmarshal(textFrame(t, r), &frame); err != nil { //nolint:musttag // the names of the fields differ from JSON's in their first letter alone
			t.Fatal(err)
		}
		switch frame.Type {
		case "end":
			return sent
		case "notice":
			sent = append(sent, frame.Notice)
		}
	}
}

// Every notice of the spec is what some event becomes, and every event whose name the spec lists becomes that notice.
func TestEveryNoticeIsSent(t *testing.T) {
	t.Parallel()
	var sent []sockets.NoticeEvent
	for _, notice := range noticesOf(t, func(s *Session) {
		s.beginSync()
		s.endSync()
		subscriber := reflect.ValueOf(s)
		for m := range reflect.TypeFor[feed.Subscriber]().Methods() {
			e := reflect.New(m.Type.In(1).Elem())
			fill(e.Elem())
			s.reader.AddConversation(delivery.Standing{Conversation: "x", Target: chat.ToGroup(7)}) // a dissolved group is dropped
			n := &feed.Announcement{Target: chat.ToGroup(7)}
			subscriber.MethodByName(m.Name).Call([]reflect.Value{reflect.ValueOf(n), e})
		}
	}) {
		sent = append(sent, notice.Event)
	}
	listed := sockets.NoticeEventValues()
	slices.Sort(listed)
	slices.Sort(sent)
	if !slices.Equal(listed, sent) {
		t.Errorf("the spec lists the notices %v, and events become %v", listed, sent)
	}
}

// catch is a subscriber that hands on the topic on which it hears of a member.
type catch struct {
	feed.Subscriber

	topics chan *feed.Topic
}

func (c catch) MemberJoined(n *feed.Announcement, _ *feed.MemberJoined) { c.topics <- n.Topic }

// ownTopic is alice's own topic.
func ownTopic(t *testing.T) *feed.Topic {
	t.Helper()
	bus := cluster.NewMemory(cluster.Options{})
	bus.Start(nil)
	defer bus.Close()
	f, c := feed.New(bus, slog.New(slog.DiscardHandler)), catch{topics: make(chan *feed.Topic, 1)}
	if err := f.Join(t.Context(), feed.AccountTopic("alice"), c); err != nil {
		t.Fatal(err)
	}
	f.Publish(&feed.MemberJoined{GroupChange: feed.GroupChange{Account: "alice"}})
	return <-c.topics
}

// The bus may tell of a change of a group after a sync that shows it, or while the sync still asks. What the sync shows isn't told
// again, and all else is, behind the answer and in its order.
func TestNoticesBesideASync(t *testing.T) {
	t.Parallel()
	own := ownTopic(t)
	joined := func(s *Session, account string, seq int64) {
		n := &feed.Announcement{Target: chat.ToGroup(7)}
		e := &feed.MemberJoined{GroupChange: feed.GroupChange{Conversation: "g7", Group: 7, Account: account, Seq: seq}}
		if account == "alice" {
			n.Topic = own
		}
		s.MemberJoined(n, e)
	}
	listed := func(s *Session, last int64) {
		s.reader.AddConversation(delivery.Standing{
			Conversation: "g7", Target: chat.ToGroup(7), Joined: 2, From: last, Last: last, Shown: last,
		})
	}
	left := func(s *Session, seq int64) {
		s.MemberLeft(&feed.Announcement{Topic: own, Target: chat.ToGroup(7)},
			&feed.MemberLeft{GroupChange: feed.GroupChange{Conversation: "g7", Group: 7, Account: "alice", Seq: seq}})
	}
	for name, tt := range map[string]struct {
		do   func(s *Session)
		want []string
	}{
		"before":                   {func(s *Session) { joined(s, "alice", 2); s.beginSync(); listed(s, 2); s.endSync() }, nil},
		"while it asks, and shown": {func(s *Session) { s.beginSync(); joined(s, "alice", 2); listed(s, 2); s.endSync() }, nil},
		"while it asks, and not shown": {
			func(s *Session) {
				s.beginSync()
				joined(s, "alice", 2)
				s.conn.Send([]byte(`{"type":"notice"}`))
				s.endSync()
			},
			[]string{" ", "joined alice"},
		},
		"when it has asked": {func(s *Session) { s.beginSync(); listed(s, 2); joined(s, "alice", 2); s.endSync() }, nil},
		"late":              {func(s *Session) { s.beginSync(); listed(s, 3); s.endSync(); joined(s, "alice", 2); joined(s, "bob", 3) }, nil},
		"news": {
			func(s *Session) { s.beginSync(); listed(s, 3); joined(s, "bob", 4); s.endSync(); joined(s, "cat", 5) },
			[]string{"joined bob", "joined cat"},
		},
		"late, and left before":     {func(s *Session) { s.beginSync(); listed(s, 4); s.endSync(); left(s, 1); joined(s, "alice", 2) }, nil},
		"left, and shown before":    {func(s *Session) { s.beginSync(); listed(s, 4); left(s, 5); s.endSync() }, []string{"left alice"}},
		"left, and not shown":       {func(s *Session) { s.beginSync(); left(s, 5); listed(s, 4); s.endSync() }, []string{"left alice"}},
		"joined again, and no sync": {func(s *Session) { s.beginSync(); listed(s, 4); s.endSync(); left(s, 5); joined(s, "alice", 6) }, []string{"left alice", "joined alice"}},
		"a sync that failed": {
			func(s *Session) {
				s.beginSync()
				joined(s, "alice", 2)
				s.abortSync()
				s.beginSync()
				listed(s, 2)
				s.endSync()
				joined(s, "bob", 3)
			},
			[]string{"joined bob"},
		},
		"more than are held": {func(s *Session) {
			s.beginSync()
			listed(s, 2)
			for seq := range int64(mostHeld + 5) {
				joined(s, "bob", 3+seq)
			}
			s.endSync()
		}, slices.Repeat([]string{"joined bob"}, mostHeld+5)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, notice := range noticesOf(t, tt.do) {
				account := ""
				if notice.Account != nil {
					account = *notice.Account
				}
				got = append(got, string(notice.Event)+" "+account)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("sent %q, want %q", got, tt.want)
			}
		})
	}
}
