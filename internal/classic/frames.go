package classic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tim/gen/frames"
	"tim/internal/chat"
	"tim/internal/fault"
)

// The bare texts of the contract; api/frames.yaml has them as patterns.
const (
	notOnlineText   = "用户未上线"
	directEndedText = "客户端下线,一对一通信连接断开"
)

func memberOpened(name string) string { return "用户" + name + "上线" }
func memberClosed(name string) string { return "用户" + name + "下线" }

func onlineList(names []string) string {
	return "当前群在线用户列表：[" + strings.Join(names, ", ") + "]"
}

func remainingList(names []string) string {
	return "当前群聊在线用户[" + strings.Join(names, ", ") + "]"
}
func onlineCount(n int) string { return fmt.Sprintf("当前群在线人数：%d", n) }

// frameTime is the contract's time: the server's zone, no offset, three decimals.
const frameTime = "2006-01-02T15:04:05.000"

// chatMessage is a message as readers of the contract's sockets get it, nil for one that they don't.
func chatMessage(m chat.Message, zone *time.Location) []byte {
	text, shown := m.Text()
	if !shown {
		return nil
	}
	return encode(frames.ChatMessage{
		FromUser: m.Sender, Time: time.UnixMilli(m.SentAt).In(zone).Format(frameTime), Message: text,
	})
}

func connected() []byte {
	return encode(frames.Connected{Code: fault.CodeSuccess, Message: frames.ConnectedMessageEmpty})
}

func onlineUsers(accounts []string) []byte {
	users := make([]frames.OnlineUser, len(accounts))
	for i, account := range accounts {
		users[i] = frames.OnlineUser{Username: account}
	}
	return encode(frames.OnlineUsers{Users: users})
}

func directText(from, text string) []byte {
	return encode([]any{frames.DirectTextFrom{From: from}, frames.DirectTextBody{Text: text}})
}

// encode is json.Marshal for frames, which always marshal, without its escapes for HTML.
func encode(frame any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(frame); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
