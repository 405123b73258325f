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

// handleError is the one place where an error becomes an answer, in the envelope or, for the failures that the
// interface document answers as text, in its words. An unknown error shows nothing of itself and is logged.
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
	var writeErr error
	if isText(r.operation, f.Reason) {
		writeErr = s.writeText(c, r, f)
	} else {
		writeErr = c.JSON(s.status(c, f.Status()), envelope(r, f))
	}
	if writeErr != nil {
		s.log.Debug("client left before its answer", "request", r.id, "err", writeErr)
	}
}

// reasonKey is where the log line finds the reason of a refusal.
const reasonKey = "tim.reason"

// faultOf maps what echo, net/http and the stores say to the table of faults.
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
		out.Data = &api.Problem{Field: f.Field, Problem: f.Problem}
		colon := fault.Text{Chinese: "：", English: ": "}.In(r.language)
		out.Message += colon + f.Field + " " + f.Problem
	}
	return out
}

// isText tells whether the interface document answers this failure of a file route in words of its own. What concerns
// tokens, rights and parameters is the envelope there too.
func isText(operation string, reason fault.Reason) bool {
	switch reason {
	case fault.UnknownAccount, fault.NoAvatar:
		return operation == "headPicUrl"
	case fault.MalformedUpload, fault.FileTooLarge, fault.UnsupportedFileType, fault.UnsupportedMediaType:
		return strings.HasPrefix(operation, "upload")
	case fault.UnknownFile:
		return true
	case fault.Unavailable, fault.Internal:
		return strings.HasPrefix(operation, "upload") || strings.HasPrefix(operation, "download")
	default:
		return false
	}
}

func (s *server) writeText(c echo.Context, r *request, f *fault.Fault) error {
	c.Response().Header().Set("Tim-Reason", string(f.Reason))
	text := f.Text(r.operation)
	switch {
	case r.operation == "headPicUrl":
		text = fault.Text{} // the document answers nothing
	case f.Reason == fault.UnsupportedFileType, f.Reason == fault.UnknownFile:
	case strings.HasPrefix(r.operation, "upload"):
		text = uploadFailed
	default:
		text = downloadFailed
	}
	return c.String(s.status(c, f.Status()), text.In(r.language))
}

// status is the answer's status: the precise one, or 200 where the operator has asked for the original's habit.
func (s *server) status(c echo.Context, precise int) int {
	text := c.Response().Header().Get("Tim-Reason") != ""
	if s.always200 && (text || strings.HasPrefix(c.Path(), "/Tim/")) {
		return http.StatusOK
	}
	return precise
}
