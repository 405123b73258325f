package rest

import (
	"context"

	"github.com/oapi-codegen/nullable"

	"tim/gen/api"
	"tim/internal/chat"
	"tim/internal/fault"
)

// UserRegister creates an account.
func (h *handlers) UserRegister(ctx context.Context, r api.UserRegisterRequestObject) (api.UserRegisterResponseObject, error) {
	user, err := h.chat.Register(ctx, chat.Registration{
		Account: r.Body.Account, Password: r.Body.Password, Username: r.Body.Username,
		Age: pointer(r.Body.Age), Sex: (*string)(pointer(r.Body.Sex)),
	})
	if err != nil {
		return nil, err
	}
	return api.UserRegister200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, registered), Data: userOf(user)}, nil
}

// UserLogin begins a session.
func (h *handlers) UserLogin(ctx context.Context, r api.UserLoginRequestObject) (api.UserLoginResponseObject, error) {
	req := requestOf(ctx)
	token, err := h.auth.Login(ctx, r.Body.Account, r.Body.Password, req.address, req.http.UserAgent())
	if err != nil {
		return nil, err
	}
	user, err := h.chat.Profile(ctx, r.Body.Account)
	if err != nil {
		return nil, err
	}
	data := make([]api.LoginDone_Data_Item, 2)
	if err := data[0].FromUser(userOf(user)); err != nil {
		return nil, err
	}
	if err := data[1].FromToken(api.Token{Token: token}); err != nil {
		return nil, err
	}
	return api.UserLogin200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, loggedIn), Data: data}, nil
}

// UserLogout ends the session of the request's token.
func (h *handlers) UserLogout(ctx context.Context, _ api.UserLogoutRequestObject) (api.UserLogoutResponseObject, error) {
	if err := h.auth.Logout(ctx, requestOf(ctx).session); err != nil {
		return nil, err
	}
	return api.UserLogout200JSONResponse(done(ctx, loggedOut)), nil
}

func userOf(u chat.User) api.User {
	out := api.User{ID: u.ID, Username: u.Username, Account: u.Account, Age: u.Age, Sex: nullable.NewNullNullable[string]()}
	if u.Sex != nil {
		out.Sex = nullable.NewNullableWithValue(*u.Sex)
	}
	if u.Online {
		out.OnlineStatus = api.UserOnlineStatusN1
	}
	return out
}

// pointer returns what a nullable field holds, nil for null or nothing.
func pointer[T any](n nullable.Nullable[T]) *T {
	if value, err := n.Get(); err == nil {
		return &value
	}
	return nil
}
