package timv1

import (
	"tim/gen/sockets"
	"tim/internal/delivery"
	"tim/internal/feed"
)

// mostMarkReaders is the largest number of a group's connections on this node to which a member's marks go. Beyond it they go
// only to the member's own connections: n members who each move a mark would cost n² frames.
const mostMarkReaders = 50

// concerned tells whether events concern the connection: from its first sync on.
func (s *Session) concerned() bool { return s.reader.State() != delivery.Idle }

// hears tells whether the connection hears of what happens in a conversation.
func (s *Session) hears(n *feed.Announcement, conversation string) bool {
	if n.Target.Group == 0 {
		return s.concerned()
	}
	return s.reader.Carries(conversation)
}

// send sends an event's frame.
func (s *Session) send(n *feed.Announcement, push func() sockets.TimV1Push) {
	s.sendOnce(n, feed.TimV1, push)
}

// sendOnce sends a frame of an event, which is encoded once for all subscribers of its topic.
func (s *Session) sendOnce(n *feed.Announcement, face feed.Face, push func() sockets.TimV1Push) {
	s.conn.Send(s.frame(n, face, push))
}

// frame is a frame of an event, which is encoded once for all subscribers of its topic.
func (s *Session) frame(n *feed.Announcement, face feed.Face, push func() sockets.TimV1Push) []byte {
	if n.Frames[face] == nil {
		n.Frames[face] = push().JSON()
	}
	return n.Frames[face]
}

// MessageStored implements feed.Subscriber. Whoever sends has read what came before, so its own connections, and one to one the
// peer's, are told of its marks, unless the message before is its own. A group's other members aren't told, since that would
// double the frames of each message, and nobody is told of what a notice moves.
func (s *Session) MessageStored(n *feed.Announcement, e *feed.MessageStored) {
	if !s.reader.Offer(n, e) || n.Target.Group != 0 && e.Message.Sender != s.account() || e.Message.IsNotice() {
		return
	}
	s.sendOnce(n, feed.TimV1Marks, func() sockets.TimV1Push {
		seq := e.Message.Seq
		return &sockets.MarksFrame{Conversation: named(n.Target), Account: e.Message.Sender, Received: seq, Read: seq}
	})
}

// MarksMoved implements feed.Subscriber.
func (s *Session) MarksMoved(n *feed.Announcement, e *feed.MarksMoved) {
	many := e.Group != 0 && n.Subscribers > mostMarkReaders
	if many && s.account() != e.Account || !s.hears(n, e.Conversation) {
		return
	}
	s.send(n, func() sockets.TimV1Push {
		return &sockets.MarksFrame{Conversation: named(n.Target), Account: e.Account, Received: e.Received, Read: e.Read}
	})
}

// AccountTyping implements feed.Subscriber.
func (s *Session) AccountTyping(n *feed.Announcement, e *feed.AccountTyping) {
	if s.account() == e.Account || !s.hears(n, e.Conversation) {
		return
	}
	s.send(n, func() sockets.TimV1Push {
		return &sockets.TypingFrame{Conversation: named(n.Target), Account: e.Account}
	})
}

// PresenceMoved implements feed.Subscriber.
func (s *Session) PresenceMoved(n *feed.Announcement, e *feed.PresenceMoved) {
	if !s.concerned() { // it hears of no group, and so not of every end of a right to see
		s.checkPresence(e.Account, e.Online)
		return
	}
	if s.saw(e.Account, e.Online) {
		s.send(n, func() sockets.TimV1Push { return &sockets.Presence{Account: e.Account, Online: e.Online} })
	}
}

// FriendshipBegan implements feed.Subscriber.
func (s *Session) FriendshipBegan(n *feed.Announcement, e *feed.FriendshipBegan) {
	if s.concerned() {
		s.notice(n, sockets.NoticeEventBefriended, e.Account, e.Actor)
	}
	s.checkLater(n.Target.User)
}

// FriendshipEnded implements feed.Subscriber.
func (s *Session) FriendshipEnded(n *feed.Announcement, e *feed.FriendshipEnded) {
	if s.concerned() {
		s.notice(n, sockets.NoticeEventUnfriended, e.Account, e.Actor)
	}
	s.checkLater(n.Target.User)
}

// MemberJoined implements feed.Subscriber.
func (s *Session) MemberJoined(n *feed.Announcement, e *feed.MemberJoined) {
	s.checkMates(&e.GroupChange)
	if !s.concerned() {
		return
	}
	s.groupNotice(n, &e.GroupChange, sockets.NoticeEventJoined)
	if e.Account == s.account() {
		s.memberMoved(&e.GroupChange, true)
	}
}

// checkMates looks again at whom the connection may see, now that an account has joined a group or left it: all that it
// follows, if that account is its own.
func (s *Session) checkMates(e *feed.GroupChange) {
	if e.Account == s.account() {
		s.checkLater(s.allFollowed()...)
	} else {
		s.checkLater(e.Account)
	}
}

// MemberLeft implements feed.Subscriber.
func (s *Session) MemberLeft(n *feed.Announcement, e *feed.MemberLeft) {
	s.checkMates(&e.GroupChange)
	if !s.concerned() {
		return
	}
	s.groupNotice(n, &e.GroupChange, sockets.NoticeEventLeft)
	if e.Account == s.account() {
		s.memberMoved(&e.GroupChange, false)
	}
}

// OwnerChanged implements feed.Subscriber.
func (s *Session) OwnerChanged(n *feed.Announcement, e *feed.OwnerChanged) {
	if s.concerned() {
		s.groupNotice(n, &e.GroupChange, sockets.NoticeEventOwner)
	}
}

// GroupDissolved implements feed.Subscriber.
func (s *Session) GroupDissolved(n *feed.Announcement, e *feed.GroupDissolved) {
	if !s.concerned() {
		return
	}
	s.groupNotice(n, &e.GroupChange, sockets.NoticeEventDissolved)
	s.memberMoved(&e.GroupChange, false)
	s.checkLater(s.allFollowed()...)
}

// groupNotice tells the client of a change of a group. The account that joins or leaves hears of it on its own topic, to
// which it always subscribes. The others hear of it on the group's.
func (s *Session) groupNotice(n *feed.Announcement, e *feed.GroupChange, event sockets.NoticeEvent) {
	own := event == sockets.NoticeEventJoined || event == sockets.NoticeEventLeft
	if own && e.Account == s.account() {
		if n.Topic.Name() != feed.AccountTopic(s.account()) {
			return
		}
	} else if !s.reader.Carries(e.Conversation) {
		return
	}
	s.noticeUnlessShown(e, s.noticeFrame(n, event, e.Account, e.Actor))
}

func (s *Session) notice(n *feed.Announcement, event sockets.NoticeEvent, account, actor string) {
	s.conn.Send(s.noticeFrame(n, event, account, actor))
}

func (s *Session) noticeFrame(n *feed.Announcement, event sockets.NoticeEvent, account, actor string) []byte {
	return s.frame(n, feed.TimV1, func() sockets.TimV1Push {
		out := sockets.Notice{Event: event, Conversation: named(n.Target)}
		if account != "" {
			out.Account = &account
		}
		if actor != "" {
			out.Actor = &actor
		}
		return &out
	})
}

// TextSent implements feed.Subscriber: it concerns the contract's sockets alone.
func (s *Session) TextSent(*feed.Announcement, *feed.TextSent) {}

// WentOffline implements feed.Subscriber: it concerns the contract's sockets alone.
func (s *Session) WentOffline(*feed.Announcement, *feed.WentOffline) {}

// RosterMoved implements feed.Subscriber: it concerns the contract's sockets alone.
func (s *Session) RosterMoved(*feed.Announcement, *feed.RosterMoved) {}

// SessionMoved implements feed.Subscriber. Of a renewal the other connections of its session hear. Of a token that was used
// after its renewal those of the account's other sessions hear; its own are closed.
func (s *Session) SessionMoved(n *feed.Announcement, e *feed.SessionMoved) {
	own := e.Session == s.session.ID
	if own == e.Reused || e.Connection == s.conn.ID() {
		return
	}
	s.send(n, func() sockets.TimV1Push {
		event := sockets.SessionFrameEventRenewed
		if e.Reused {
			event = sockets.SessionFrameEventTokenReused
		}
		return &sockets.SessionFrame{Event: event, Session: e.Session}
	})
}
