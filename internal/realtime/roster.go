package realtime

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tim/internal/chat"
)

func groupRoom(group int32) string { return fmt.Sprintf("g:%d", group) }

// unlimited stands for a limit of 0.
const unlimited = 1 << 20

// enter tells the group of an account's first socket, or its further device of the list, and then lets the messages
// flow.
func (h *Hub) enter(conn *connection) {
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	conn.startWithin(h.Timing.RosterTimeout) // should the bus lose the event, or presence be slow
	defer h.rosterLock(conn).Unlock()
	first, err := h.Presence.Join(ctx, groupRoom(conn.target.Group), conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "group", conn.target.Group, "err", err)
	}
	roster, err := h.roster(ctx, conn, onlineList)
	if err != nil {
		h.Log.Warn("a group is not told who is online", "group", conn.target.Group, "err", err)
		conn.start()
		return
	}
	e := event{Event: chat.Event{Kind: rosterMoved}, Texts: []string{roster.list}, Socket: conn.id, Alone: !first}
	if first {
		e.Texts = []string{memberOpened(roster.self), roster.list}
	}
	h.publish(conversationTopic(conn.conversation), e)
}

// leave tells the group of the end of an account's last socket.
func (h *Hub) leave(conn *connection) {
	ctx, cancel := h.within(h.Timing.StoreTimeout)
	defer cancel()
	defer h.rosterLock(conn).Unlock()
	last, err := h.Presence.Leave(ctx, groupRoom(conn.target.Group), conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "group", conn.target.Group, "err", err)
	}
	if !last {
		return
	}
	roster, err := h.roster(ctx, conn, remainingList)
	if err != nil {
		h.Log.Warn("a group is not told who is online", "group", conn.target.Group, "err", err)
		return
	}
	h.publish(conversationTopic(conn.conversation), event{
		Event: chat.Event{Kind: rosterMoved}, Texts: []string{memberClosed(roster.self), roster.list},
	})
}

// rosterLock takes the lock under which this node enters and leaves a group's room and publishes who is in it: so the
// newest list is also the last that comes. The connection listens to its conversation.
func (h *Hub) rosterLock(conn *connection) *sync.Mutex {
	t := h.topics.get(conversationTopic(conn.conversation))
	t.roster.Lock()
	return &t.roster
}

// roster is what a group is told of who is online.
type roster struct {
	self string // display name of the one who came or went
	list string
}

func (h *Hub) roster(ctx context.Context, conn *connection, list func([]string) string) (roster, error) {
	limit := h.RosterLimit
	if limit == 0 {
		limit = unlimited
	}
	members, total, err := h.Presence.Members(ctx, groupRoom(conn.target.Group), limit)
	if err != nil {
		return roster{}, fmt.Errorf("who is online: %w", err)
	}
	if total > limit {
		members = nil // whose names nobody is told
	}
	names, err := h.chat.Usernames(ctx, append(members, conn.account))
	if err != nil {
		return roster{}, err
	}
	r := roster{self: names[len(names)-1], list: list(names[:len(names)-1])}
	if total > limit {
		r.list = onlineCount(total)
	}
	return r, nil
}

// startWithin lets messages flow after a while, unless start does earlier or the connection has ended.
func (c *connection) startWithin(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = time.AfterFunc(d, c.start)
}
