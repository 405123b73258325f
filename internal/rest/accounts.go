package rest

import (
	"context"
	"time"

	"github.com/oapi-codegen/nullable"

	"tim/gen/api"
	accounts "tim/internal/account"
	"tim/internal/chat"
	"tim/internal/fault"
)

// UserRegister creates an account.
func (h *handlers) UserRegister(ctx context.Context, r api.UserRegisterRequestObject) (api.UserRegisterResponseObject, error) {
	user, err := h.chat.Register(ctx, chat.Registration{
		Account: r.Body.Account, Password: r.Body.Password, Username: r.Body.Username,
		Age: pointer(r.Body.Age), Sex: pointer(r.Body.Sex), Invite: or(r.Body.Invite, ""), Address: requestOf(ctx).address,
	})
	if err != nil {
		return nil, err
	}
	return api.UserRegister200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, fault.Registered), Data: userOf(user)}, nil
}

// UserLogin begins a session.
func (h *handlers) UserLogin(ctx context.Context, r api.UserLoginRequestObject) (api.UserLoginResponseObject, error) {
	req := requestOf(ctx)
	token, expires, err := h.auth.Login(ctx, r.Body.Account, r.Body.Password, req.address, req.http.UserAgent())
	if err != nil {
		return nil, err
	}
	account := accounts.Normal(r.Body.Account)
	user, err := h.chat.Profile(ctx, account, account)
	if err != nil {
		return nil, err
	}
	return api.UserLogin200JSONResponse{
		Code: fault.CodeSuccess, Message: say(ctx, fault.LoggedIn), Data: []api.LoginPart{userPart(userOf(user)), tokenPart(token, expires)},
	}, nil
}

// userPart is the first element of a login's answer.
func userPart(u api.User) api.LoginPart {
	return api.LoginPart{ID: &u.ID, Username: &u.Username, Account: &u.Account, Sex: u.Sex, Age: &u.Age, OnlineStatus: &u.OnlineStatus}
}

// tokenPart is the second.
func tokenPart(token string, expires time.Time) api.LoginPart {
	return api.LoginPart{Token: &token, Expires: new(expires.UnixMilli())}
}

// UserLogout ends the session of the request's token.
func (h *handlers) UserLogout(ctx context.Context, _ api.UserLogoutRequestObject) (api.UserLogoutResponseObject, error) {
	if err := h.auth.Logout(ctx, requestOf(ctx).session); err != nil {
		return nil, err
	}
	return api.UserLogout200JSONResponse(done(ctx, fault.LoggedOut)), nil
}

// GetProfile returns a user.
func (h *handlers) GetProfile(ctx context.Context, r api.GetProfileRequestObject) (api.GetProfileResponseObject, error) {
	user, err := h.chat.Profile(ctx, requestOf(ctx).session.Account, r.Params.Account)
	if err != nil {
		return nil, err
	}
	return api.GetProfile200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: userOf(user)}, nil
}

// FindUsers returns users by a keyword.
func (h *handlers) FindUsers(ctx context.Context, r api.FindUsersRequestObject) (api.FindUsersResponseObject, error) {
	users, err := h.chat.FindUsers(ctx, requestOf(ctx).session.Account, r.Params.Keyword, int(or(r.Params.Limit, 20)))
	if err != nil {
		return nil, err
	}
	return api.FindUsers200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: usersOf(users)}, nil
}

// UpdateProfile changes the caller's profile.
func (h *handlers) UpdateProfile(ctx context.Context, r api.UpdateProfileRequestObject) (api.UpdateProfileResponseObject, error) {
	user, err := h.chat.UpdateProfile(ctx, requestOf(ctx).session.Account, chat.Changes{
		Username: r.Body.Username, Age: r.Body.Age, Sex: r.Body.Sex,
	})
	if err != nil {
		return nil, err
	}
	return api.UpdateProfile200JSONResponse{Code: fault.CodeSuccess, Message: say(ctx, fault.Changed), Data: userOf(user)}, nil
}

// ChangePassword changes the caller's password.
func (h *handlers) ChangePassword(ctx context.Context, r api.ChangePasswordRequestObject) (api.ChangePasswordResponseObject, error) {
	req := requestOf(ctx)
	if err := h.auth.ChangePassword(ctx, req.session, r.Body.OldPassword, r.Body.NewPassword, req.address, req.http.UserAgent()); err != nil {
		return nil, err
	}
	return api.ChangePassword200JSONResponse(done(ctx, fault.Changed)), nil
}

func usersOf(users []chat.User) []api.User {
	out := make([]api.User, len(users))
	for i, u := range users {
		out[i] = userOf(u)
	}
	return out
}

func userOf(u chat.User) api.User {
	out := api.User{ID: u.ID, Username: u.Username, Account: u.Account, Age: u.Age, Sex: nullable.NewNullNullable[string]()}
	if u.Sex != nil {
		out.Sex = nullable.NewNullableWithValue(*u.Sex)
	}
	if u.Online {
		out.OnlineStatus = 1
	}
	return out
}

// pointer returns the value of a nullable field, nil for null or a missing field.
func pointer[T any](n nullable.Nullable[T]) *T {
	if value, err := n.Get(); err == nil {
		return &value
	}
	return nil
}
