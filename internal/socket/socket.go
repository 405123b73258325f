// Package socket is RFC 6455 on the server's side: the upgrade of a request, frames in and out, one bounded queue and one
// writer for each connection, heartbeats, rate limits, and the close handshake. It knows no chat and no account. A connection's
// owner implements Handler.
//
//	socket.go    close codes, and Handler, the interface to a connection's owner
//	server.go    what a node's connections share: settings, clock, and closing them all
//	upgrade.go   a request becomes a connection
//	conn.go      one connection: its queue and its state
//	writer.go    … its writer, which writes queued frames in batches of about 16 kB
//	reader.go    … its reader, which takes messages and control frames
//	source.go    … reading frames from the network
//	close.go     … closing it, from either side
//	limit.go     … pausing a peer that sends too fast
//	workers.go   the pooled goroutines that handle messages
//	wheel.go     the heartbeats of all connections, on one goroutine
//	deadline.go  a deadline that requests share
//
// # How an idle connection stays small
//
// It holds one goroutine, which waits for the next frame on the smallest stack that Go has (2 kB), and a Conn with 216
// bytes of buffer. The writer's goroutine exists only while something is queued. A message is handled on one of the pooled
// workers: handling grows a stack to 8 kB and more, which Go doesn't give back while the goroutine lives.
package socket

import (
	"context"

	"github.com/gorilla/websocket"
)

// Code is the code of a close frame, RFC 6455 section 7.4.
type Code int

// The codes that RFC 6455 section 7.4.1 defines and a server may send.
const (
	Normal      Code = websocket.CloseNormalClosure
	GoingAway   Code = websocket.CloseGoingAway
	Protocol    Code = websocket.CloseProtocolError
	Unsupported Code = websocket.CloseUnsupportedData
	Invalid     Code = websocket.CloseInvalidFramePayloadData
	Policy      Code = websocket.ClosePolicyViolation
	TooLarge    Code = websocket.CloseMessageTooBig
	Internal    Code = websocket.CloseInternalServerErr
	TryLater    Code = websocket.CloseTryAgainLater

	noStatus Code = websocket.CloseNoStatusReceived
	abnormal Code = websocket.CloseAbnormalClosure
)

// TooSlow is the reason of a close with TryLater whose peer doesn't read what it is sent.
const TooSlow = "too slow a reader"

// TooMany is the reason of a close with Policy whose owner has opened too many later connections.
const TooMany = "too many later sockets of the account"

// Handler is what a connection is for. Text, Pong and PeerClosed are never called at the same time; the other methods may
// be called at any time. A panic in any of them closes the connection with Internal.
type Handler interface {
	// Text takes a whole message of the peer, on a worker. The next one is read when it has returned. ctx ends with the
	// server.
	Text(ctx context.Context, message []byte)

	// PingPayload appends the payload of the next ping, at most 125 bytes. written is the token of the last frame that goes out
	// before it. The connection's lock is held: PingPayload must not call the connection.
	PingPayload(payload []byte, written int64) []byte

	// Pong takes the payload of a pong, asked for or not.
	Pong(payload []byte)

	// Written tells that every frame with a token up to this one is with the kernel. On the writer.
	Written(token int64)

	// More queues what is still to be sent, after WantMore has been called and the queue is empty. It reports whether it
	// wants to be called again when the queue is empty once more. It may wait for the database. On the writer.
	More() (again bool)

	// Heartbeat is called once in each Timing.Heartbeat.
	Heartbeat()

	// LastWords returns the code to close with and a last text frame, nil for none, of a close that this side begins. The
	// connection's lock is held: LastWords must not call the connection. Not asked when the peer broke RFC 6455.
	LastWords(code Code, reason string) (final Code, frame []byte)

	// PeerClosed tells that the peer's close frame has come. It is answered after PeerClosed returns, so what the handler
	// stores now is there when the peer comes back. clean tells whether the peer has read all that was written.
	PeerClosed(clean bool)

	// Closed tells that the connection has ended, or never began. Called once; no other method is called afterwards,
	// but for a Heartbeat that runs already.
	Closed()
}
