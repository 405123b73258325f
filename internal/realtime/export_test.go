package realtime

import (
	"slices"

	"tim/internal/chat"
	"tim/internal/feed"
)

// AccountParam is accountParam.
func AccountParam(escaped string) (string, error) { return accountParam(escaped, "useraccount") }

// GroupParam is groupParam.
func GroupParam(text string) (int32, error) { return groupParam(text, "GroupID") }

// Topics lists what is subscribed to.
func (h *Hub) Topics() []string { return slices.Sorted(slices.Values(h.Feed.Topics())) }

// Closing counts the connections that are ending.
func (h *Hub) Closing() (n int) {
	for _, c := range h.sockets.Conns() {
		if c.Closing() {
			n++
		}
	}
	return n
}

// Queued is how many bytes wait on the connection on which most do.
func (h *Hub) Queued() (most int) {
	for _, c := range h.sockets.Conns() {
		most = max(most, c.Waiting())
	}
	return most
}

// Open counts the connections.
func (h *Hub) Open() int { return len(h.sockets.Conns()) }

// Listening counts the connections that have subscribed to a group.
func (h *Hub) Listening(group int32) int {
	return len(h.Feed.Subscribers(feed.ConversationTopic(chat.ToGroup(group).Conversation(""))))
}
