package rest

import (
	"context"

	"tim/gen/api"
	accounts "tim/internal/account"
	"tim/internal/chat"
	"tim/internal/fault"
	"tim/internal/wire"
)

// SendMessage stores a message.
func (h *handlers) SendMessage(ctx context.Context, r api.SendMessageRequestObject) (api.SendMessageResponseObject, error) {
	content, err := wire.Content(r.Body.Body, r.Body.ReplyTo, r.Body.Mentions)
	if err != nil {
		return nil, err
	}
	target := wire.Target(r.Body.To)
	message, err := h.chat.Send(ctx, requestOf(ctx).session.Account, target, content, r.Body.ClientID)
	if err != nil {
		return nil, err
	}
	return api.SendMessage200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, fault.MessageSent), Data: wire.Sent(target, message)}, nil
}

// GetHistory returns a page of a conversation's messages.
func (h *handlers) GetHistory(ctx context.Context, r api.GetHistoryRequestObject) (api.GetHistoryResponseObject, error) {
	account, target, err := side(ctx, r.Params.Account, r.Params.FriendAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	page, err := wire.Page(r.Params.After, r.Params.Before, int(or(r.Params.Limit, 50)))
	if err != nil {
		return nil, err
	}
	excerpt, err := h.chat.History(ctx, account, target, page)
	if err != nil {
		return nil, err
	}
	out := api.GetHistory200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: api.History{First: excerpt.First, Last: excerpt.Last}}
	out.Data.Messages, err = wire.Messages(target, excerpt.Messages)
	return out, err
}

// GetConversations returns a page of an account's conversations.
func (h *handlers) GetConversations(ctx context.Context, r api.GetConversationsRequestObject) (api.GetConversationsResponseObject, error) {
	limit := int(or(r.Params.Limit, 100))
	list, err := h.chat.Conversations(ctx, requestOf(ctx).session.Account, r.Params.Account, or(r.Params.After, ""), limit)
	if err != nil {
		return nil, err
	}
	out := api.GetConversations200JSONResponse{Code: fault.CodeSuccess, Message: "ok"}
	out.Data.Conversations = make([]api.Conversation, len(list))
	for i, c := range list {
		if out.Data.Conversations[i], err = wire.Conversation(c); err != nil {
			return nil, err
		}
	}
	if len(list) == limit {
		out.Data.Next = &list[limit-1].ID
	}
	return out, nil
}

// MarkRead moves the caller's marks.
func (h *handlers) MarkRead(ctx context.Context, r api.MarkReadRequestObject) (api.MarkReadResponseObject, error) {
	account, target, err := side(ctx, r.Params.UserAccount, r.Params.FriendAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	marks, err := h.chat.Mark(ctx, account, target, chat.Marks{Read: r.Params.Seq})
	if err != nil {
		return nil, err
	}
	return api.MarkRead200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: api.Marks(marks)}, nil
}

// MarkReceived moves the caller's received mark.
func (h *handlers) MarkReceived(ctx context.Context, r api.MarkReceivedRequestObject) (api.MarkReceivedResponseObject, error) {
	account, target, err := side(ctx, r.Params.UserAccount, r.Params.FriendAccount, r.Params.GroupID)
	if err != nil {
		return nil, err
	}
	marks, err := h.chat.Mark(ctx, account, target, chat.Marks{Received: r.Params.Seq})
	if err != nil {
		return nil, err
	}
	return api.MarkReceived200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: api.Marks(marks)}, nil
}

// side returns the account and the target of a request. The account must be the caller's.
func side(ctx context.Context, account string, friend *api.Account, group *api.GroupID) (string, chat.Target, error) {
	caller := requestOf(ctx).session.Account
	if accounts.Normal(account) != caller {
		return "", chat.Target{}, fault.New(fault.NotYourAccount)
	}
	target, err := wire.ParamTarget(friend, group)
	return caller, target, err
}

// or returns a parameter's value, or otherwise if it isn't given.
func or[T any](parameter *T, otherwise T) T {
	if parameter == nil {
		return otherwise
	}
	return *parameter
}
