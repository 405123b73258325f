package fault

import (
	"maps"
	"net/http"
	"slices"
)

// The reasons. The table below and api/openapi.yaml say what they mean.
const (
	AccountReserved      Reason = "account_reserved"
	AccountTaken         Reason = "account_taken"
	AccountTooSimilar    Reason = "account_too_similar"
	BannedFromGroup      Reason = "banned_from_group"
	BodyTooLarge         Reason = "body_too_large"
	Busy                 Reason = "busy"
	ClientIDReused       Reason = "client_id_reused"
	ExpiredLink          Reason = "expired_link"
	ExpiredToken         Reason = "expired_token"
	FileTooLarge         Reason = "file_too_large"
	FriendIsSelf         Reason = "friend_is_self"
	GroupClosed          Reason = "group_closed"
	GroupFull            Reason = "group_full"
	GroupNameTaken       Reason = "group_name_taken"
	Internal             Reason = "internal"
	InvalidBody          Reason = "invalid_body"
	InvalidInvite        Reason = "invalid_invite"
	InvalidLink          Reason = "invalid_link"
	InvalidParameter     Reason = "invalid_parameter"
	InvalidToken         Reason = "invalid_token"
	InviteRequired       Reason = "invite_required"
	MalformedJSON        Reason = "malformed_json"
	MalformedUpload      Reason = "malformed_upload"
	MethodNotAllowed     Reason = "method_not_allowed"
	MissingToken         Reason = "missing_token"
	NoAvatar             Reason = "no_avatar"
	NotAMember           Reason = "not_a_member"
	NotFriends           Reason = "not_friends"
	NotInGroup           Reason = "not_in_group"
	NotTheOwner          Reason = "not_the_owner"
	NotYourAccount       Reason = "not_your_account"
	OriginNotAllowed     Reason = "origin_not_allowed"
	QuotaExceeded        Reason = "quota_exceeded"
	RangeNotSatisfiable  Reason = "range_not_satisfiable"
	RateLimited          Reason = "rate_limited"
	RegistrationClosed   Reason = "registration_closed"
	RequestTimeout       Reason = "request_timeout"
	SessionEnded         Reason = "session_ended"
	TokenReused          Reason = "token_reused"
	StorageFull          Reason = "storage_full"
	TooManyAttempts      Reason = "too_many_attempts"
	TooManyRegistrations Reason = "too_many_registrations"
	TooManyFriends       Reason = "too_many_friends"
	TooManyGroups        Reason = "too_many_groups"
	TooManyGroupsToday   Reason = "too_many_groups_today"
	TooManyConnections   Reason = "too_many_connections"
	Unavailable          Reason = "unavailable"
	UnknownAccount       Reason = "unknown_account"
	UnknownFile          Reason = "unknown_file"
	UnknownGroup         Reason = "unknown_group"
	UnknownRoute         Reason = "unknown_route"
	UnsupportedEncoding  Reason = "unsupported_encoding"
	UnsupportedFileType  Reason = "unsupported_file_type"
	UnsupportedMediaType Reason = "unsupported_media_type"
	UpgradeRequired      Reason = "upgrade_required"
	WrongCredentials     Reason = "wrong_credentials"
)

// Language of the texts.
type Language string

// The languages. Chinese is that of Tim.md.
const (
	Chinese Language = "zh"
	English Language = "en"
)

// Text is a text in every language.
type Text struct{ Chinese, English string }

// In returns the text in a language, Chinese unless it is English.
func (t Text) In(l Language) string {
	if l == English {
		return t.English
	}
	return t.Chinese
}

// The three values of the envelope's code.
const (
	CodeSuccess          = 200
	CodeFailure          = 500
	CodeNotAuthenticated = 401
)

type row struct {
	status int
	text   Text
	// on has the texts that Tim.md gives for single operations, by operationId.
	on map[string]Text
}

// The text that Tim.md gives for several reasons.
const (
	unauthenticatedChinese = "用户认证失败请查询登录"
	unauthenticatedEnglish = "not authenticated; please log in"
)

// table is never changed.
//
//nolint:gochecknoglobals // a constant in all but name: Go has no constant maps
var table = map[Reason]row{
	AccountReserved:     {status: http.StatusConflict, text: Text{"此账号已被保留", "this account is reserved"}},
	AccountTaken:        {status: http.StatusConflict, text: Text{"此账号已存在", "this account exists already"}},
	AccountTooSimilar:   {status: http.StatusConflict, text: Text{"此账号与已有账号过于相似", "this account looks like one that exists"}},
	BannedFromGroup:     {status: http.StatusForbidden, text: Text{"您已被移出该群聊", "removed from this group; only its owner can add you again"}},
	BodyTooLarge:        {status: http.StatusRequestEntityTooLarge, text: Text{"请求内容过大", "the request body is too large"}},
	Busy:                {status: http.StatusServiceUnavailable, text: Text{"服务器繁忙，请稍后再试", "busy; try again later"}},
	ClientIDReused:      {status: http.StatusConflict, text: Text{"消息标识已用于其他内容", "the client id was used for another message"}},
	ExpiredLink:         {status: http.StatusForbidden, text: Text{"链接已过期", "the link has expired"}},
	ExpiredToken:        {status: http.StatusUnauthorized, text: Text{unauthenticatedChinese, unauthenticatedEnglish}},
	FileTooLarge:        {status: http.StatusRequestEntityTooLarge, text: Text{"上传失败", "upload failed: the file is too large"}},
	FriendIsSelf:        {status: http.StatusUnprocessableEntity, text: Text{"不能添加自己为好友", "nobody is their own friend"}},
	GroupClosed:         {status: http.StatusForbidden, text: Text{"该群聊不接受加入", "the group takes no new members"}},
	GroupFull:           {status: http.StatusConflict, text: Text{"群成员数量已达上限", "the group has as many members as it may"}},
	GroupNameTaken:      {status: http.StatusConflict, text: Text{"创建失败", "not created: the name is taken"}},
	Internal:            {status: http.StatusInternalServerError, text: Text{"服务器内部错误", "internal error"}},
	InvalidBody:         {status: http.StatusUnprocessableEntity, text: Text{"内容不符合要求", "the body is not as it should be"}},
	InvalidInvite:       {status: http.StatusForbidden, text: Text{"邀请码无效", "the invitation code is not valid"}},
	InvalidLink:         {status: http.StatusForbidden, text: Text{"链接无效", "the link is not valid"}},
	InvalidParameter:    {status: http.StatusBadRequest, text: Text{"参数有误", "a parameter is not as it should be"}},
	InvalidToken:        {status: http.StatusUnauthorized, text: Text{unauthenticatedChinese, unauthenticatedEnglish}},
	InviteRequired:      {status: http.StatusForbidden, text: Text{"该群聊只能由群主邀请加入", "members are added by the group's owner"}},
	MalformedJSON:       {status: http.StatusBadRequest, text: Text{"JSON格式错误", "malformed JSON"}},
	MalformedUpload:     {status: http.StatusBadRequest, text: Text{"上传失败", "upload failed: malformed form"}},
	MethodNotAllowed:    {status: http.StatusMethodNotAllowed, text: Text{"请求方法不支持", "method not allowed"}},
	MissingToken:        {status: http.StatusUnauthorized, text: Text{unauthenticatedChinese, unauthenticatedEnglish}},
	NoAvatar:            {status: http.StatusNotFound, text: Text{"没有头像", "no avatar"}},
	NotFriends:          {status: http.StatusForbidden, text: Text{"对方不是好友", "not a friend"}},
	NotTheOwner:         {status: http.StatusForbidden, text: Text{"只有群主可以操作", "only the group's owner may do this"}},
	NotYourAccount:      {status: http.StatusForbidden, text: Text{"无权操作其他账号", "the account is somebody else's"}},
	OriginNotAllowed:    {status: http.StatusForbidden, text: Text{"来源不被允许", "origin not allowed"}},
	QuotaExceeded:       {status: http.StatusRequestEntityTooLarge, text: Text{"上传失败：账号的存储空间已用完", "upload failed: the account's files have as many bytes as they may"}},
	RateLimited:         {status: http.StatusTooManyRequests, text: Text{"发送过快，请稍后再试", "too fast; try again later"}},
	RequestTimeout:      {status: http.StatusRequestTimeout, text: Text{"请求未能及时完成", "the request did not come in time"}},
	RangeNotSatisfiable: {status: http.StatusRequestedRangeNotSatisfiable, text: Text{"请求范围无效", "range not satisfiable"}},
	RegistrationClosed:  {status: http.StatusForbidden, text: Text{"注册未开放", "registration is closed"}},
	SessionEnded:        {status: http.StatusUnauthorized, text: Text{unauthenticatedChinese, unauthenticatedEnglish}},
	TokenReused:         {status: http.StatusUnauthorized, text: Text{unauthenticatedChinese, unauthenticatedEnglish}},
	StorageFull:         {status: http.StatusInsufficientStorage, text: Text{"服务器存储空间不足", "the server has no space left"}},
	TooManyAttempts:     {status: http.StatusTooManyRequests, text: Text{"尝试次数过多，请稍后再试", "too many attempts; try again later"}},
	TooManyRegistrations: {
		status: http.StatusTooManyRequests, text: Text{"注册过于频繁，请稍后再试", "too many registrations; try again later"},
	},
	TooManyFriends:     {status: http.StatusConflict, text: Text{"好友数量已达上限", "one of the two has as many friends as an account may"}},
	TooManyGroups:      {status: http.StatusConflict, text: Text{"拥有的群聊数量已达上限", "the account owns as many groups as it may"}},
	TooManyGroupsToday: {status: http.StatusTooManyRequests, text: Text{"今日创建群聊数量已达上限", "as many groups were created today as may be"}},
	TooManyConnections: {status: http.StatusServiceUnavailable, text: Text{"连接过多，请稍后再试", "too many connections; try again later"}},
	Unavailable:        {status: http.StatusServiceUnavailable, text: Text{"服务暂不可用，请稍后再试", "unavailable; try again later"}},
	UnknownFile:        {status: http.StatusNotFound, text: Text{"下载失败", "download failed: no such file"}},
	UnknownRoute:       {status: http.StatusNotFound, text: Text{"接口不存在", "no such route"}},
	UnsupportedFileType: {
		status: http.StatusUnsupportedMediaType,
		text:   Text{"上传文件类型错误", "unsupported file type"},
		on: map[string]Text{
			"uploadHeadPic": {"上传图片类型jpg/png/bmp", "the picture must be jpg, png or bmp"},
			"uploadChatPic": {"上传图片类型jpg/png/bmp", "the picture must be jpg, png or bmp"},
			"uploadMp3":     {"上传文件类型mp3", "the file must be mp3"},
			"uploadMp4":     {"上传文件类型mp4", "the file must be mp4"},
		},
	},
	UnsupportedEncoding:  {status: http.StatusUnsupportedMediaType, text: Text{"不支持的内容编码", "unsupported content encoding"}},
	UnsupportedMediaType: {status: http.StatusUnsupportedMediaType, text: Text{"不支持的内容类型", "unsupported content type"}},
	UpgradeRequired:      {status: http.StatusUpgradeRequired, text: Text{"需要WebSocket连接", "a WebSocket handshake is needed"}},
	WrongCredentials:     {status: http.StatusUnauthorized, text: Text{"用户名或密码错误", "wrong account or password"}},
	UnknownAccount: {
		status: http.StatusNotFound,
		text:   Text{"账号不存在", "no such account"},
		on: map[string]Text{
			"addFriend":    {"添加用户失败，查看用户账号是否正确", "friend not added; check the account"},
			"deleteFriend": {"删除用户失败，查看用户账号是否正确", "friend not deleted; check the account"},
		},
	},
	UnknownGroup: {
		status: http.StatusNotFound,
		text:   Text{"群聊不存在", "no such group"},
		on: map[string]Text{
			"joinGroup":  {"加入群聊错误", "not joined: no such group"},
			"leaveGroup": {"退出群聊错误", "not left: no such group"},
		},
	},
	NotAMember: {status: http.StatusForbidden, text: Text{"不是群成员", "not a member of the group"}},
	NotInGroup: {
		status: http.StatusNotFound,
		text:   Text{"对方不是群成员", "the account is no member of the group"},
		on:     map[string]Text{"leaveGroup": {"退出群聊错误", "not left: not a member of the group"}},
	},
}

// Reasons returns every reason, sorted.
func Reasons() []Reason { return slices.Sorted(maps.Keys(table)) }

// Status returns the fault's HTTP status.
func (f *Fault) Status() int { return f.row().status }

// Code returns the envelope's code: CodeNotAuthenticated for status 401, otherwise CodeFailure.
func (f *Fault) Code() int32 {
	if f.row().status == http.StatusUnauthorized {
		return CodeNotAuthenticated
	}
	return CodeFailure
}

// Text returns the fault's text for an operation of api/openapi.yaml, "" for no operation.
func (f *Fault) Text(operation string) Text {
	r := f.row()
	if t, ok := r.on[operation]; ok {
		return t
	}
	return r.text
}

func (f *Fault) row() row {
	if r, ok := table[f.Reason]; ok {
		return r
	}
	return table[Internal]
}
