package realtime

import (
	"cmp"
	"time"

	"tim/internal/socket"
)

// Timing is how long things may take. A zero field means what the contract says, or what New puts there; tests set
// shorter times.
type Timing struct {
	// Handshake bounds what a handshake may take once its header is read. Default: 10 s.
	Handshake time.Duration
	// PeerTimeout is how long a peer may leave pings unanswered. Default: 45 s.
	PeerTimeout time.Duration
	// FrameStall is how long a frame that has begun to come may stand still; pongs can't come meanwhile. However steadily
	// it drips, the whole of it must be there within PeerTimeout. Default: 10 s.
	FrameStall time.Duration
	// Heartbeat is how often a peer is pinged. Default: 15 s.
	Heartbeat time.Duration
	// SlowAfter is how long one write may stand still before its reader is called too slow; it is noticed at the next
	// Heartbeat. Default: 10 s.
	SlowAfter time.Duration
	// WriteTimeout is when such a write is given up. Until then a reader that reads again learns why it is closed.
	// Default: 30 s.
	WriteTimeout time.Duration
	// CloseTimeout is how long a peer may take to answer a close frame. Default: 5 s.
	CloseTimeout time.Duration
	// StoreEvery is how often a connection's mark is stored at most while it is open. Default: 1 s.
	StoreEvery time.Duration
	// StoreTimeout bounds what a socket asks of the database and of presence for itself. Default: 10 s.
	StoreTimeout time.Duration
	// FrameTimeout bounds what a client's frame may take; it covers a group commit and its retries. Default: 35 s.
	FrameTimeout time.Duration
	// RosterTimeout is how long a newcomer's messages wait for the frames that announce it. Default: 2 s.
	RosterTimeout time.Duration
	// SiblingTimeout is how long a new socket of the contract waits for the account's others of its conversation to say what
	// they have read. Default: 500 ms.
	SiblingTimeout time.Duration
	// FetchAgain is when a message that was announced, but can't be read yet, is looked for again. Default: 100 ms.
	FetchAgain time.Duration
	// LookAgain is when presence is asked about once more after the bus may have lost news: by then what a dead node left is forgotten. Default: 1 min.
	LookAgain time.Duration
	// LastWords is what the sockets have to end in, once Close has cut them. Default: 1 s.
	LastWords time.Duration
}

func (t Timing) withDefaults() Timing {
	return Timing{
		Handshake:      cmp.Or(t.Handshake, 10*time.Second),
		PeerTimeout:    cmp.Or(t.PeerTimeout, 45*time.Second),
		FrameStall:     cmp.Or(t.FrameStall, 10*time.Second),
		Heartbeat:      cmp.Or(t.Heartbeat, 15*time.Second),
		SlowAfter:      cmp.Or(t.SlowAfter, 10*time.Second),
		WriteTimeout:   cmp.Or(t.WriteTimeout, 30*time.Second),
		CloseTimeout:   cmp.Or(t.CloseTimeout, 5*time.Second),
		StoreEvery:     cmp.Or(t.StoreEvery, time.Second),
		StoreTimeout:   cmp.Or(t.StoreTimeout, 10*time.Second),
		FrameTimeout:   cmp.Or(t.FrameTimeout, 35*time.Second),
		RosterTimeout:  cmp.Or(t.RosterTimeout, 2*time.Second),
		SiblingTimeout: cmp.Or(t.SiblingTimeout, 500*time.Millisecond),
		FetchAgain:     cmp.Or(t.FetchAgain, 100*time.Millisecond),
		LookAgain:      cmp.Or(t.LookAgain, time.Minute),
		LastWords:      cmp.Or(t.LastWords, time.Second),
	}
}

// socket is what of it package socket needs.
func (t Timing) socket() socket.Timing {
	return socket.Timing{
		Handshake: t.Handshake, PeerTimeout: t.PeerTimeout, FrameStall: t.FrameStall, Heartbeat: t.Heartbeat, SlowAfter: t.SlowAfter,
		WriteTimeout: t.WriteTimeout, CloseTimeout: t.CloseTimeout, LastWords: t.LastWords,
	}
}
