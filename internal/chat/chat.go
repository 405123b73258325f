// Package chat owns the rules and use cases: users, friends, groups, conversations, messages, marks. Every face of the
// server (REST, the sockets) ends here, so rights are checked here, and each use case is one transaction.
package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Options of New. Every field is needed, except that a limit of 0 means none.
type Options struct {
	DB *store.DB
	// HashPassword returns what is stored of a password.
	HashPassword func(ctx context.Context, password string) (string, error)
	// Notify tells every node, this one included, of what was committed. It must not block for long and can't fail:
	// whoever misses an event catches up from the database.
	Notify func(ctx context.Context, e Event)
	// Online tells which of the accounts have a live chat socket, in their order.
	Online func(ctx context.Context, accounts []string) []bool
	// Lanes is how many transactions may store messages at once: 1 for an engine with one writer.
	Lanes int
	// AllowStrangers lets accounts that are no friends write to each other.
	AllowStrangers bool
	// VisibleLimit bounds the members of groups that an account sees without being their friend.
	VisibleLimit int
}

// Service holds the use cases. Safe for concurrent use.
type Service struct {
	Options
	drafts    *batches[*draft, Message]
	marks     *batches[*mark, moved]
	rights    rightsCache
	lastKnown lastKnown
}

// New returns a Service. Close it.
func New(o Options) *Service {
	s := &Service{Options: o}
	s.drafts = newBatches(max(1, o.Lanes), s.commit)
	s.marks = newBatches(max(1, o.Lanes), s.commitMarks)
	return s
}

// Close waits until the messages and marks under way are stored and answered. No call may follow.
func (s *Service) Close() {
	s.drafts.close()
	s.marks.close()
}

// Normal is [account.Normal], for callers in which "account" is a variable.
func Normal(name string) string { return account.Normal(name) }

// own refuses a caller who claims somebody else's account as its own.
func own(caller, claimed string) error {
	if Normal(claimed) != caller {
		return fault.New(fault.NotYourAccount)
	}
	return nil
}

// ErrGroupOwner tells an operator that an account can't own a group that it isn't a member of.
var ErrGroupOwner = errors.New("the account is no member of the group")

// rowLimit is a page's size as statements take it.
func rowLimit(limit int) int32 { return int32(min(max(limit, 0), math.MaxInt32)) }

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// notFound turns "no row" into the fault that says so.
func notFound(err error, reason fault.Reason) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(reason)
	}
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	return nil
}
