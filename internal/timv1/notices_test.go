package timv1

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"reflect"
	"slices"
	"testing"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
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

// Every notice of the spec is what some event becomes, and every event whose name the spec lists becomes that notice.
func TestEveryNoticeIsSent(t *testing.T) {
	t.Parallel()
	service := bare(t)
	s := service.NewSession(auth.Session{Account: "alice", ID: "s"})
	if err := service.Sockets.Register(s.conn); err != nil {
		t.Fatal(err)
	}
	s.reader.BeginSync()
	s.reader.EndSync()
	s.gone = true // what would ask the database is left out
	ours, network := net.Pipe()
	defer ours.Close()
	s.conn.Start(network, nil)
	go func() {
		defer s.conn.Send([]byte(`{"type":"end"}`))
		subscriber := reflect.ValueOf(s)
		for m := range reflect.TypeFor[feed.Subscriber]().Methods() {
			e := reflect.New(m.Type.In(1).Elem())
			fill(e.Elem())
			s.reader.AddConversation(delivery.Standing{Conversation: "x", Target: chat.ToGroup(7)}) // a dissolved group is dropped
			n := &feed.Announcement{Target: chat.ToGroup(7)}
			subscriber.MethodByName(m.Name).Call([]reflect.Value{reflect.ValueOf(n), e})
		}
	}()
	var sent []sockets.NoticeEvent
	for r := bufio.NewReader(ours); ; {
		var frame struct {
			Type  string              `json:"type"`
			Event sockets.NoticeEvent `json:"event"`
		}
		if err := json.Unmarshal(textFrame(t, r), &frame); err != nil {
			t.Fatal(err)
		}
		if frame.Type == "end" {
			break
		}
		if frame.Type == "notice" {
			sent = append(sent, frame.Event)
		}
	}
	listed := sockets.NoticeEventValues()
	slices.Sort(listed)
	slices.Sort(sent)
	if !slices.Equal(listed, sent) {
		t.Errorf("the spec lists the notices %v, and events become %v", listed, sent)
	}
}
