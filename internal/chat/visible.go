package chat

import (
	"context"
	"fmt"
	"slices"

	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Who sees of an account whether it is online: itself, its friends, and the members of its groups. Every face asks MaySeeAll, or
// lists with VisibleOnline those whom it allows. VisibleLimit bounds what is listed unasked, not the answer about an account that
// the client names. Of a one-to-one conversation those see the other's marks who may write to each other.

// Sight is a viewer and an account whose presence it wants to see.
type Sight struct{ Viewer, Account string }

// MaySeeAll reports for each of the sights, in the same order, whether the viewer may see whether the account is online. Accounts
// must be normalised. It sends one statement for 200 pairs, and one more for 200 of those that aren't friends.
func (s *Service) MaySeeAll(ctx context.Context, sights []Sight) ([]bool, error) {
	var pairs []store.AccountPair
	for _, sight := range sights {
		if sight.Viewer != sight.Account {
			pairs = append(pairs, store.AccountPair{Account: sight.Viewer, Other: sight.Account})
		}
	}
	friends, err := s.DB.FriendsAmong(ctx, pairs)
	if err != nil {
		return nil, fmt.Errorf("friendships: %w", err)
	}
	others := slices.DeleteFunc(pairs, func(p store.AccountPair) bool { return friends[p] })
	mates, err := s.DB.MatesAmong(ctx, others)
	if err != nil {
		return nil, fmt.Errorf("shared groups: %w", err)
	}
	visible := make([]bool, len(sights))
	for i, sight := range sights {
		p := store.AccountPair{Account: sight.Viewer, Other: sight.Account}
		visible[i] = p.Account == p.Other || friends[p] || mates[p]
	}
	return visible, nil
}

// MaySee reports whether the caller may see whether another account is online.
func (s *Service) MaySee(ctx context.Context, caller, other string) (bool, error) {
	visible, err := s.MaySeeAll(ctx, []Sight{{Viewer: caller, Account: accounts.Normal(other)}})
	return err == nil && visible[0], err
}

// MayText reports whether the caller may send another account transient texts: to whom it may see, and to whomever there is where
// strangers may write to each other.
func (s *Service) MayText(ctx context.Context, caller, other string) (bool, error) {
	if !s.AllowStrangers {
		return s.MaySee(ctx, caller, other)
	}
	_, err := s.account(ctx, s.DB.Read(), other)
	if fault.Is(err, fault.UnknownAccount) {
		return false, nil
	}
	return err == nil, err
}

// showVisible sets Online of those users whom the viewer may see. To it the others are offline.
func (s *Service) showVisible(ctx context.Context, viewer string, users []User) error {
	sights := make([]Sight, len(users))
	for i, u := range users {
		sights[i] = Sight{Viewer: viewer, Account: u.Account}
	}
	visible, err := s.MaySeeAll(ctx, sights)
	if err != nil {
		return err
	}
	var shown []int
	var named []string
	for i, u := range users {
		if visible[i] {
			shown, named = append(shown, i), append(named, u.Account)
		}
	}
	if len(named) > 0 {
		for i, online := range s.Online(ctx, named) {
			users[shown[i]].Online = online
		}
	}
	return nil
}

// showOnline sets Online of users all of whom the caller may see.
func (s *Service) showOnline(ctx context.Context, users []User) {
	named := make([]string, len(users))
	for i, u := range users {
		named[i] = u.Account
	}
	for i, online := range s.Online(ctx, named) {
		users[i].Online = online
	}
}

const (
	// groupMatesPerVisible is the number of members of groups that are looked at for each that may be shown as online.
	groupMatesPerVisible = 10
	// mostGroupMates bounds the members that are looked at when there is no limit.
	mostGroupMates = 1 << 20
)

// VisibleOnline lists the online accounts that the caller may see: its friends, and members of its groups up to VisibleLimit,
// without the caller itself.
func (s *Service) VisibleOnline(ctx context.Context, caller string) ([]string, error) {
	friends, err := s.DB.Read().FriendAccounts(ctx, caller)
	if err != nil {
		return nil, fmt.Errorf("friends: %w", err)
	}
	friends = slices.DeleteFunc(friends, func(a string) bool { return a == caller }) // an old database may have an account that is its own friend
	limit := min(s.VisibleLimit, mostGroupMates)
	if limit == 0 {
		limit = mostGroupMates
	}
	mates, err := s.DB.Read().GroupMates(ctx, caller, int32(min(limit*groupMatesPerVisible, mostGroupMates)))
	if err != nil {
		return nil, fmt.Errorf("members of groups: %w", err)
	}
	slices.Sort(mates)
	mates = slices.DeleteFunc(slices.Compact(mates), func(a string) bool {
		_, friend := slices.BinarySearch(friends, a)
		return friend || a == caller
	})
	visible := s.onlineOf(ctx, friends)
	mates = s.onlineOf(ctx, mates)
	return append(visible, mates[:min(limit, len(mates))]...), nil
}

func (s *Service) onlineOf(ctx context.Context, accounts []string) []string {
	var online []string
	for i, is := range s.Online(ctx, accounts) {
		if is {
			online = append(online, accounts[i])
		}
	}
	return online
}
