package chat

import (
	"context"
	"fmt"

	"tim/gen/db"
	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// AddFriend makes two accounts friends, in both directions. If they are friends already, it changes nothing and notifies
// nobody. It returns TooManyFriends if either has as many as it may. account must be the caller's.
func (s *Service) AddFriend(ctx context.Context, caller, account, friend string) error {
	if err := own(caller, account); err != nil {
		return err
	}
	friend = accounts.Normal(friend)
	if friend == caller {
		return fault.New(fault.FriendIsSelf)
	}
	var made bool
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		made = false
		if _, err := s.account(ctx, tx.Queries, friend); err != nil {
			return err
		}
		for _, f := range bothWays(caller, friend) {
			added, err := s.addOneWay(ctx, tx, f[0], f[1])
			if err != nil {
				return err
			}
			made = made || added
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add friend: %w", err)
	}
	if !made { // otherwise anybody could cause notices without end
		return nil
	}
	s.tell(ctx, Event{Kind: FriendshipBegan, Accounts: []string{caller, friend}, Account: friend, Actor: caller})
	return nil
}

// addOneWay makes an account the friend of another, in one direction, unless it is. It locks the other's row, so that friends who
// are added at once are all counted.
func (s *Service) addOneWay(ctx context.Context, tx *store.Tx, account, friend string) (added bool, err error) {
	if s.MostFriends > 0 {
		if err := tx.LockUser(ctx, account); err != nil {
			return false, err
		}
	}
	there, err := s.isFriend(ctx, tx.Queries, account, friend)
	if there || err != nil {
		return false, err
	}
	if s.MostFriends > 0 {
		friends, err := tx.CountFriends(ctx, account)
		if err != nil {
			return false, err
		}
		if friends >= int64(s.MostFriends) {
			return false, fault.New(fault.TooManyFriends)
		}
	}
	return true, tx.AddFriend(ctx, account, friend)
}

// DeleteFriend ends a friendship, in both directions, and closes the one-to-one sockets of the two. It succeeds also when they
// were not friends. account must be the caller's.
func (s *Service) DeleteFriend(ctx context.Context, caller, account, friend string) error {
	if err := own(caller, account); err != nil {
		return err
	}
	friend = accounts.Normal(friend)
	var deleted int64
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		deleted = 0
		if s.DB.Spread() { // as whoever sends does: first the conversation, then the friendships
			if _, err := tx.LockConversation(ctx, directID(caller, friend)); err != nil {
				return err
			}
		}
		for _, f := range bothWays(caller, friend) {
			n, err := tx.DeleteFriend(ctx, f[0], f[1])
			if err != nil {
				return err
			}
			deleted += n
		}
		if deleted > 0 { // also for rows of an old database whose user doesn't exist
			return endRights(ctx, tx, directID(caller, friend))
		}
		_, err := s.account(ctx, tx.Queries, friend)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete friend: %w", err)
	}
	if deleted == 0 { // nothing has changed, so nobody is notified
		return nil
	}
	e := Event{Kind: FriendshipEnded, Accounts: []string{caller, friend}, Account: friend, Actor: caller}
	if !s.AllowStrangers { // otherwise their conversation stays open
		e.Conversation = directID(caller, friend)
	}
	s.tell(ctx, e)
	return nil
}

// bothWays returns the two rows of a friendship in the same order for either side. So two transactions about the same
// friendship take their locks in the same order and can't deadlock.
func bothWays(a, b string) [][2]string {
	if b < a {
		a, b = b, a
	}
	return [][2]string{{a, b}, {b, a}}
}

// Friends lists an account's friends, sorted by account. account must be the caller's.
func (s *Service) Friends(ctx context.Context, caller, account string) ([]User, error) {
	if err := own(caller, account); err != nil {
		return nil, err
	}
	rows, err := s.DB.Friends(ctx, caller)
	if err != nil {
		return nil, fmt.Errorf("friends: %w", err)
	}
	users := make([]User, len(rows))
	for i, row := range rows {
		users[i] = User{ID: int64(row.ID), Account: row.Account, Username: row.Username, Sex: sex(row.Sex), Age: row.Age.Int32}
	}
	s.showOnline(ctx, users)
	return users, nil
}

func (s *Service) mustBeFriends(ctx context.Context, q *db.Queries, account, friend string) error {
	friends, err := s.isFriend(ctx, q, account, friend)
	if err == nil && !friends {
		return fault.New(fault.NotFriends)
	}
	return err
}

func (s *Service) isFriend(ctx context.Context, q *db.Queries, account, friend string) (bool, error) {
	n, err := q.IsFriend(ctx, account, friend)
	if err != nil {
		return false, fmt.Errorf("friendship: %w", err)
	}
	return n > 0, nil
}
