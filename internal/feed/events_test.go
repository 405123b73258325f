package feed

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tim/internal/chat"
)

// recorder is a subscriber that notes which of its methods are called.
type recorder struct {
	calls []string
	news  []Announcement
}

func (r *recorder) note(kind string, n *Announcement) {
	r.calls, r.news = append(r.calls, kind), append(r.news, *n)
}

func (r *recorder) MessageStored(n *Announcement, _ *MessageStored)     { r.note("message", n) }
func (r *recorder) MarksMoved(n *Announcement, _ *MarksMoved)           { r.note("marks", n) }
func (r *recorder) AccountTyping(n *Announcement, _ *AccountTyping)     { r.note("typing", n) }
func (r *recorder) PresenceMoved(n *Announcement, _ *PresenceMoved)     { r.note("presence", n) }
func (r *recorder) FriendshipBegan(n *Announcement, _ *FriendshipBegan) { r.note("befriended", n) }
func (r *recorder) FriendshipEnded(n *Announcement, _ *FriendshipEnded) { r.note("unfriended", n) }
func (r *recorder) MemberJoined(n *Announcement, _ *MemberJoined)       { r.note("joined", n) }
func (r *recorder) MemberLeft(n *Announcement, _ *MemberLeft)           { r.note("left", n) }
func (r *recorder) OwnerChanged(n *Announcement, _ *OwnerChanged)       { r.note("owner", n) }
func (r *recorder) GroupDissolved(n *Announcement, _ *GroupDissolved)   { r.note("dissolved", n) }
func (r *recorder) TextSent(n *Announcement, _ *TextSent)               { r.note("text", n) }
func (r *recorder) WentOffline(n *Announcement, _ *WentOffline)         { r.note("offline", n) }
func (r *recorder) RosterMoved(n *Announcement, _ *RosterMoved)         { r.note("roster", n) }
func (r *recorder) SessionMoved(n *Announcement, _ *SessionMoved)       { r.note("session", n) }

// fill sets every field of an event to something that isn't zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf([]string{"alice", "bob"}).Convert(v.Type()))
		}
	default:
	}
}

// Every kind of event comes out of the bus as it went in, to the subscriber's method for it, on each of its topics.
func TestEveryKindArrives(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, e := range kinds() {
		fill(reflect.ValueOf(e).Elem())
		if stored, ok := e.(*MessageStored); ok {
			stored.Message.Body = `{}`
		}
		if names[e.kind()] {
			t.Errorf("two kinds are named %s", e.kind())
		}
		names[e.kind()] = true
		payload, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(payload)
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s (-in +out):\n%s", payload, diff)
		}
		if topics := e.topics(); len(topics) == 0 || slices.Contains(topics, "") {
			t.Errorf("%s is published on %q", e.kind(), topics)
		}
		r := new(recorder)
		got.tell(r, &Announcement{})
		if !slices.Equal(r.calls, []string{e.kind()}) {
			t.Errorf("%s is told as %v", e.kind(), r.calls)
		}
	}
}

// Every event that a subscriber hears of is among kinds: one that is not could not be decoded, and would be lost in silence.
func TestKindsAreWhatSubscribersHear(t *testing.T) {
	t.Parallel()
	listed := map[reflect.Type]bool{}
	for _, e := range kinds() {
		listed[reflect.TypeOf(e)] = true
	}
	heard := reflect.TypeFor[Subscriber]()
	for m := range heard.Methods() {
		if event := m.Type.In(1); !listed[event] {
			t.Errorf("kinds lacks %s, of which Subscriber.%s tells", event, m.Name)
		}
	}
	if heard.NumMethod() != len(listed) {
		t.Errorf("%d methods for %d kinds", heard.NumMethod(), len(listed))
	}
}

// chatKinds lists the kinds of event in the source of package chat.
func chatKinds(t *testing.T) (kinds []chat.EventKind) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../chat/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "EventKind" {
			t.Fatalf("what is %s in event.go?", spec.Names[0])
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, chat.EventKind(value))
		return true
	})
	return kinds
}

// Every event of package chat is published.
func TestNotify(t *testing.T) {
	t.Parallel()
	all := chatKinds(t)
	if len(all) == 0 {
		t.Fatal("package chat has no events")
	}
	for _, kind := range all {
		e := eventOf(chat.Event{Kind: kind, Message: &chat.Message{}, Marks: &chat.Marks{}})
		if e == nil || e.kind() != string(kind) {
			t.Errorf("%s becomes %v", kind, e)
		}
	}
	if e := eventOf(chat.Event{Kind: "unheard of"}); e != nil {
		t.Errorf("an unknown kind becomes %v", e)
	}
}

// One to one each side names the other; oneself is named by oneself.
func TestTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e     Event
		topic string
		want  chat.Target
	}{
		{&MessageStored{Sides: Sides{Accounts: []string{"alice", "bob"}}}, "a:alice", chat.ToUser("bob")},
		{&MessageStored{Sides: Sides{Accounts: []string{"alice", "bob"}}}, "a:bob", chat.ToUser("alice")},
		{&MessageStored{Sides: Sides{Accounts: []string{"alice", "alice"}}}, "a:alice", chat.ToUser("alice")},
		{&AccountTyping{Sides: Sides{Accounts: []string{"alice", "bob"}}}, "a:bob", chat.ToUser("alice")},
		{&MarksMoved{Sides: Sides{Group: 7}}, "c:g7", chat.ToGroup(7)},
		{&MemberLeft{GroupChange{Group: 7}}, "a:alice", chat.ToGroup(7)},
	} {
		if got := c.e.target(c.topic); got != c.want {
			t.Errorf("%+v on %s is about %+v, want %+v", c.e, c.topic, got, c.want)
		}
	}
	typing := &AccountTyping{Sides: Sides{Accounts: []string{"alice", "bob"}}}
	if diff := cmp.Diff([]string{"a:bob"}, typing.topics()); diff != "" {
		t.Errorf("who hears of typing (-want +got):\n%s", diff)
	}
}
