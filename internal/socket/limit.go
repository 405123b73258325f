package socket

import (
	"errors"
	"time"
)

const (
	// longestPause is how long a peer that is kept waiting may overlook that its connection ends.
	longestPause = 100 * time.Millisecond
	// BytesPerMessage is how many bytes of a message make it count as one message more: to decode them is as much work.
	BytesPerMessage = 4 << 10
	// mostOwed is how many frames of a message are read before the owner's pace is asked.
	mostOwed = 32
	// maxLinger is how much of what a peer still sends is read and thrown away once its connection is closing, in bytes.
	maxLinger = 16 << 20
	// lingerStep is after how many of these bytes lingerPause passes: a peer that never stops is read at 10 MiB a second at most.
	lingerStep  = 256 << 10
	lingerPause = 25 * time.Millisecond
	// frameWork is the number of bytes that cost as much time to throw away as a frame.
	frameWork = 512
)

// errDrained says that a peer goes on sending although its connection is closing.
var errDrained = errors.New("too much was sent behind the close")

// Count makes the message that is being handled count as more than one, for a peer that sends too fast. For the handler's Text.
func (c *Conn) Count(messages int) { c.owed += int32(min(max(messages, 0), 1<<20)) }

// pause keeps a peer that sends too fast waiting: nothing is read from it meanwhile, and nothing dropped. On the reader, or the
// worker.
func (c *Conn) pause() {
	owed := int(c.owed)
	c.owed = 0
	if c.server.Pace == nil || owed == 0 {
		return
	}
	c.wait(c.server.Pace(c.owner, owed))
}

// drain counts a frame that came while the connection is closing. On the reader.
func (c *Conn) drain() error {
	before := c.drained
	if c.drained += c.source.left + frameWork; c.drained > maxLinger {
		return errDrained
	}
	if c.drained/lingerStep > before/lingerStep {
		time.Sleep(lingerPause) // the delay is the purpose
	}
	return nil
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
