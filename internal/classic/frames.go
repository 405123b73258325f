package classic

import (
	"strings"
	"time"

	"tim/gen/sockets"
	"tim/internal/chat"
)

// frameTime is the contract's time: the server's zone, no offset, three decimals.
const frameTime = "2006-01-02T15:04:05.000"

// chatMessage is a message as a frame; nil for one that these sockets don't show.
func chatMessage(m chat.Message, zone *time.Location) []byte {
	text, shown := m.Text()
	if !shown {
		return nil
	}
	frame := sockets.ChatMessage{FromUser: m.Sender, Time: time.UnixMilli(m.SentAt).In(zone).Format(frameTime), Message: text}
	return frame.JSON()
}

func connected() []byte { return new(sockets.Connected).JSON() }

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

func onlineList(names []string) string {
	return string(sockets.GroupOnlineList(strings.Join(names, ", ")))
}

func remainingList(names []string) string {
	return string(sockets.GroupRemainingList(strings.Join(names, ", ")))
}
