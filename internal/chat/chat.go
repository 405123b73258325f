// Package chat owns the rules and use cases: users, friends, groups, conversations, messages, marks. REST and the sockets both
// call it, so it checks every right itself. Each use case that writes is one transaction. A refusal is a [fault.Fault]; any
// other error means that the database failed.
//
//	chat.go           construction, and closing
//	user.go, friend.go, group.go   accounts, friendships, groups
//	heir.go           what a new account must not inherit
//	invite.go         who may register; invitation codes
//	membership.go     who becomes a member, who is banned, how many groups and members there may be
//	look.go           accounts that look alike
//	conversation.go   how a conversation is named, and who may read and write it
//	send.go           storing messages: rights, seqs, one transaction for a batch
//	batch.go          … the lanes in which messages wait for a transaction together
//	batchtx.go        … that transaction, step by step
//	lastknown.go      … the states of conversations as this node left them
//	rightscache.go    … the rights that it has checked
//	fileuse.go        … which files the messages name
//	content.go        what a message's body is, and how it is stored
//	history.go        reading conversations and messages
//	mark.go           how far accounts have received and read
//	visible.go        who sees whether an account is online
//	standing.go       where many accounts stand in their conversations, asked at once, for catching up
//	event.go          what other parts are told after a commit
package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Options of New. Every field is needed. In a limit, 0 means none.
type Options struct {
	DB *store.DB
	// Admit refuses a registration that HashPassword would refuse for the client's address, before anything is asked.
	Admit func(ctx context.Context, address string, counted bool) error
	// HashPassword returns the hash of a new account's password. It may refuse the password, or the client's address if the
	// registration is to be counted for that. Those by invitation aren't: the code counts them.
	HashPassword func(ctx context.Context, password, address string, counted bool) (string, error)
	// Registration says who may register. The zero value is RegistrationOpen.
	Registration Registering
	// Notify announces a committed event to every node, this one included. It must return soon and can't fail: a node that
	// misses an event reads the database again.
	Notify func(ctx context.Context, e Event)
	// Online returns for each of the accounts, in the same order, whether it has an open chat socket.
	Online func(ctx context.Context, accounts []string) []bool
	// Lanes is the number of transactions that may store messages at the same time. It is 1 for an engine with one writer.
	Lanes int
	// Reserved are the accounts that nobody may register.
	Reserved accounts.Reserved
	// AllowStrangers lets accounts write to each other without being friends.
	AllowStrangers bool
	// VisibleLimit bounds the number of online members of its groups that an account is shown in addition to its friends.
	VisibleLimit int
	// NewGroups says who may join the groups that are created from now on. The zero value is JoinOpen.
	NewGroups JoinPolicy
	// MostMembers bounds the members of a group, MostOwned the groups that an account owns, MostCreated those that it creates
	// in a day, and MostFriends its friends. What is above a bound already stays.
	MostMembers, MostOwned, MostCreated, MostFriends int
}

// Service has the use cases. All its methods are safe for concurrent use.
type Service struct {
	Options
	drafts    *batches[*draft, Message]
	marks     *batches[*mark, moved]
	rights    rightsCache
	inviting  inviting
	lastKnown lastKnown
}

// spreadLanes is the least number of lanes where the tables are spread over several servers. A transaction there stores messages of one
// conversation: they are on one server, which stores them entirely or not at all, and locks of several conversations could wait for
// one another. So there are more transactions, and each waits longer for its statements.
const spreadLanes = 16

// New returns a Service and starts its lanes. The caller must close it.
func New(o Options) *Service {
	s := &Service{Options: o}
	lanes, apart := max(1, o.Lanes), o.DB.Spread()
	if apart {
		lanes = max(lanes, spreadLanes)
	}
	s.drafts = newBatches(lanes, apart, s.commit)
	s.marks = newBatches(lanes, apart, s.commitMarks)
	return s
}

// Close waits until all submitted messages and marks are stored and answered. No method may be called during or after it.
func (s *Service) Close() {
	s.drafts.close()
	s.marks.close()
}

// own refuses a caller who claims somebody else's account as its own.
func own(caller, claimed string) error {
	if accounts.Normal(claimed) != caller {
		return fault.New(fault.NotYourAccount)
	}
	return nil
}

// ErrGroupOwner is SetOwner's error for an account that isn't a member of the group.
var ErrGroupOwner = errors.New("the account is no member of the group")

// rowLimit converts a page's size to the type that statements take.
func rowLimit(limit int) int32 { return int32(min(max(limit, 0), math.MaxInt32)) }

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// notFound converts sql.ErrNoRows into a fault with this reason.
func notFound(err error, reason fault.Reason) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(reason)
	}
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	return nil
}
