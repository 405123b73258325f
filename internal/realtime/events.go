package realtime

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"

	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/wire"
)

// What travels on the bus. Topics: sessionsTopic for all nodes, accountTopic and conversationTopic for those that have
// such a socket open.
const sessionsTopic = "sessions"

func accountTopic(account string) string           { return "a:" + account }
func conversationTopic(conversation string) string { return "c:" + conversation }

// The events of this package; package chat has its own.
const (
	textSent    chat.EventKind = "text"    // DirectText from Account
	wentOffline chat.EventKind = "offline" // Account
	rosterMoved chat.EventKind = "roster"  // Texts, for all of the group's sockets or for Socket alone

	typing        chat.EventKind = "typing"   // Account, in Group or to whom the topic belongs
	presenceMoved chat.EventKind = "presence" // Account is online if Alone
)

// event is what nodes tell each other.
type event struct {
	chat.Event
	Text   string   `json:"text,omitempty"`
	Texts  []string `json:"texts,omitempty"`
	Socket string   `json:"socket,omitempty"`
	Alone  bool     `json:"alone,omitempty"`
}

// sessionEnded is what nodes tell each other on sessionsTopic.
type sessionEnded struct {
	Session string `json:"session"`
}

// Notify carries an event of package chat to every node. It never waits and never fails: who misses it catches up from
// the database.
func (h *Hub) Notify(_ context.Context, e chat.Event) {
	var topics []string
	for _, account := range e.Accounts {
		if topic := accountTopic(account); !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	if len(topics) == 0 {
		topics = append(topics, conversationTopic(e.Conversation))
		if e.Kind == chat.MemberJoined || e.Kind == chat.MemberLeft {
			topics = append(topics, accountTopic(e.Account))
		}
	}
	h.publishAll(topics, event{Event: e})
}

// SessionEnded tells every node that a session has ended. It never waits.
func (h *Hub) SessionEnded(_ context.Context, _, session string) error {
	payload, err := json.Marshal(sessionEnded{session})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return h.Bus.Publish(sessionsTopic, payload)
}

func (h *Hub) publish(topic string, e event) { h.publishAll([]string{topic}, e) }

// publishAll publishes an event to some topics, encoded once.
func (h *Hub) publishAll(topics []string, e event) {
	payload, err := encodeEvent(e)
	if err != nil {
		h.Log.Error("an event can't be encoded", "event", string(e.Kind), "err", err)
		return
	}
	for _, topic := range topics {
		_ = h.Bus.Publish(topic, payload) // the bus itself logs and tells of what it loses
	}
}

func encodeEvent(e event) ([]byte, error) {
	if e.Kind == chat.MessageStored {
		return encodeStored(e.Event), nil
	}
	return json.Marshal(e)
}

func decodeEvent(payload []byte) (event, error) {
	if isStored(payload) {
		e, err := decodeStored(payload)
		return event{Event: e}, err
	}
	var e event
	err := json.Unmarshal(payload, &e)
	if err == nil && e.Kind == chat.MessageStored {
		err = errStored
	}
	return e, err
}

// survive keeps a panic in what is done for many sockets from ending the process. Deferred.
func (h *Hub) survive(where string) {
	if p := recover(); p != nil {
		h.Log.Error("panic", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

func (h *Hub) handleSession(payload []byte) {
	defer h.survive(sessionsTopic)
	var e sessionEnded
	if err := json.Unmarshal(payload, &e); err != nil {
		h.Log.Error("unreadable news of a session", "err", err)
		return
	}
	h.auth.Forget(e.Session)
	for _, c := range h.sessions.of(e.Session) {
		c.shut(closePolicy, "the session has ended", true)
	}
}

// handle brings an event to the connections of its topic. It runs on the bus's goroutine and must not block.
func (h *Hub) handle(t *topic, payload []byte) {
	defer h.survive(t.name)
	e, err := decodeEvent(payload)
	if err != nil {
		h.Log.Error("unreadable event", "topic", t.name, "err", err)
		return
	}
	switch e.Kind {
	case chat.MessageStored:
		n := news{hub: h, conversation: e.Conversation, target: t.target(e), message: *e.Message}
		t.each(func(c *connection) { c.offer(&n) })
	case textSent:
		frame := directText(e.Account, e.Text)
		t.each(func(c *connection) {
			if c.kind == kindChat {
				c.enqueue(frame)
			}
		})
	case wentOffline:
		t.each(func(c *connection) {
			if c.kind == kindDirect {
				c.enqueue([]byte(e.Account + directEndedText))
				c.shut(closeNormal, "", false)
			}
		})
	case rosterMoved:
		h.handleRoster(t, e)
	case chat.MarksMoved, typing, presenceMoved:
		h.handleTransient(t, e)
	case chat.FriendshipBegan, chat.FriendshipEnded, chat.MemberJoined, chat.MemberLeft, chat.GroupDissolved, chat.OwnerChanged:
		h.handleChange(t, e)
	default: // of a newer node
		h.Log.Debug("unknown event", "event", string(e.Kind))
	}
}

// target is the conversation of an event as those name it who listen to the topic.
func (t *topic) target(e event) chat.Target {
	if e.Group != 0 {
		return chat.ToGroup(e.Group)
	}
	for _, account := range e.Accounts {
		if accountTopic(account) != t.name {
			return chat.ToUser(account)
		}
	}
	if len(e.Accounts) > 0 { // to oneself
		return chat.ToUser(e.Accounts[0])
	}
	return chat.ToUser(e.Account)
}

// handleChange brings a change of contacts or groups: it ends what there is no right to any more, and tells clients of
// tim.v1.
func (h *Hub) handleChange(t *topic, e event) {
	target := t.target(e)
	notice := encode(noticeFrame(target, e))
	t.each(func(c *connection) {
		switch {
		case c.kind == kindDirect && e.Kind == chat.FriendshipEnded && c.conversation == e.Conversation:
			c.shut(closePolicy, "no longer friends", true)
		case c.kind == kindGroup && (e.Kind == chat.GroupDissolved || e.Kind == chat.MemberLeft && c.account == e.Account):
			c.shut(closePolicy, "no longer a member", true)
		case c.kind == kindModern && c.concerned():
			if t.informs(c, target, e) {
				c.enqueue(notice)
			}
			if e.Kind == chat.GroupDissolved || isPersonal(c, e) {
				h.membershipMoved(c, e)
			}
			h.sightMoved(c, target, e)
		}
	})
}

// isPersonal reports whether an event is that a connection's account has joined or left.
func isPersonal(c *connection, e event) bool {
	return (e.Kind == chat.MemberJoined || e.Kind == chat.MemberLeft) && c.account == e.Account
}

// informs reports whether a connection of tim.v1 gets a notice of an event on this topic. Whoever joins or leaves hears of it
// on its own topic, which it always listens to; the others on the group's.
func (t *topic) informs(c *connection, target chat.Target, e event) bool {
	switch {
	case target.Group == 0:
		return true
	case isPersonal(c, e):
		return t.name == accountTopic(c.account)
	default:
		return c.carries(e.Conversation)
	}
}

// mostMarkReaders is up to how many connections a group's marks go to all; beyond it only to the account's own, since
// everybody's marks to everybody would cost the square.
const mostMarkReaders = 50

// handleTransient brings what is never stored, or only as its latest state, to clients of tim.v1.
func (h *Hub) handleTransient(t *topic, e event) {
	target := t.target(e)
	frame := transientFrame(target, e)
	if frame == nil {
		return
	}
	many := e.Kind == chat.MarksMoved && e.Group != 0 && t.size() > mostMarkReaders
	t.each(func(c *connection) {
		switch {
		case c.kind != kindModern, many && c.account != e.Account, e.Kind == typing && c.account == e.Account:
		case e.Kind == presenceMoved:
			if c.saw(e.Account, e.Alone) {
				c.enqueue(frame)
			}
		case target.Group == 0 && c.concerned() || target.Group != 0 && c.carries(e.Conversation):
			c.enqueue(frame)
		}
	})
}

func transientFrame(target chat.Target, e event) []byte {
	switch {
	case e.Kind == presenceMoved:
		return presenceFrame(e.Account, e.Alone)
	case e.Kind == typing:
		return encode(frames.TypingFrame{Type: frames.TypingFrameTypeTyping, Conversation: wire.FromTarget(target), Account: e.Account})
	case e.Marks == nil:
		return nil
	default:
		return encode(frames.MarksFrame{
			Type: frames.MarksFrameTypeMarks, Conversation: wire.FromTarget(target), Account: e.Account, Received: e.Marks.Received, Read: e.Marks.Read,
		})
	}
}

func (h *Hub) handleRoster(t *topic, e event) {
	t.each(func(c *connection) {
		if c.kind != kindGroup || e.Alone && c.id != e.Socket {
			return
		}
		for _, text := range e.Texts {
			c.enqueue([]byte(text))
		}
		if c.id == e.Socket {
			c.start()
		}
	})
}
