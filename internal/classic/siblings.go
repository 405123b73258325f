package classic

import "time"

// findSiblings lists the account's other sockets of this conversation on this node.
func (c *Conversation) findSiblings() (siblings []*Conversation) {
	for _, s := range c.service.Feed.Subscribers(c.topic) {
		other, ok := s.(interface{ Common() *Conversation })
		if ok && other.Common() != c && other.Common().account() == c.account() && other.Common().id == c.id {
			siblings = append(siblings, other.Common())
		}
	}
	return siblings
}

// awaitSiblings has a new socket begin after what its siblings have read by now. One of them may be the very one that the
// client has just closed without waiting for an answer: its close frame may be unread yet. A sibling that has vanished is
// waited for during Timing.SiblingTimeout. Before the messages flow.
func (c *Conversation) awaitSiblings() {
	siblings := c.siblings
	c.siblings = nil
	if len(siblings) == 0 {
		return
	}
	patience := time.NewTimer(c.service.Timing.SiblingTimeout)
	defer patience.Stop()
	questions := make([]<-chan struct{}, len(siblings))
	for i, sibling := range siblings {
		questions[i] = sibling.probe()
	}
	for i, sibling := range siblings {
		select {
		case <-questions[i]:
			continue
		case <-sibling.ended:
			continue
		case <-patience.C:
		}
		break // the others aren't waited for either
	}
	ctx, cancel := c.service.within()
	defer cancel()
	opening, err := c.service.Chat.Open(ctx, c.account(), c.target)
	if err != nil {
		c.Refuse(err)
		return
	}
	read := opening.Delivered
	for _, sibling := range siblings {
		read = max(read, sibling.confirmed())
	}
	c.resume(read)
}

// probe asks the peer whether it has read everything. The channel is closed when it has said so, or when there is nothing to
// ask. When the peer never says so, the socket's end is the answer.
func (c *Conversation) probe() <-chan struct{} {
	p := probe{answered: make(chan struct{})}
	if !c.reader.Started(c.id) { // it has been sent no message, and may be asking us the same
		close(p.answered)
		return p.answered
	}
	c.mark.mu.Lock()
	p.ping = c.mark.pings + 1
	c.mark.probes = append(c.mark.probes, p)
	c.mark.mu.Unlock()
	c.conn.Ping()
	return p.answered
}
