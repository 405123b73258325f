package chat

import (
	"context"
	"fmt"
	"slices"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// Questions about many accounts at once. A node asks them for all its sockets after the bus may have lost events. Each takes a
// few statements for a page of accounts, not one for each socket.

// Standing is an account's position in one of its conversations.
type Standing struct {
	Account      string
	Conversation string
	Target       Target
	JoinedSeq    int64 // the seq of the newest message when it joined; 0 one to one
	LastSeq      int64
}

// Standings lists the positions of accounts in their conversations, sorted by account and conversation: at most limit, after
// the one whose Account and Conversation are after's. It sends one statement, so accounts may be some hundreds.
func (s *Service) Standings(ctx context.Context, accounts []string, after Standing, limit int) ([]Standing, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	rows, err := s.DB.Standings(ctx, db.StandingsParams{
		Accounts: accounts, AfterAccount: after.Account, After: after.Conversation, Limit: rowLimit(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("standings: %w", err)
	}
	standings := make([]Standing, len(rows))
	for i, row := range rows {
		standings[i] = Standing{
			Account: row.Account, Conversation: row.Conversation, Target: Target{User: row.Peer.String, Group: row.GroupID.Int32},
			JoinedSeq: row.JoinedSeq, LastSeq: row.LastSeq,
		}
	}
	return standings, nil
}

// LastSeqs returns the seqs of the newest messages of conversations. One without messages is missing from the result. It sends
// one statement, so conversations may be some hundreds.
func (s *Service) LastSeqs(ctx context.Context, conversations []string) (map[string]int64, error) {
	last := make(map[string]int64, len(conversations))
	if len(conversations) == 0 {
		return last, nil
	}
	rows, err := s.DB.Read().LastSeqs(ctx, conversations)
	if err != nil {
		return nil, fmt.Errorf("last seqs: %w", err)
	}
	for _, row := range rows {
		last[row.ID] = row.LastSeq
	}
	return last, nil
}

// Side is an account and a conversation from its side.
type Side struct {
	Account string
	Target  Target
}

// MayWriteAll is MayWrite for many sides. The first result has an element for each side, in the same order: nil or a fault. The
// second is the error of a database that can't be asked. It sends one statement for 200 groups' members, and one for 200
// friends; of those that are refused, one more for each group and one for 200 accounts.
func (s *Service) MayWriteAll(ctx context.Context, sides []Side) ([]error, error) {
	var memberships []store.Membership
	var pairs []store.AccountPair
	for _, side := range sides {
		if side.Target.Group != 0 {
			memberships = append(memberships, store.Membership{Group: side.Target.Group, Account: side.Account})
		} else {
			pairs = append(pairs, store.AccountPair{Account: side.Account, Other: side.Target.User})
		}
	}
	members, err := s.DB.MembersAmong(ctx, memberships)
	if err != nil {
		return nil, fmt.Errorf("memberships: %w", err)
	}
	strangers, err := s.refuseStrangers(ctx, pairs)
	if err != nil {
		return nil, err
	}
	outside := make(map[int32]error) // why those who aren't members of a group are refused
	errs := make([]error, len(sides))
	for i, side := range sides {
		group := side.Target.Group
		if group == 0 {
			errs[i] = strangers[store.AccountPair{Account: side.Account, Other: side.Target.User}]
			continue
		}
		if members[store.Membership{Group: group, Account: side.Account}] {
			continue
		}
		if outside[group] == nil {
			if outside[group], err = s.refuseOutsiders(ctx, group); err != nil {
				return nil, err
			}
		}
		errs[i] = outside[group]
	}
	return errs, nil
}

// refuseOutsiders returns the fault for accounts that aren't members of a group.
func (s *Service) refuseOutsiders(ctx context.Context, group int32) (refusal, err error) {
	_, err = s.DB.Read().GetGroup(ctx, group)
	if err == nil {
		return fault.New(fault.NotAMember), nil
	}
	err = notFound(err, fault.UnknownGroup)
	if fault.Is(err, fault.UnknownGroup) {
		return err, nil
	}
	return nil, err
}

// refuseStrangers returns a fault for each of the pairs that may not write to each other.
func (s *Service) refuseStrangers(ctx context.Context, pairs []store.AccountPair) (map[store.AccountPair]error, error) {
	strangers := pairs
	if !s.AllowStrangers {
		friends, err := s.DB.FriendsAmong(ctx, pairs)
		if err != nil {
			return nil, fmt.Errorf("friendships: %w", err)
		}
		strangers = slices.DeleteFunc(slices.Clone(pairs), func(p store.AccountPair) bool { return friends[p] })
	}
	known, err := s.known(ctx, strangers)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	refused := make(map[store.AccountPair]error)
	for _, p := range pairs {
		if p.Account == p.Other {
			refused[p] = fault.New(fault.NotFriends)
		}
	}
	for _, p := range strangers {
		switch {
		case p.Account == p.Other:
		case !known[p]:
			refused[p] = fault.New(fault.UnknownAccount)
		case !s.AllowStrangers:
			refused[p] = fault.New(fault.NotFriends)
		}
	}
	return refused, nil
}

// accountsPage is the number of accounts in one statement of known.
const accountsPage = 200

// known reports for each pair whether its second account exists.
func (s *Service) known(ctx context.Context, pairs []store.AccountPair) (map[store.AccountPair]bool, error) {
	var accounts []string
	for _, p := range pairs {
		accounts = append(accounts, p.Other)
	}
	there := make(map[string]bool, len(accounts))
	for page := range slices.Chunk(accounts, accountsPage) {
		rows, err := s.DB.Read().GetUsers(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			there[row.Account] = true
		}
	}
	known := make(map[store.AccountPair]bool, len(pairs))
	for _, p := range pairs {
		known[p] = there[p.Other]
	}
	return known, nil
}
