package chat

import "context"

// EventKind is the kind of an Event.
type EventKind string

// The kinds, each with the fields that it sets.
const (
	MessageStored   EventKind = "message"    // Conversation, Message
	MarksMoved      EventKind = "marks"      // Conversation, Account, Marks
	FriendshipBegan EventKind = "befriended" // Accounts, Account, Actor
	FriendshipEnded EventKind = "unfriended" // Conversation (unless it stays open), Accounts, Account, Actor
	MemberJoined    EventKind = "joined"     // Conversation, Group, Account, Seq
	MemberLeft      EventKind = "left"       // Conversation, Group, Account, Actor
	GroupDissolved  EventKind = "dissolved"  // Conversation, Group, Actor
	OwnerChanged    EventKind = "owner"      // Conversation, Group, Account, Actor
)

// Event is a change that sockets on any node must hear of. Its kind says which fields are set.
type Event struct {
	Kind         EventKind
	Conversation string
	Message      *Message
	Marks        *Marks
	Account      string // the account that it concerns
	Actor        string // the account that caused it, "" for an operator
	Group        int32
	Seq          int64 // the seq of the conversation's newest message after the event

	// Accounts are the accounts to notify. If it is empty, everyone in Conversation is notified, which is a group's.
	Accounts []string
}

func (s *Service) tell(ctx context.Context, e Event) { s.Notify(context.WithoutCancel(ctx), e) }

// tellSides notifies both accounts of a one-to-one conversation, or a group's members.
func (s *Service) tellSides(ctx context.Context, account string, t Target, e Event) {
	if e.Group = t.Group; t.Group == 0 {
		e.Accounts = []string{account, t.User}
	}
	s.tell(ctx, e)
}
