package classic

import (
	"context"
	"time"

	"tim/gen/sockets"
	"tim/internal/feed"
)

// unlimited stands for a limit of 0.
const unlimited = 1 << 20

// enter tells the group of an account's first socket, or its further socket of the list, and then lets the messages flow.
func (g *Group) enter() {
	s := g.service
	ctx, cancel := s.within()
	defer cancel()
	g.mu.Lock()
	g.entered = true
	g.late = time.AfterFunc(s.Timing.RosterTimeout, g.start) // should the bus lose the event, or presence be slow
	g.mu.Unlock()
	roster := s.Feed.Topic(g.topic).Roster()
	roster.Lock()
	defer roster.Unlock()
	first := s.Presence.EnterGroup(ctx, g.target.Group, g.account(), g.conn.ID())
	names, err := g.whoIsOnline(ctx, onlineList)
	if err != nil {
		s.Log.Warn("a group is not told who is online", "group", g.target.Group, "err", err)
		g.start()
		return
	}
	texts := []string{names.list}
	if first {
		texts = []string{string(sockets.MemberOpened(names.self)), names.list}
	}
	s.Feed.Publish(&feed.RosterMoved{Conversation: g.id, Group: g.target.Group, Texts: texts, Socket: g.conn.ID(), OnlySocket: !first})
}

// leave tells the group of the end of an account's last socket. Only the first call after enter counts.
func (g *Group) leave() {
	g.mu.Lock()
	entered := g.entered
	g.entered = false
	g.mu.Unlock()
	if !entered {
		return
	}
	s := g.service
	ctx, cancel := s.within()
	defer cancel()
	roster := s.Feed.Topic(g.topic).Roster()
	roster.Lock()
	defer roster.Unlock()
	if !s.Presence.LeaveGroup(ctx, g.target.Group, g.account(), g.conn.ID()) {
		return
	}
	names, err := g.whoIsOnline(ctx, remainingList)
	if err != nil {
		s.Log.Warn("a group is not told who is online", "group", g.target.Group, "err", err)
		return
	}
	s.Feed.Publish(&feed.RosterMoved{Conversation: g.id, Group: g.target.Group, Texts: []string{string(sockets.MemberClosed(names.self)), names.list}})
}

// roster is what a group is told when a member comes or goes.
type roster struct {
	self string // display name of the one who came or went
	list string
}

// whoIsOnline asks presence; list makes a text of display names.
func (g *Group) whoIsOnline(ctx context.Context, list func([]string) string) (roster, error) {
	limit := g.service.RosterLimit
	if limit == 0 {
		limit = unlimited
	}
	members, total, err := g.service.Presence.InGroup(ctx, g.target.Group, limit)
	if err != nil {
		return roster{}, err
	}
	if total > limit {
		members = nil // whose names nobody is told
	}
	names, err := g.service.Chat.Usernames(ctx, append(members, g.account()))
	if err != nil {
		return roster{}, err
	}
	r := roster{self: names[len(names)-1], list: list(names[:len(names)-1])}
	if total > limit {
		r.list = string(sockets.GroupOnlineCount(total))
	}
	return r, nil
}
