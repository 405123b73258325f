package realtime

import (
	"context"
	"maps"
	"slices"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/fault"
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

// announceTries bounds how often one call says anew what has changed while it was saying it.
const announceTries = 3

// announce tells an account's followers whether it is online. Somebody else may be announcing the opposite at the same
// time: so it looks once more afterwards, and whoever comes last has said what is.
func (h *Hub) announce(ctx context.Context, account string) {
	online := h.Online(ctx, []string{account})[0]
	for range announceTries {
		h.publish(presenceTopic(account), event{Event: chat.Event{Kind: presenceMoved, Account: account}, Alone: online})
		now := h.Online(ctx, []string{account})[0]
		if now == online {
			return
		}
		online = now
	}
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

// follow is what a connection knows of an account that it follows.
type follow struct {
	online bool
	heard  bool // an event told so, since the last subscribe began
}

// accountsPerToken is how many accounts of a subscribe frame cost as much as a frame: each is a question to the database.
const accountsPerToken = 10

// answerSubscribe follows accounts, instead of those before. Whom the caller may not see stays offline for it.
func (h *Hub) answerSubscribe(ctx context.Context, conn *connection, r frames.Subscribe) (any, error) {
	if delay := conn.charge(len(r.Accounts) / accountsPerToken); delay > 0 {
		return nil, fault.Retry(fault.RateLimited, delay)
	}
	wanted := make(map[string]bool, len(r.Accounts))
	for _, account := range r.Accounts {
		account = chat.Normal(account)
		visible, err := h.chat.MaySee(ctx, conn.account, account)
		if err != nil {
			return nil, err
		}
		if visible {
			wanted[account] = true
		}
	}
	if err := h.tune(ctx, conn, conn.refollow(wanted)...); err != nil {
		return nil, err
	}
	accounts := slices.Sorted(maps.Keys(wanted))
	out := frames.Subscribed{Type: frames.SubscribedTypeSubscribed, ID: r.ID, Online: []api.Account{}}
	for i, online := range h.Online(ctx, accounts) {
		if conn.asked(accounts[i], online) {
			out.Online = append(out.Online, accounts[i])
		}
	}
	return out, nil
}

// refollow makes the connection follow other accounts. It returns the topics that have to be tuned.
func (c *connection) refollow(wanted map[string]bool) (topics []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	followed := make(map[string]follow, len(wanted))
	for account := range c.followed {
		topics = append(topics, presenceTopic(account))
	}
	for account := range wanted {
		topics = append(topics, presenceTopic(account))
		followed[account] = follow{online: c.followed[account].online}
	}
	c.followed = followed
	return topics
}

// unfollow ends that the connection follows an account, and reports whether it was shown online.
func (c *connection) unfollow(account string) (online bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	online = c.followed[account].online
	delete(c.followed, account)
	return online
}

// follows lists the accounts that the connection follows.
func (c *connection) follows() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.followed))
}

// saw notes what an event tells of a followed account, and reports whether that is news.
func (c *connection) saw(account string, online bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, follows := c.followed[account]
	if !follows {
		return false
	}
	c.followed[account] = follow{online: online, heard: true}
	return was.online != online
}

// asked notes whether a followed account was online when that was asked, unless an event has come since the question
// began, which knows better. It returns what counts.
func (c *connection) asked(account string, online bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, follows := c.followed[account]
	if !follows {
		return false
	}
	if !was.heard {
		c.followed[account] = follow{online: online}
		return online
	}
	return was.online
}

// sightMoved looks again at whom a client of tim.v1 may see, after an end of friendship or membership. It must not block.
func (h *Hub) sightMoved(c *connection, target chat.Target, e event) {
	var doubtful []string
	switch followed := c.follows(); {
	case len(followed) == 0:
	case e.Kind == chat.FriendshipEnded && slices.Contains(followed, target.User):
		doubtful = []string{target.User}
	case e.Kind == chat.GroupDissolved || e.Kind == chat.MemberLeft && e.Account == c.account:
		doubtful = followed
	case e.Kind == chat.MemberLeft && slices.Contains(followed, e.Account):
		doubtful = []string{e.Account}
	}
	if len(doubtful) > 0 {
		sights := make([]sight, len(doubtful))
		for i, account := range doubtful {
			sights[i] = sight{c, account}
		}
		c.spawn("who may be seen", func() { h.review(sights) })
	}
}

// sight is a connection and an account that it follows.
type sight struct {
	*connection

	followed string
}

// reviewPage is how many sights are one question.
const reviewPage = 200

// review ends that connections follow those whom they may not see any more.
func (h *Hub) review(sights []sight) {
	for page := range slices.Chunk(sights, reviewPage) {
		questions := make([]chat.Sight, len(page))
		for i, s := range page {
			questions[i] = chat.Sight{Viewer: s.account, Account: s.followed}
		}
		ctx, cancel := h.within(h.Timing.StoreTimeout)
		visible, err := h.chat.MaySeeAll(ctx, questions)
		for i, s := range page {
			switch {
			case err != nil: // or it would see what it may not
				if i == 0 || page[i-1].connection != s.connection {
					s.refuse(err)
				}
			case !visible[i]:
				if s.unfollow(s.followed) {
					s.enqueue(presenceFrame(s.followed, false))
				}
				_ = h.tune(ctx, s.connection, presenceTopic(s.followed)) // which only leaves
			}
		}
		cancel()
	}
}

func presenceFrame(account string, online bool) []byte {
	return encode(frames.Presence{Type: frames.PresenceTypePresence, Account: account, Online: online})
}
