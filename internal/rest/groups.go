package rest

import (
	"context"

	"tim/gen/api"
	"tim/internal/fault"
)

// CreateGroup makes a group.
func (h *handlers) CreateGroup(ctx context.Context, r api.CreateGroupRequestObject) (api.CreateGroupResponseObject, error) {
	group, err := h.chat.CreateGroup(ctx, requestOf(ctx).session.Account, r.Params.CreateUserAccount, r.Params.GroupName)
	if err != nil {
		return nil, err
	}
	out := api.CreateGroup200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, groupCreated)}
	out.Data.GroupID = group
	return out, nil
}

// JoinGroup makes an account a member.
func (h *handlers) JoinGroup(ctx context.Context, r api.JoinGroupRequestObject) (api.JoinGroupResponseObject, error) {
	err := h.chat.JoinGroup(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	return api.JoinGroup200JSONResponse(done(ctx, groupJoined)), nil
}

// LeaveGroup ends a membership.
func (h *handlers) LeaveGroup(ctx context.Context, r api.LeaveGroupRequestObject) (api.LeaveGroupResponseObject, error) {
	err := h.chat.LeaveGroup(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	return api.LeaveGroup200JSONResponse(done(ctx, groupLeft)), nil
}
