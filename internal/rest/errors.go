package rest

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"tim/gen/api"
	"tim/internal/fault"
)

// handleError is the only place where an error becomes an answer: an envelope or, for some failures of the file routes, a text
// of Tim.md. An error that isn't a fault is logged, and the client sees nothing of it.
func (s *server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		s.log.Warn("the answer broke off", "request", requestOf(c.Request().Context()).id, "err", err)
		return
	}
	f := s.faultOf(err)
	r := requestOf(c.Request().Context())
	if f.Status() >= http.StatusInternalServerError {
		s.log.LogAttrs(c.Request().Context(), slog.LevelError, "request failed", slog.String("request", r.id), slog.Any("err", err))
	}
	c.Set(reasonKey, string(f.Reason))
	if f.RetryAfter > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	} else if f.Reason == fault.Unavailable {
		c.Response().Header().Set("Retry-After", "1")
	}
	c.Response().Header()["Cache-Control"] = noStore // whatever the handler wanted before it failed
	var writeErr error
	if r.textFailures.has(f.Reason) {
		writeErr = s.writeText(c, r, f)
	} else {
		writeErr = c.JSON(s.status(c, f.Status()), envelope(r, f))
	}
	if writeErr != nil {
		s.log.Debug("client left before its answer", "request", r.id, "err", writeErr)
	}
}

// reasonKey is the key of echo's context under which the log line finds the reason of a refusal.
const reasonKey = "tim.reason"

// faultOf converts errors of echo, net/http and the stores into faults.
func (s *server) faultOf(err error) *fault.Fault {
	if known, ok := errors.AsType[*fault.Fault](err); ok {
		return known
	}
	var said *echo.HTTPError
	switch {
	case errors.Is(err, http.ErrNotMultipart), errors.Is(err, http.ErrMissingBoundary):
		return fault.Invalid(fault.UnsupportedMediaType, "Content-Type", "must be multipart/form-data with a boundary")
	case errors.As(err, &said):
		switch said.Code {
		case http.StatusNotFound:
			return fault.New(fault.UnknownRoute)
		case http.StatusMethodNotAllowed:
			return fault.New(fault.MethodNotAllowed)
		case http.StatusBadRequest:
			return fault.Wrap(fault.InvalidParameter, err)
		}
	case s.isFull(err):
		return fault.Wrap(fault.StorageFull, err)
	case s.isUnavailable(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Unavailable, err)
	}
	return fault.From(err)
}

func envelope(r *request, f *fault.Fault) api.Failure {
	out := api.Failure{
		Code:    f.Code(),
		Message: f.Text(r.operation).In(r.language),
		Reason:  api.Reason(f.Reason),
	}
	if f.Field != "" {
		said := f.ProblemIn(r.language)
		out.Data = &api.Problem{Field: f.Field, Problem: said}
		colon := fault.Text{Chinese: "：", English: ": "}.In(r.language)
		out.Message += colon + f.Field + " " + said
	}
	return out
}

// writeText answers a failure as plain text, with its reason in the header Tim-Reason.
func (s *server) writeText(c echo.Context, r *request, f *fault.Fault) error {
	c.Response().Header().Set("Tim-Reason", string(f.Reason))
	return c.String(s.status(c, f.Status()), r.textFailures.text(f, r.operation).In(r.language))
}

// status returns the answer's status: the precise one, or 200 where the settings ask for the original server's habit. That
// concerns the /Tim routes, the others of the original's interface, and paths that are no routes, but no handshake.
func (s *server) status(c echo.Context, precise int) int {
	path := c.Path()
	text := c.Response().Header().Get("Tim-Reason") != ""
	original := text || strings.HasPrefix(path, "/Tim/") || s.isContract(path) || path == "" && c.Request().Header.Get("Upgrade") == ""
	if s.always200 && original && precise != http.StatusRequestedRangeNotSatisfiable {
		return http.StatusOK
	}
	return precise
}
