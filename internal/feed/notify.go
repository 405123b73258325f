package feed

import (
	"context"

	"tim/internal/chat"
)

// Notify publishes an event of package chat. It never waits and never fails. For chat.Options.
func (f *Feed) Notify(_ context.Context, e chat.Event) {
	if event := eventOf(e); event != nil {
		f.Publish(event)
		return
	}
	f.log.Error("an event that no socket would hear of", "event", string(e.Kind)) // a test keeps this from happening
}

// eventOf is chat's event as this package has it, nil for an unknown kind.
func eventOf(e chat.Event) Event {
	sides := Sides{Group: e.Group, Accounts: e.Accounts}
	change := GroupChange{Conversation: e.Conversation, Group: e.Group, Account: e.Account, Actor: e.Actor, Seq: e.Seq}
	switch e.Kind {
	case chat.MessageStored:
		return &MessageStored{Sides: sides, Conversation: e.Conversation, Message: *e.Message}
	case chat.MarksMoved:
		return &MarksMoved{Sides: sides, Conversation: e.Conversation, Account: e.Account, Received: e.Marks.Received, Read: e.Marks.Read}
	case chat.FriendshipBegan:
		return &FriendshipBegan{Sides: sides, Account: e.Account, Actor: e.Actor}
	case chat.FriendshipEnded:
		return &FriendshipEnded{Sides: sides, Conversation: e.Conversation, Account: e.Account, Actor: e.Actor}
	case chat.MemberJoined:
		return &MemberJoined{change}
	case chat.MemberLeft:
		return &MemberLeft{change}
	case chat.OwnerChanged:
		return &OwnerChanged{change}
	case chat.GroupDissolved:
		return &GroupDissolved{change}
	default:
		return nil
	}
}
