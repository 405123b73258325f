// Package fault owns every error a client may see: one table from a reason to its HTTP status, its code in the envelope
// and its texts. A use case returns a *Fault; the faces (REST, sockets) only render it.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Reason says why a request was refused. It is stable, made for programs, and listed in api/openapi.yaml.
type Reason string

// Fault is a refusal that a client may see. Its zero value is not useful; use New or one of the helpers.
type Fault struct {
	Reason     Reason
	Field      string        // the parameter or the path of the body's field that is refused, if one is
	Problem    string        // what is wrong with it and what would be right
	RetryAfter time.Duration // when to try again, if the client should
	cause      error         // for the log alone
}

// New returns the refusal for reason.
func New(reason Reason) *Fault { return &Fault{Reason: reason} }

// Invalid returns the refusal of one part of a request, saying what would be right.
func Invalid(reason Reason, field, problem string) *Fault {
	return &Fault{Reason: reason, Field: field, Problem: problem}
}

// Retry returns a refusal that passes after a while.
func Retry(reason Reason, after time.Duration) *Fault {
	return &Fault{Reason: reason, RetryAfter: after}
}

// Wrap returns the refusal for reason with the error behind it, which only the log sees.
func Wrap(reason Reason, cause error) *Fault { return &Fault{Reason: reason, cause: cause} }

// Error describes the fault for the log.
func (f *Fault) Error() string {
	s := string(f.Reason)
	if f.Field != "" {
		s = fmt.Sprintf("%s: %s: %s", s, f.Field, f.Problem)
	}
	if f.cause != nil {
		s = fmt.Sprintf("%s: %v", s, f.cause)
	}
	return s
}

// Unwrap returns the error behind the fault, nil if there is none.
func (f *Fault) Unwrap() error { return f.cause }

// From returns the fault in err's chain. Any other error becomes Internal, which shows a client nothing of it.
func From(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Wrap(Internal, err)
}

// Is reports whether err is the refusal for reason.
func Is(err error, reason Reason) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && f.Reason == reason
}
