package fault

import (
	"strconv"
	"strings"
)

// Phrase is a text of a success, or of a failed transfer of a file, of which the contract gives the words. The Chinese ones
// are those of Tim.md.
type Phrase int

// The phrases. Their texts stand in the table below.
const (
	Registered Phrase = iota
	LoggedIn
	LoggedOut
	FriendAdded
	FriendDeleted
	GroupCreated
	GroupJoined
	GroupLeft
	MemberAdded
	MemberRemoved
	GroupHandedOver
	GroupDissolved
	MessageSent
	Changed
	Uploaded
	UploadFailed
	DownloadFailed
	phraseCount
)

// phrases is never changed.
//
//nolint:gochecknoglobals // a constant in all but name: Go has no constant arrays
var phrases = [phraseCount]Text{
	Registered:      {"注册成功", "registered"},
	LoggedIn:        {"登录成功", "logged in"},
	LoggedOut:       {"退出成功", "logged out"},
	FriendAdded:     {"添加好友成功", "friend added"},
	FriendDeleted:   {"删除好友成功", "friend deleted"},
	GroupCreated:    {"创建成功", "group created"},
	GroupJoined:     {"加入群聊成功", "group joined"},
	GroupLeft:       {"退出群聊成功", "group left"},
	MemberAdded:     {"添加成员成功", "member added"},
	MemberRemoved:   {"移除成员成功", "member removed"},
	GroupHandedOver: {"转让群聊成功", "group handed over"},
	GroupDissolved:  {"解散群聊成功", "group dissolved"},
	MessageSent:     {"发送成功", "sent"},
	Changed:         {"修改成功", "changed"},
	Uploaded:        {"上传成功", "uploaded"},
	UploadFailed:    {"上传失败", "upload failed"},
	DownloadFailed:  {"下载失败", "download failed"},
}

// Phrases lists every phrase there is.
func Phrases() []Phrase {
	all := make([]Phrase, phraseCount)
	for i := range all {
		all[i] = Phrase(i)
	}
	return all
}

// Text returns the phrase in every language.
func (p Phrase) Text() Text { return phrases[p] }

// In returns the phrase in a language, Chinese unless it is English.
func (p Phrase) In(l Language) string { return phrases[p].In(l) }

// The bare texts of the contract's sockets, which speak Chinese alone. api/frames.yaml has them as patterns.
const (
	SocketNotOnline   = "用户未上线"
	SocketDirectEnded = "客户端下线,一对一通信连接断开" // after an account
)

// SocketOpened tells a group's sockets that a member has come online. name is its display name.
func SocketOpened(name string) string { return "用户" + name + "上线" }

// SocketClosed tells a group's sockets that a member has gone offline. name is its display name.
func SocketClosed(name string) string { return "用户" + name + "下线" }

// SocketOnline lists the display names of a group's members online, after one has come.
func SocketOnline(names []string) string {
	return "当前群在线用户列表：[" + strings.Join(names, ", ") + "]"
}

// SocketRemaining lists the display names of a group's members online, after one has gone.
func SocketRemaining(names []string) string {
	return "当前群聊在线用户[" + strings.Join(names, ", ") + "]"
}

// SocketOnlineCount is what takes the place of both lists in a large group.
func SocketOnlineCount(n int) string { return "当前群在线人数：" + strconv.Itoa(n) }
