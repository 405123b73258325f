package rest

import (
	"context"

	"tim/gen/api"
	accounts "tim/internal/account"
	"tim/internal/fault"
)

// RenewToken returns a fresh token for that of the request, which may have expired.
func (h *handlers) RenewToken(ctx context.Context, _ api.RenewTokenRequestObject) (api.RenewTokenResponseObject, error) {
	token, expires, err := h.auth.Exchange(ctx, requestOf(ctx).session)
	if err != nil {
		return nil, err
	}
	fresh := api.Token{Token: token, Expires: expires.UnixMilli()}
	return api.RenewToken200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: fresh}, nil
}

// GetSessions lists the caller's sessions.
func (h *handlers) GetSessions(ctx context.Context, r api.GetSessionsRequestObject) (api.GetSessionsResponseObject, error) {
	session := requestOf(ctx).session
	if accounts.Normal(r.Params.Account) != session.Account {
		return nil, fault.New(fault.NotYourAccount)
	}
	logins, err := h.auth.Sessions(ctx, session.Account)
	if err != nil {
		return nil, err
	}
	out := api.GetSessions200JSONResponse{Code: fault.CodeSuccess, Message: "ok", Data: make([]api.LoginSession, len(logins))}
	for i, l := range logins {
		out.Data[i] = api.LoginSession{
			ID: l.ID, Device: l.Device, Created: l.Created.UnixMilli(), Used: l.Used.UnixMilli(), Current: l.ID == session.ID,
		}
	}
	return out, nil
}

// EndSession ends one of the caller's sessions.
func (h *handlers) EndSession(ctx context.Context, r api.EndSessionRequestObject) (api.EndSessionResponseObject, error) {
	account := requestOf(ctx).session.Account
	if accounts.Normal(r.Params.UserAccount) != account {
		return nil, fault.New(fault.NotYourAccount)
	}
	if err := h.auth.End(ctx, account, r.Params.Session); err != nil {
		return nil, err
	}
	return api.EndSession200JSONResponse(done(ctx, fault.LoggedOut)), nil
}

// EndOtherSessions ends all sessions of the caller but this one.
func (h *handlers) EndOtherSessions(ctx context.Context, r api.EndOtherSessionsRequestObject) (api.EndOtherSessionsResponseObject, error) {
	session := requestOf(ctx).session
	if accounts.Normal(r.Params.UserAccount) != session.Account {
		return nil, fault.New(fault.NotYourAccount)
	}
	if err := h.auth.EndOthers(ctx, session); err != nil {
		return nil, err
	}
	return api.EndOtherSessions200JSONResponse(done(ctx, fault.LoggedOut)), nil
}
