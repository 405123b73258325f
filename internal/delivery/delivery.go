// Package delivery brings the messages of conversations to one socket: in order, none missing, none twice. A new message goes
// out at once if it is the next in order and the socket's queue has room. Everything else is fetched from the database when
// the queue is empty. So memory doesn't grow with what was missed.
//
//	delivery.go    what readers share
//	reader.go      the conversations of one socket, and what they lack
//	membership.go  which conversations those are, on a socket that carries many
package delivery

import (
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"tim/internal/chat"
	"tim/internal/feed"
	"tim/internal/socket"
)

const (
	// pageSize is how many messages are fetched at once.
	pageSize = 64
	// fetchAttempts is how often a message that was announced is looked for in vain before it is taken for a mistake.
	fetchAttempts = 50
)

// Source fetches messages for the readers of a node. Safe for concurrent use.
type Source struct {
	sockets *socket.Server
	chat    *chat.Service
	timeout time.Duration // of a question to the database
	again   time.Duration // when a message that was announced, but can't be read yet, is looked for again
	log     *slog.Logger
	fetches singleflight.Group
}

// NewSource returns a Source. timeout bounds a question to the database; again is when a message that was announced, but
// can't be read yet, is looked for again.
func NewSource(sockets *socket.Server, c *chat.Service, timeout, again time.Duration, log *slog.Logger) *Source {
	return &Source{sockets: sockets, chat: c, timeout: timeout, again: again, log: log}
}

// fetchMissing asks for a page of what a reader lacks that has heard of messages up to known. Readers that lack the same at
// the same moment ask once: one lost message of a large group is missed by all of its readers. The answer may be older than
// the question then, but not older than known, so a reader that knows of nothing newer than it has asks for itself. The
// page is shared and must not be changed.
func (s *Source) fetchMissing(conversation string, after, known int64) ([]chat.Message, error) {
	ask := func() (any, error) {
		ctx, cancel := s.sockets.Within(s.timeout)
		defer cancel()
		return s.chat.Missed(ctx, conversation, after, pageSize)
	}
	var page any
	var err error
	if known > after {
		page, err, _ = s.fetches.Do(fmt.Sprintf("%d %d %s", after, known, conversation), ask)
	} else {
		page, err = ask()
	}
	messages, _ := page.([]chat.Message)
	return messages, err
}

// Kind is what the readers of one kind of socket have in common.
type Kind struct {
	Source *Source
	// Face and SenderFace tell under which index of Announcement.Frames a message's frame is kept: for readers, and for its sender.
	Face, SenderFace feed.Face
	// Frame encodes a message for a reader that names its conversation so; nil for a message that it isn't shown.
	Frame func(t chat.Target, m chat.Message) []byte
	// Confirmed tells that the socket's handler counts what is written (Handler.Written), by seq. Such a socket has one
	// conversation.
	Confirmed bool
	// NoEcho tells that an account isn't sent its own messages.
	NoEcho bool
}
