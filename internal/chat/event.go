package chat

import "context"

// EventKind tells what an Event is about.
type EventKind string

// The events of this package.
const (
	MessageStored   EventKind = "message"    // Conversation, Message
	FriendshipEnded EventKind = "unfriended" // Conversation
	MemberLeft      EventKind = "left"       // Conversation, Account
)

// Event is news that sockets on any node must hear. Which fields are set depends on the kind.
type Event struct {
	Kind         EventKind `json:"kind"`
	Conversation string    `json:"conversation,omitempty"`
	Message      *Message  `json:"message,omitempty"`
	Account      string    `json:"account,omitempty"`
}

func (s *Service) tell(ctx context.Context, e Event) { s.Notify(context.WithoutCancel(ctx), e) }
