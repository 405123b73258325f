package rest

import (
	"context"

	"tim/gen/api"
	"tim/internal/fault"
)

// AddFriend makes two accounts friends.
func (h *handlers) AddFriend(ctx context.Context, r api.AddFriendRequestObject) (api.AddFriendResponseObject, error) {
	err := h.chat.AddFriend(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.FriendAccount)
	if err != nil {
		return nil, err
	}
	return api.AddFriend200JSONResponse(done(ctx, fault.FriendAdded)), nil
}

// DeleteFriend ends a friendship.
func (h *handlers) DeleteFriend(ctx context.Context, r api.DeleteFriendRequestObject) (api.DeleteFriendResponseObject, error) {
	err := h.chat.DeleteFriend(ctx, requestOf(ctx).session.Account, r.Params.UserAccount, r.Params.FriendAccount)
	if err != nil {
		return nil, err
	}
	return api.DeleteFriend200JSONResponse(done(ctx, fault.FriendDeleted)), nil
}

// GetFriends lists friends, as a bare array.
func (h *handlers) GetFriends(ctx context.Context, r api.GetFriendsRequestObject) (api.GetFriendsResponseObject, error) {
	friends, err := h.chat.Friends(ctx, requestOf(ctx).session.Account, r.Params.Account)
	if err != nil {
		return nil, err
	}
	users := make(api.GetFriends200JSONResponse, len(friends))
	for i, f := range friends {
		users[i] = userOf(f)
	}
	return users, nil
}
