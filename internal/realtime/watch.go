package realtime

import (
	"slices"
	"sync"
	"time"
)

// watch looks again at whom this node's connections follow, after the bus may have lost news: on one goroutine and by
// pages, however many connections there are.
type watch struct {
	news    chan struct{} // there was a loss
	running sync.WaitGroup
}

func newWatch() *watch { return &watch{news: make(chan struct{}, 1)} }

// lost has it look soon, and once more a while later. It never blocks.
func (w *watch) lost() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// watchPresence looks after every loss, until the hub's life ends. Who seems to have gone is believed to only Timing.LookAgain
// later: other nodes may not have entered their sockets again yet, and those of a dead one are forgotten by then.
func (h *Hub) watchPresence() {
	again := time.NewTimer(h.Timing.LookAgain)
	again.Stop()
	var due, next time.Time // when it looks once more, and after that; zero for not
	for {
		select {
		case <-h.life.Done():
			again.Stop()
			return
		case <-h.watch.news:
			h.reviewAll()
			h.lookAll(true)
			next = time.Now().Add(h.Timing.LookAgain)
		case <-again.C:
			h.lookAll(false)
			due = time.Time{}
		}
		if due.IsZero() && !next.IsZero() {
			due, next = next, time.Time{}
			again.Reset(time.Until(due))
		}
	}
}

// reviewAll ends that connections follow those whom they may not see any more.
func (h *Hub) reviewAll() {
	defer h.survive("sights after a loss")
	var page []sight
	for _, c := range h.connections() {
		for _, account := range c.follows() {
			page = append(page, sight{c, account})
		}
		if len(page) >= reviewPage {
			h.review(page)
			page = page[:0]
		}
	}
	h.review(page)
}

// onlinePage is how many accounts' presence is asked for at once.
const onlinePage = 500

// lookAll tells the followers of this node who has come, and, unless only arrivals are believed, who has gone.
func (h *Hub) lookAll(arrivals bool) {
	defer h.survive("presence after a loss")
	for page := range slices.Chunk(h.topics.withPrefix(presenceTopic("")), onlinePage) {
		ctx, cancel := h.within(h.Timing.StoreTimeout)
		online := h.Online(ctx, page)
		cancel()
		if h.life.Err() != nil {
			return
		}
		for i, account := range page {
			if online[i] || !arrivals {
				h.tellFollowers(account, online[i])
			}
		}
	}
}

func (h *Hub) tellFollowers(account string, online bool) {
	t := h.topics.get(presenceTopic(account))
	if t == nil {
		return
	}
	frame := presenceFrame(account, online)
	t.each(func(c *connection) {
		if c.saw(account, online) {
			c.enqueue(frame)
		}
	})
}
