package rest

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"tim/internal/auth"
	"tim/internal/doors"
	"tim/internal/fault"
	"tim/internal/files"
)

// request is what the middleware knows of a request. Handlers need it because a strict handler gets only a context.
type request struct {
	id        string
	operation string // the operationId in api/openapi.yaml, "" for a route outside it
	// textFailures is the operation's trait.
	textFailures textFailures
	language     fault.Language
	session      auth.Session // the zero value on routes without a token
	address      string       // the client's, as the trusted proxies report it
	http         *http.Request
	writer       http.ResponseWriter
	transfers    transfers
	form         *files.Body // of an upload
	leave        func()      // see doors.Doors.Enter; nil for a request that doesn't count
}

type requestKey struct{}

// requestOf returns the request that ctx belongs to. The middleware has attached it to every request that reaches a handler.
func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// attach puts r into the request's context.
func attach(c echo.Context, r *request) {
	r.http = c.Request().WithContext(context.WithValue(c.Request().Context(), requestKey{}, r))
	r.writer = c.Response()
	c.SetRequest(r.http)
}

// authenticated ends what the request counts for its address, since it has shown a good token.
func (r *request) authenticated() {
	doors.Authenticated(r.http.Context())
	if r.leave != nil {
		r.leave()
	}
}
