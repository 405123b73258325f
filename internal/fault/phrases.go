package fault

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
