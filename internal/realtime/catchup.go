package realtime

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"tim/internal/auth"
	"tim/internal/chat"
)

const (
	// catchUpPage is how many connections are looked after together: their sessions, rights and accounts are a question
	// each.
	catchUpPage = 200
	// standingsPage is how many conversations of theirs are listed at once.
	standingsPage = 4000
)

// CatchUp asks the database what the bus may have lost: sessions, rights and messages of this node's sockets, and then
// whom they see online. It asks by pages, and one question after the other, so that the database doesn't feel how many
// sockets there are. Where it can't be asked either, they are told to come back later, since nobody knows what they miss.
// The bus calls it; never twice at the same time.
func (h *Hub) CatchUp(ctx context.Context) {
	if !h.serving.Load() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	connections := h.connections()
	slices.SortFunc(connections, func(a, b *connection) int { return cmp.Compare(a.account, b.account) })
	for page := range slices.Chunk(connections, catchUpPage) {
		if err := h.catchUp(ctx, page); err != nil {
			if ctx.Err() == nil {
				h.sendAway(err)
			}
			return
		}
	}
	h.watch.lost()
}

// sendAway asks all sockets to come back later. On tim.v1 the bye says when, each client something else. Who comes back
// here meanwhile is refused, also with a session seen a moment ago.
func (h *Hub) sendAway(reason error) {
	h.auth.ForgetAll()
	connections := h.connections()
	h.Log.Warn("neither the bus nor the database can be asked; all sockets are told to come back later", "sockets", len(connections), "err", reason)
	for _, c := range connections {
		c.shut(closeTryLater, "come back later", true)
	}
}

// catchUp does so for a page of connections. It ends those that have no right any more. The error says that the database
// can't be asked.
func (h *Hub) catchUp(ctx context.Context, page []*connection) error {
	sessions := make([]auth.Session, len(page))
	for i, c := range page {
		sessions[i] = c.session
	}
	ended, err := h.checkAll(ctx, sessions)
	if err != nil {
		return err
	}
	var conversations, modern []*connection
	for i, c := range page {
		switch {
		case ended[i] != nil:
			c.refuse(ended[i])
		case c.kind == kindModern:
			modern = append(modern, c)
		case c.conversation != "":
			conversations = append(conversations, c)
		}
	}
	if err := h.catchUpConversations(ctx, conversations); err != nil {
		return err
	}
	return h.catchUpModern(ctx, modern)
}

func (h *Hub) checkAll(ctx context.Context, sessions []auth.Session) ([]error, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.StoreTimeout)
	defer cancel()
	return h.auth.CheckAll(ctx, sessions)
}

// catchUpConversations looks at the rights and the newest messages of sockets of one conversation each.
func (h *Hub) catchUpConversations(ctx context.Context, connections []*connection) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.StoreTimeout)
	defer cancel()
	sides := make([]chat.Side, len(connections))
	names := make([]string, len(connections))
	for i, c := range connections {
		sides[i], names[i] = chat.Side{Account: c.account, Target: c.target}, c.conversation
	}
	refusals, err := h.chat.MayWriteAll(ctx, sides)
	if err != nil {
		return err
	}
	last, err := h.chat.LastSeqs(ctx, names)
	if err != nil {
		return err
	}
	for i, c := range connections {
		if refusals[i] != nil {
			c.refuse(refusals[i])
			continue
		}
		c.learn(c.conversation, last[c.conversation])
	}
	return nil
}

// carried is what a connection carried before the database was asked, less what the database has listed.
type carried struct {
	*connection

	groups map[string]int64 // the seqs at which they were joined
}

// catchUpModern compares what connections of tim.v1 carry with where their accounts stand, some hundreds of them at most.
func (h *Hub) catchUpModern(ctx context.Context, connections []*connection) error {
	devices := make(map[string][]carried)
	for _, c := range connections {
		if groups := c.memberships(); groups != nil {
			devices[c.account] = append(devices[c.account], carried{c, groups})
		}
	}
	accounts := slices.Sorted(maps.Keys(devices))
	for after := (chat.Standing{}); ; {
		page, err := h.standingsOf(ctx, accounts, after)
		if err != nil {
			return err
		}
		for _, s := range page {
			for _, d := range devices[s.Account] {
				delete(d.groups, s.Conversation)
				h.stand(d.connection, s)
			}
			after = s
		}
		if len(page) < standingsPage {
			break
		}
	}
	for _, all := range devices {
		for _, d := range all {
			for conversation, joined := range d.groups { // those that the database doesn't list any more
				d.drop(conversation, joined+1)
				h.settleLater(d.connection, conversation)
			}
		}
	}
	return nil
}

func (h *Hub) standingsOf(ctx context.Context, accounts []string, after chat.Standing) ([]chat.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timing.StoreTimeout)
	defer cancel()
	return h.chat.Standings(ctx, accounts, after, standingsPage)
}

// stand brings to a connection where its account stands in a conversation.
func (h *Hub) stand(c *connection, s chat.Standing) {
	fresh := c.carry(place{conversation: s.Conversation, target: s.Target, joined: s.JoinedSeq, from: s.JoinedSeq, last: s.LastSeq})
	switch {
	case fresh && s.Target.Group == 0:
		c.begin(s.Conversation, s.LastSeq)
	case fresh:
		h.settleLater(c, s.Conversation)
	}
}

// memberships lists the groups that a live connection carries and the seqs at which they were joined; nil for one that
// hasn't synced. One that is just syncing may have asked before the loss: it catches up when it has.
func (c *connection) memberships() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recheck = c.syncing
	if !c.live || c.syncing {
		return nil
	}
	all := make(map[string]int64, len(c.streams))
	for name, s := range c.streams {
		if s.target.Group != 0 { // what is one to one is never left
			all[name] = s.joined
		}
	}
	return all
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
