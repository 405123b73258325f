package chat

import "context"

// EventKind tells what an Event is about.
type EventKind string

// The events of this package.
const (
	MessageStored   EventKind = "message"    // Conversation, Message
	MarksMoved      EventKind = "marks"      // Conversation, Account, Marks
	FriendshipBegan EventKind = "befriended" // Accounts
	FriendshipEnded EventKind = "unfriended" // Conversation, Accounts
	MemberJoined    EventKind = "joined"     // Conversation, Group, Account, Seq
	MemberLeft      EventKind = "left"       // Conversation, Group, Account, Actor
	GroupDissolved  EventKind = "dissolved"  // Conversation, Group, Actor
	OwnerChanged    EventKind = "owner"      // Conversation, Group, Account, Actor
)

// Event is news that sockets on any node must hear. Which fields are set depends on the kind.
type Event struct {
	Kind         EventKind `json:"kind"`
	Conversation string    `json:"conversation,omitempty"`
	Message      *Message  `json:"message,omitempty"`
	Marks        *Marks    `json:"marks,omitempty"`
	Account      string    `json:"account,omitempty"` // whom it is about
	Actor        string    `json:"actor,omitempty"`   // who did it
	Group        int32     `json:"group,omitempty"`
	Seq          int64     `json:"seq,omitempty"` // the conversation's newest message when it happened

	// Accounts are whom it concerns; empty when it concerns everyone in Conversation, a group's.
	Accounts []string `json:"accounts,omitempty"`
}

func (s *Service) tell(ctx context.Context, e Event) { s.Notify(context.WithoutCancel(ctx), e) }

// tellSides tells both accounts of a one-to-one conversation, or a group's members.
func (s *Service) tellSides(ctx context.Context, account string, t Target, e Event) {
	if e.Group = t.Group; t.Group == 0 {
		e.Accounts = []string{account, t.User}
	}
	s.tell(ctx, e)
}
