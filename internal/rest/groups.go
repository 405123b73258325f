package rest

import (
	"context"

	"tim/gen/api"
	"tim/internal/fault"
)

// CreateGroup creates a group.
func (h *handlers) CreateGroup(ctx context.Context, r api.CreateGroupRequestObject) (api.CreateGroupResponseObject, error) {
	group, err := h.chat.CreateGroup(ctx, requestOf(ctx).session.Account, r.Params.CreateUserAccount, r.Params.GroupName)
	if err != nil {
		return nil, err
	}
	out := api.CreateGroup200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, fault.GroupCreated)}
	out.Data.GroupID = group
	return out, nil
}

// JoinGroup makes the caller a member.
func (h *handlers) JoinGroup(ctx context.Context, r api.JoinGroupRequestObject) (api.JoinGroupResponseObject, error) {
	err := h.chat.JoinGroup(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	return api.JoinGroup200JSONResponse(done(ctx, fault.GroupJoined)), nil
}

// LeaveGroup ends the caller's membership.
func (h *handlers) LeaveGroup(ctx context.Context, r api.LeaveGroupRequestObject) (api.LeaveGroupResponseObject, error) {
	err := h.chat.LeaveGroup(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	return api.LeaveGroup200JSONResponse(done(ctx, fault.GroupLeft)), nil
}

// AddMember makes a friend of the owner a member.
func (h *handlers) AddMember(ctx context.Context, r api.AddMemberRequestObject) (api.AddMemberResponseObject, error) {
	err := h.chat.AddMember(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID, r.Params.MemberAccount)
	if err != nil {
		return nil, err
	}
	return api.AddMember200JSONResponse(done(ctx, fault.MemberAdded)), nil
}

// RemoveMember ends the membership of another account.
func (h *handlers) RemoveMember(ctx context.Context, r api.RemoveMemberRequestObject) (api.RemoveMemberResponseObject, error) {
	err := h.chat.RemoveMember(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID, r.Params.MemberAccount)
	if err != nil {
		return nil, err
	}
	return api.RemoveMember200JSONResponse(done(ctx, fault.MemberRemoved)), nil
}

// TransferGroup makes a member the owner.
func (h *handlers) TransferGroup(ctx context.Context, r api.TransferGroupRequestObject) (api.TransferGroupResponseObject, error) {
	err := h.chat.HandOver(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID, r.Params.MemberAccount)
	if err != nil {
		return nil, err
	}
	return api.TransferGroup200JSONResponse(done(ctx, fault.GroupHandedOver)), nil
}

// DissolveGroup deletes a group.
func (h *handlers) DissolveGroup(ctx context.Context, r api.DissolveGroupRequestObject) (api.DissolveGroupResponseObject, error) {
	err := h.chat.Dissolve(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	return api.DissolveGroup200JSONResponse(done(ctx, fault.GroupDissolved)), nil
}

// GetGroups lists the caller's groups.
func (h *handlers) GetGroups(ctx context.Context, r api.GetGroupsRequestObject) (api.GetGroupsResponseObject, error) {
	groups, err := h.chat.Groups(ctx, requestOf(ctx).session.Account, r.Params.Account, or(r.Params.After, 0), int(or(r.Params.Limit, 100)))
	if err != nil {
		return nil, err
	}
	out := api.GetGroups200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: make([]api.Group, len(groups))}
	for i, g := range groups {
		out.Data[i] = api.Group{GroupID: g.ID, GroupName: g.Name, Owner: g.Owner}
	}
	return out, nil
}

// GetGroupMembers lists a group's members.
func (h *handlers) GetGroupMembers(ctx context.Context, r api.GetGroupMembersRequestObject) (api.GetGroupMembersResponseObject, error) {
	users, err := h.chat.Members(ctx, requestOf(ctx).session.Account, r.Params.Account, r.Params.GroupID, or(r.Params.After, ""), int(or(r.Params.Limit, 100)))
	if err != nil {
		return nil, err
	}
	return api.GetGroupMembers200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: usersOf(users)}, nil
}
