package realtime

import "tim/internal/chat"

// Queued is how many bytes wait on the connection on which most do.
func (h *Hub) Queued() (most int) {
	for _, c := range h.connections() {
		c.mu.Lock()
		most = max(most, c.queued)
		c.mu.Unlock()
	}
	return most
}

// Open counts the connections.
func (h *Hub) Open() int { return len(h.connections()) }

// QueueLimit is queueLimit.
const QueueLimit = queueLimit

// Listening counts the connections that listen to a group.
func (h *Hub) Listening(group int32) int {
	return len(h.topics.of(conversationTopic(chat.ToGroup(group).Conversation(""))))
}

// HoldSyncs takes all turns to sync. Release gives them back.
func (h *Hub) HoldSyncs() (release func()) {
	for range mostSyncing {
		h.syncing <- struct{}{}
	}
	return func() {
		for range mostSyncing {
			<-h.syncing
		}
	}
}
