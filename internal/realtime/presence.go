package realtime

import (
	"context"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
)

// accountRoom is where an account's chat sockets are, deviceRoom its connections of tim.v1. It is online while it has
// either; the contract's other sockets need the first.
func accountRoom(account string) string { return "u:" + account }
func deviceRoom(account string) string  { return "v:" + account }

// presenceTopic is where those listen who follow an account.
func presenceTopic(account string) string { return "p:" + account }

// come enters an account's room with a connection and tells its followers if it was offline.
func (h *Hub) come(ctx context.Context, conn *connection, room string) {
	first, err := h.Presence.Join(ctx, room, conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "account", conn.account, "err", err)
		return
	}
	if first {
		h.announce(ctx, conn.account)
	}
}

// part leaves it, tells the followers if that took the account offline, and reports whether the room is left by all of
// the account's connections.
func (h *Hub) part(ctx context.Context, conn *connection, room string) (last bool) {
	last, err := h.Presence.Leave(ctx, room, conn.account, conn.id)
	if err != nil {
		h.Log.Warn("presence will be told later", "account", conn.account, "err", err)
		return !h.topics.has(accountTopic(conn.account), conn.kind)
	}
	if last {
		h.announce(ctx, conn.account)
	}
	return last
}

// announce tells an account's followers whether it is online.
func (h *Hub) announce(ctx context.Context, account string) {
	online := h.Online(ctx, []string{account})[0]
	h.publish(ctx, presenceTopic(account), event{Event: chat.Event{Kind: presenceMoved, Account: account}, Alone: online})
}

// Online tells which accounts have a live chat socket or a connection of tim.v1. While other nodes can't be asked, this
// node's own count.
func (h *Hub) Online(ctx context.Context, accounts []string) []bool {
	rooms := make([]string, 0, 2*len(accounts))
	for _, account := range accounts {
		rooms = append(rooms, accountRoom(account), deviceRoom(account))
	}
	states, err := h.Presence.Online(ctx, rooms)
	online := make([]bool, len(accounts))
	if err == nil {
		for i := range accounts {
			online[i] = states[2*i] || states[2*i+1]
		}
		return online
	}
	h.Log.Warn("presence can't be asked; this node's own sockets count", "err", err)
	for i, account := range accounts {
		online[i] = h.topics.has(accountTopic(account), kindChat) || h.topics.has(accountTopic(account), kindModern)
	}
	return online
}

// answerSubscribe follows accounts, instead of those before. Whom the caller may not see stays offline for it.
func (h *Hub) answerSubscribe(ctx context.Context, conn *connection, r frames.Subscribe) (any, error) {
	wanted := make(map[string]bool, len(r.Accounts))
	for _, account := range r.Accounts {
		account = chat.Normal(account)
		visible, err := h.chat.MaySee(ctx, conn.account, account)
		if err != nil {
			return nil, err
		}
		if visible {
			wanted[account] = false
		}
	}
	gone, added := conn.refollow(wanted)
	for _, account := range gone {
		h.topics.leave(presenceTopic(account), conn)
	}
	for _, account := range added {
		if err := h.topics.join(ctx, presenceTopic(account), conn); err != nil {
			return nil, err
		}
	}
	accounts := make([]string, 0, len(wanted))
	for account := range wanted {
		accounts = append(accounts, account)
	}
	out := frames.Subscribed{Type: frames.SubscribedTypeSubscribed, ID: r.ID, Online: []api.Account{}}
	for i, online := range h.Online(ctx, accounts) {
		conn.saw(accounts[i], online)
		if online {
			out.Online = append(out.Online, accounts[i])
		}
	}
	return out, nil
}

// refollow makes the connection follow other accounts, and tells which ones it no longer does and which anew.
func (c *connection) refollow(wanted map[string]bool) (gone, added []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for account := range c.followed {
		if _, ok := wanted[account]; !ok {
			gone = append(gone, account)
		}
	}
	for account := range wanted {
		if _, ok := c.followed[account]; !ok {
			added = append(added, account)
		}
	}
	followed := make(map[string]bool, len(wanted))
	for account := range wanted {
		followed[account] = c.followed[account]
	}
	c.followed = followed
	return gone, added
}

// saw notes whether a followed account is online, and reports whether that is news.
func (c *connection) saw(account string, online bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, follows := c.followed[account]
	if !follows || was == online {
		return false
	}
	c.followed[account] = online
	return true
}
