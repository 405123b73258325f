package socket

import "time"

// longestPause is how long a peer that is kept waiting may overlook that its connection ends.
const longestPause = 100 * time.Millisecond

// Pause keeps a peer that sends too fast waiting: nothing is read from it meanwhile, and nothing dropped. frames is how many
// frames what it sent counts for. For the handler's Text.
func (c *Conn) Pause(frames int) {
	if c.limiter == nil || frames <= 0 {
		return
	}
	now := time.Now()
	for left := frames; left > 0; left -= c.limiter.Burst() { // a limiter gives no more than its burst at once
		some := min(left, c.limiter.Burst())
		if some == frames && c.limiter.AllowN(now, some) { // cheaper than a reservation, which few need
			return
		}
		c.wait(c.limiter.ReserveN(now, some).DelayFrom(now))
	}
}

// wait lets time pass before the next frame is read.
func (c *Conn) wait(delay time.Duration) {
	if delay <= 0 {
		return
	}
	for end := time.Now().Add(delay); !c.Closing() && c.server.life.Err() == nil; {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		time.Sleep(min(left, longestPause)) // the delay is the purpose
	}
	c.heard()
}
