// Package fault owns every error that a client may see: one table from a reason to its HTTP status, its code in the envelope
// and its texts. It also has the texts of successes. A use case returns a *Fault; REST and the sockets render it.
//
//	fault.go    Fault and its constructors
//	table.go    the reasons, with status, code and texts
//	phrases.go  the texts of successes, and of transfers that failed
//	problems.go the Chinese of what is wrong with a part of a request
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Reason says why a request was refused. It never changes its meaning, is made for programs, and is listed in api/openapi.yaml.
type Reason string

// Fault is a refusal that a client may see. Its zero value isn't valid; use New or one of the other functions.
type Fault struct {
	Reason     Reason
	Field      string        // the refused parameter, or the path of the refused field of the body; "" for none
	Problem    string        // what is wrong with it, in English, as the end of a sentence that begins with Field
	RetryAfter time.Duration // when to try again, 0 if that isn't known
	cause      error         // for the log only
}

// New returns a refusal with a reason.
func New(reason Reason) *Fault { return &Fault{Reason: reason} }

// Invalid returns the refusal of one part of a request. problem says what would be right.
func Invalid(reason Reason, field, problem string) *Fault {
	return &Fault{Reason: reason, Field: field, Problem: problem}
}

// Retry returns a refusal that ends after a time.
func Retry(reason Reason, after time.Duration) *Fault {
	return &Fault{Reason: reason, RetryAfter: after}
}

// Wrap returns a refusal with the error that caused it, which only the log shows.
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

// Unwrap returns the cause, nil if there is none.
func (f *Fault) Unwrap() error { return f.cause }

// From returns the fault in err's chain. Any other error becomes Internal with that error as its cause.
func From(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Wrap(Internal, err)
}

// Is reports whether the first fault in err's chain has this reason.
func Is(err error, reason Reason) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && f.Reason == reason
}
