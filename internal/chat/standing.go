package chat

import (
	"context"
	"fmt"
	"slices"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// Questions for many accounts at once, for a node whose sockets may have been left without news. None of them grows with
// the number of sockets but by pages.

// Standing is where an account stands in a conversation.
type Standing struct {
	Account      string
	Conversation string
	Target       Target
	JoinedSeq    int64 // the seq at which its membership began; 0 one to one
	LastSeq      int64
}

// Standings lists where accounts stand in their conversations, by account and conversation: at most limit of them, behind
// after, whose Account and Conversation alone count. One statement, so some hundreds of accounts at most.
func (s *Service) Standings(ctx context.Context, accounts []string, after Standing, limit int) ([]Standing, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	rows, err := s.DB.Read().Standings(ctx, db.StandingsParams{
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

// LastSeqs are the seqs of the newest messages of conversations; those without any are missing. One statement, so some
// hundreds of conversations at most.
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

// Side is an account and whom it writes to.
type Side struct {
	Account string
	Target  Target
}

// MayWriteAll is MayWrite for many. The errors are those of the sides, in their order: nil or the fault; the last result
// is why it can't be told. It asks once for every 200 groups' members, and once for every 200 friends.
func (s *Service) MayWriteAll(ctx context.Context, sides []Side) ([]error, error) {
	var seats []store.Seat
	var pairs []store.AccountPair
	for _, side := range sides {
		if side.Target.Group != 0 {
			seats = append(seats, store.Seat{Group: side.Target.Group, Account: side.Account})
		} else {
			pairs = append(pairs, store.AccountPair{Account: side.Account, Other: side.Target.User})
		}
	}
	members, err := s.DB.MembersAmong(ctx, seats)
	if err != nil {
		return nil, fmt.Errorf("memberships: %w", err)
	}
	strangers, err := s.refuseStrangers(ctx, pairs)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(sides))
	for i, side := range sides {
		if side.Target.Group == 0 {
			errs[i] = strangers[store.AccountPair{Account: side.Account, Other: side.Target.User}]
		} else if !members[store.Seat{Group: side.Target.Group, Account: side.Account}] {
			errs[i] = fault.New(fault.NotAMember)
		}
	}
	return errs, nil
}

// refuseStrangers has a fault for each of the pairs that may not write to each other.
func (s *Service) refuseStrangers(ctx context.Context, pairs []store.AccountPair) (map[store.AccountPair]error, error) {
	var allowed map[store.AccountPair]bool
	var err error
	reason := fault.NotFriends
	if s.AllowStrangers {
		reason = fault.UnknownAccount
		allowed, err = s.known(ctx, pairs)
	} else {
		allowed, err = s.DB.FriendsAmong(ctx, pairs)
	}
	if err != nil {
		return nil, fmt.Errorf("friendships: %w", err)
	}
	refused := make(map[store.AccountPair]error)
	for _, p := range pairs {
		switch {
		case p.Account == p.Other:
			refused[p] = fault.New(fault.NotFriends)
		case !allowed[p]:
			refused[p] = fault.New(reason)
		}
	}
	return refused, nil
}

// accountsPage is how many accounts known asks about at once.
const accountsPage = 200

// known tells of which pairs the second account is there.
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

// Sight is an account and one whom it looks at.
type Sight struct{ Viewer, Account string }

// MaySeeAll is MaySee for many, in their order. The accounts are spelled as they are stored. It asks once for every 200,
// and once more for those of them that are no friends.
func (s *Service) MaySeeAll(ctx context.Context, sights []Sight) ([]bool, error) {
	var pairs []store.AccountPair
	for _, sight := range sights {
		pairs = append(pairs, store.AccountPair{Account: sight.Viewer, Other: sight.Account})
	}
	friends, err := s.DB.FriendsAmong(ctx, pairs)
	if err != nil {
		return nil, fmt.Errorf("friendships: %w", err)
	}
	others := slices.DeleteFunc(slices.Clone(pairs), func(p store.AccountPair) bool { return friends[p] || p.Account == p.Other })
	mates, err := s.DB.MatesAmong(ctx, others)
	if err != nil {
		return nil, fmt.Errorf("shared groups: %w", err)
	}
	visible := make([]bool, len(sights))
	for i, p := range pairs {
		visible[i] = friends[p] || mates[p] || p.Account == p.Other
	}
	return visible, nil
}
