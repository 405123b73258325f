package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"tim/internal/chat"
	"tim/internal/fault"
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
	rosterMoved chat.EventKind = "roster"  // Texts, for all or for Socket alone
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

// Notify carries an event of package chat to every node. It never fails: who misses it catches up from the database.
func (h *Hub) Notify(ctx context.Context, e chat.Event) {
	h.publish(ctx, conversationTopic(e.Conversation), event{Event: e})
}

// SessionEnded tells every node that a session has ended.
func (h *Hub) SessionEnded(ctx context.Context, _, session string) error {
	payload, err := json.Marshal(sessionEnded{session})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return h.Bus.Publish(ctx, sessionsTopic, payload)
}

func (h *Hub) publish(ctx context.Context, topic string, e event) {
	payload, err := json.Marshal(e)
	if err == nil {
		err = h.Bus.Publish(ctx, topic, payload)
	}
	if err != nil {
		h.Log.Warn("other nodes were not told; they will catch up", "event", string(e.Kind), "err", err)
	}
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
	var e event
	if err := json.Unmarshal(payload, &e); err != nil || e.Kind == chat.MessageStored && e.Message == nil {
		h.Log.Error("unreadable event", "topic", t.name, "err", err)
		return
	}
	switch e.Kind {
	case chat.MessageStored:
		frame := h.chatMessage(*e.Message) // encoded once for all
		t.each(func(c *connection) { c.offer(*e.Message, frame) })
	case chat.FriendshipEnded:
		t.each(func(c *connection) { c.shut(closePolicy, "no longer friends", true) })
	case chat.MemberLeft:
		t.each(func(c *connection) {
			if c.account == e.Account {
				c.shut(closePolicy, "no longer a member", true)
			}
		})
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
	}
}

func (h *Hub) handleRoster(t *topic, e event) {
	t.each(func(c *connection) {
		if e.Alone && c.id != e.Socket {
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

// Online tells which accounts have a live chat socket. While other nodes can't be asked, this node's own count.
func (h *Hub) Online(ctx context.Context, accounts []string) []bool {
	rooms := make([]string, len(accounts))
	for i, account := range accounts {
		rooms[i] = accountRoom(account)
	}
	online, err := h.Presence.Online(ctx, rooms)
	if err == nil {
		return online
	}
	h.Log.Warn("presence can't be asked; this node's own sockets count", "err", err)
	online = make([]bool, len(accounts))
	for i, account := range accounts {
		online[i] = h.topics.has(accountTopic(account), kindChat)
	}
	return online
}

// CatchUp asks the database what the bus may have lost: sessions, rights and messages of this node's sockets. Where the
// database can't be asked either, they are told to come back later, since nobody knows what they miss. The bus calls it;
// never twice at the same time.
func (h *Hub) CatchUp(ctx context.Context) {
	if !h.serving.Load() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	h.auth.ForgetAll()
	last := make(map[string]int64)
	var away error
	for _, c := range h.connections() {
		if ctx.Err() != nil {
			return
		}
		if away == nil {
			away = h.catchUp(ctx, c, last)
		}
		if away != nil && ctx.Err() == nil {
			c.refuse(away)
		}
	}
}

// catchUp does so for one connection, which it ends when it has no right any more. last remembers what was asked
// before. The error says that the database can't be asked.
func (h *Hub) catchUp(ctx context.Context, c *connection, last map[string]int64) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.StoreTimeout)
	defer cancel()
	err := h.auth.Check(ctx, c.session)
	if err == nil && c.kind != kindChat {
		err = h.chat.MayWrite(ctx, c.account, c.target)
	}
	if _, refused := errors.AsType[*fault.Fault](err); refused {
		c.refuse(err)
		return nil
	}
	if err != nil || c.kind == kindChat {
		return err
	}
	seq, known := last[c.conversation]
	if !known {
		if seq, err = h.chat.LastSeq(ctx, c.conversation); err != nil {
			return err
		}
		last[c.conversation] = seq
	}
	c.learn(seq)
	return nil
}

func (h *Hub) connections() []*connection {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*connection, 0, len(h.open))
	for c := range h.open {
		all = append(all, c)
	}
	return all
}
