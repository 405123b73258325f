package rest

import (
	"context"

	"tim/gen/api"
	"tim/internal/fault"
)

// The texts of successes, the original's in Chinese. They are only ever read.
//
//nolint:gochecknoglobals // constants in all but name: Go has no constant structs
var (
	registered      = fault.Text{Chinese: "注册成功", English: "registered"}
	loggedIn        = fault.Text{Chinese: "登录成功", English: "logged in"}
	loggedOut       = fault.Text{Chinese: "退出成功", English: "logged out"}
	friendAdded     = fault.Text{Chinese: "添加好友成功", English: "friend added"}
	friendDeleted   = fault.Text{Chinese: "删除好友成功", English: "friend deleted"}
	groupCreated    = fault.Text{Chinese: "创建成功", English: "group created"}
	groupJoined     = fault.Text{Chinese: "加入群聊成功", English: "group joined"}
	groupLeft       = fault.Text{Chinese: "退出群聊成功", English: "group left"}
	memberAdded     = fault.Text{Chinese: "添加成员成功", English: "member added"}
	memberRemoved   = fault.Text{Chinese: "移除成员成功", English: "member removed"}
	groupHandedOver = fault.Text{Chinese: "转让群聊成功", English: "group handed over"}
	groupDissolved  = fault.Text{Chinese: "解散群聊成功", English: "group dissolved"}
	messageSent     = fault.Text{Chinese: "发送成功", English: "sent"}
	changed         = fault.Text{Chinese: "修改成功", English: "changed"}
	uploaded        = fault.Text{Chinese: "上传成功", English: "uploaded"}
	uploadFailed    = fault.Text{Chinese: "上传失败", English: "upload failed"}
	downloadFailed  = fault.Text{Chinese: "下载失败", English: "download failed"}
)

// done is the envelope of a success that carries no data.
func done(ctx context.Context, text fault.Text) api.Done {
	return api.Done{Code: fault.CodeSuccess, Message: say(ctx, text)}
}

// say returns a text in the language that the request asked for.
func say(ctx context.Context, text fault.Text) string { return text.In(requestOf(ctx).language) }
