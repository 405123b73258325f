package feed

import "tim/internal/chat"

// Event is something that sockets on any node may have to hear of. There is one type for each kind.
type Event interface {
	// kind names the event on the bus.
	kind() string
	// topics is where the event is published.
	topics() []string
	// target names the conversation that the event is about, as those name it who have subscribed to a topic.
	target(topic string) chat.Target
	// tell calls the subscriber's method for the event.
	tell(s Subscriber, n *Announcement)
}

// Subscriber is a socket. Its methods are called on the bus's goroutine, one at a time for each topic: they must not block,
// nor join or leave topics.
type Subscriber interface { //nolint:interfacebloat // one method for each kind, so that the compiler asks every socket about a new one
	MessageStored(n *Announcement, e *MessageStored)
	MarksMoved(n *Announcement, e *MarksMoved)
	AccountTyping(n *Announcement, e *AccountTyping)
	PresenceMoved(n *Announcement, e *PresenceMoved)

	FriendshipBegan(n *Announcement, e *FriendshipBegan)
	FriendshipEnded(n *Announcement, e *FriendshipEnded)
	MemberJoined(n *Announcement, e *MemberJoined)
	MemberLeft(n *Announcement, e *MemberLeft)
	OwnerChanged(n *Announcement, e *OwnerChanged)
	GroupDissolved(n *Announcement, e *GroupDissolved)

	TextSent(n *Announcement, e *TextSent)
	WentOffline(n *Announcement, e *WentOffline)
	RosterMoved(n *Announcement, e *RosterMoved)

	SessionMoved(n *Announcement, e *SessionMoved)
}

// kinds lists an empty event of every kind. A kind that isn't listed can't be decoded.
func kinds() []Event {
	return []Event{
		new(MessageStored), new(MarksMoved), new(AccountTyping), new(PresenceMoved),
		new(FriendshipBegan), new(FriendshipEnded), new(MemberJoined), new(MemberLeft), new(OwnerChanged), new(GroupDissolved),
		new(TextSent), new(WentOffline), new(RosterMoved), new(SessionMoved),
	}
}

// Sides are those whom a conversation concerns: a group's members, or two accounts, which are the same when an account
// writes to itself.
type Sides struct {
	Group    int32    `json:"group,omitempty"` // 0 one to one
	Accounts []string `json:"accounts,omitempty"`
}

// SidesOf are those whom an account's conversation concerns.
func SidesOf(account string, t chat.Target) Sides {
	if t.Group != 0 {
		return Sides{Group: t.Group}
	}
	return Sides{Accounts: []string{account, t.User}}
}

// target is the conversation as the subscribers to a topic name it: one to one each names the other.
func (s Sides) target(topic string) chat.Target {
	if s.Group != 0 {
		return chat.ToGroup(s.Group)
	}
	for _, account := range s.Accounts {
		if AccountTopic(account) != topic {
			return chat.ToUser(account)
		}
	}
	if len(s.Accounts) > 0 { // to oneself
		return chat.ToUser(s.Accounts[0])
	}
	return chat.Target{}
}

// topicsOf are the topics of both accounts, or of the group.
func (s Sides) topicsOf(conversation string) []string {
	if s.Group != 0 {
		return []string{ConversationTopic(conversation)}
	}
	return accountTopics(s.Accounts)
}

func accountTopics(accounts []string) []string {
	topics := make([]string, 0, len(accounts))
	for i, account := range accounts {
		if i == 0 || account != accounts[0] {
			topics = append(topics, AccountTopic(account))
		}
	}
	return topics
}

// MessageStored tells of a new message.
type MessageStored struct {
	Sides

	Conversation string
	Message      chat.Message
}

func (*MessageStored) kind() string                         { return "message" }
func (e *MessageStored) topics() []string                   { return e.topicsOf(e.Conversation) }
func (e *MessageStored) tell(s Subscriber, n *Announcement) { s.MessageStored(n, e) }

// MarksMoved tells how far an account has received and read a conversation.
type MarksMoved struct {
	Sides

	Conversation string `json:"conversation"`
	Account      string `json:"account"`
	Received     int64  `json:"received"` // a seq
	Read         int64  `json:"read"`     // a seq
}

func (*MarksMoved) kind() string                         { return "marks" }
func (e *MarksMoved) topics() []string                   { return e.topicsOf(e.Conversation) }
func (e *MarksMoved) tell(s Subscriber, n *Announcement) { s.MarksMoved(n, e) }

// AccountTyping tells that an account is writing. It isn't stored. One to one, Accounts are the one who writes and the other.
type AccountTyping struct {
	Sides

	Conversation string `json:"conversation"`
	Account      string `json:"account"`
}

func (*AccountTyping) kind() string { return "typing" }

// topics are the group's, or the other's: the one who writes needs not hear of it.
func (e *AccountTyping) topics() []string {
	if e.Group == 0 && len(e.Accounts) > 1 {
		return accountTopics(e.Accounts[1:])
	}
	return e.topicsOf(e.Conversation)
}
func (e *AccountTyping) tell(s Subscriber, n *Announcement) { s.AccountTyping(n, e) }

// PresenceMoved tells whether an account is online.
type PresenceMoved struct {
	Account string `json:"account"`
	Online  bool   `json:"online"`
}

func (*PresenceMoved) kind() string                         { return "presence" }
func (e *PresenceMoved) topics() []string                   { return []string{PresenceTopic(e.Account)} }
func (e *PresenceMoved) target(string) chat.Target          { return chat.ToUser(e.Account) }
func (e *PresenceMoved) tell(s Subscriber, n *Announcement) { s.PresenceMoved(n, e) }

// FriendshipBegan tells two accounts that they are friends.
type FriendshipBegan struct {
	Sides

	Account string `json:"account"` // whom Actor has befriended
	Actor   string `json:"actor"`
}

func (*FriendshipBegan) kind() string                         { return "befriended" }
func (e *FriendshipBegan) topics() []string                   { return accountTopics(e.Accounts) }
func (e *FriendshipBegan) tell(s Subscriber, n *Announcement) { s.FriendshipBegan(n, e) }

// FriendshipEnded tells two accounts that they are friends no longer.
type FriendshipEnded struct {
	Sides

	Conversation string `json:"conversation"` // "" if it stays open
	Account      string `json:"account"`      // whose friendship Actor has ended
	Actor        string `json:"actor"`
}

func (*FriendshipEnded) kind() string                         { return "unfriended" }
func (e *FriendshipEnded) topics() []string                   { return accountTopics(e.Accounts) }
func (e *FriendshipEnded) tell(s Subscriber, n *Announcement) { s.FriendshipEnded(n, e) }

// GroupChange is what changes of a group have in common.
type GroupChange struct {
	Conversation string `json:"conversation"`
	Group        int32  `json:"group"`
	Account      string `json:"account,omitempty"` // whom it is about
	Actor        string `json:"actor,omitempty"`   // who did it
	Seq          int64  `json:"seq,omitempty"`     // the group's newest message when it happened
}

func (e *GroupChange) topics() []string          { return []string{ConversationTopic(e.Conversation)} }
func (e *GroupChange) target(string) chat.Target { return chat.ToGroup(e.Group) }

// memberTopics are the group's topic and the member's own: before it has joined, and after it has left, it doesn't hear the
// group's.
func (e *GroupChange) memberTopics() []string {
	return append(e.topics(), AccountTopic(e.Account))
}

// MemberJoined tells that Account has joined a group, added by Actor if that is another.
type MemberJoined struct{ GroupChange }

func (*MemberJoined) kind() string                         { return "joined" }
func (e *MemberJoined) topics() []string                   { return e.memberTopics() }
func (e *MemberJoined) tell(s Subscriber, n *Announcement) { s.MemberJoined(n, e) }

// MemberLeft tells that Account has left a group, removed by Actor if that is another.
type MemberLeft struct{ GroupChange }

func (*MemberLeft) kind() string                         { return "left" }
func (e *MemberLeft) topics() []string                   { return e.memberTopics() }
func (e *MemberLeft) tell(s Subscriber, n *Announcement) { s.MemberLeft(n, e) }

// OwnerChanged tells that Account owns a group.
type OwnerChanged struct{ GroupChange }

func (*OwnerChanged) kind() string                         { return "owner" }
func (e *OwnerChanged) tell(s Subscriber, n *Announcement) { s.OwnerChanged(n, e) }

// GroupDissolved tells that a group is no more.
type GroupDissolved struct{ GroupChange }

func (*GroupDissolved) kind() string                         { return "dissolved" }
func (e *GroupDissolved) tell(s Subscriber, n *Announcement) { s.GroupDissolved(n, e) }

// TextSent brings a text of the chat socket, which isn't stored, from an account to another's chat sockets.
type TextSent struct {
	From string `json:"from"`
	To   string `json:"to"`
	Text string `json:"text"`
}

func (*TextSent) kind() string                         { return "text" }
func (e *TextSent) topics() []string                   { return []string{AccountTopic(e.To)} }
func (e *TextSent) target(string) chat.Target          { return chat.ToUser(e.From) }
func (e *TextSent) tell(s Subscriber, n *Announcement) { s.TextSent(n, e) }

// WentOffline tells an account's own sockets that its last chat socket has closed.
type WentOffline struct {
	Account string `json:"account"`
}

func (*WentOffline) kind() string                         { return "offline" }
func (e *WentOffline) topics() []string                   { return []string{AccountTopic(e.Account)} }
func (e *WentOffline) target(string) chat.Target          { return chat.ToUser(e.Account) }
func (e *WentOffline) tell(s Subscriber, n *Announcement) { s.WentOffline(n, e) }

// RosterMoved brings a group's sockets of the contract the texts about who is online.
type RosterMoved struct {
	Conversation string   `json:"conversation"`
	Group        int32    `json:"group"`
	Texts        []string `json:"texts"`
	Socket       string   `json:"socket,omitempty"`     // the newcomer's, whose messages flow after the texts
	OnlySocket   bool     `json:"onlySocket,omitempty"` // the texts are for that one alone
}

func (*RosterMoved) kind() string                         { return "roster" }
func (e *RosterMoved) topics() []string                   { return []string{ConversationTopic(e.Conversation)} }
func (e *RosterMoved) target(string) chat.Target          { return chat.ToGroup(e.Group) }
func (e *RosterMoved) tell(s Subscriber, n *Announcement) { s.RosterMoved(n, e) }

// SessionMoved tells an account's connections that a session's token was renewed, or that one was used after its renewal, which
// has ended the session.
type SessionMoved struct {
	Account    string `json:"account"`
	Session    string `json:"session"`
	Connection string `json:"connection,omitempty"` // which has renewed it, "" for a request
	Reused     bool   `json:"reused,omitempty"`
}

func (*SessionMoved) kind() string                         { return "session" }
func (e *SessionMoved) topics() []string                   { return []string{AccountTopic(e.Account)} }
func (e *SessionMoved) target(string) chat.Target          { return chat.ToUser(e.Account) }
func (e *SessionMoved) tell(s Subscriber, n *Announcement) { s.SessionMoved(n, e) }
