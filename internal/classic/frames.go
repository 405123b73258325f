package classic

import (
	"strings"
	"time"

	"tim/gen/sockets"
	"tim/internal/chat"
)

// list is how the contract lists display names.
func list(names []string) string { return strings.Join(names, ", ") }

func onlineList(names []string) string    { return sockets.GroupOnlineList(list(names)) }
func remainingList(names []string) string { return sockets.GroupRemainingList(list(names)) }

// frameTime is the contract's time: the server's zone, no offset, three decimals.
const frameTime = "2006-01-02T15:04:05.000"

// chatMessage is a message as readers of the contract's sockets get it, nil for one that they don't.
func chatMessage(m chat.Message, zone *time.Location) []byte {
	text, shown := m.Text()
	if !shown {
		return nil
	}
	frame := sockets.ChatMessage{FromUser: m.Sender, Time: time.UnixMilli(m.SentAt).In(zone).Format(frameTime), Message: text}
	return frame.JSON()
}

func connected() []byte {
	var frame sockets.Connected
	return frame.JSON()
}

func onlineUsers(accounts []string) []byte {
	frame := sockets.OnlineUsers{Users: make([]sockets.OnlineUser, len(accounts))}
	for i, account := range accounts {
		frame.Users[i].Username = account
	}
	return frame.JSON()
}

func directText(from, text string) []byte {
	frame := sockets.DirectTextDelivery{DirectTextFrom: sockets.DirectTextFrom{From: from}, DirectTextBody: sockets.DirectTextBody{Text: text}}
	return frame.JSON()
}
