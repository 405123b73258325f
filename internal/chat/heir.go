package chat

import (
	"context"
	"database/sql"
	"fmt"

	"tim/internal/store"
)

// disinherit deletes what rows in the database would give to an account that has just been created: an account of the same name
// was deleted there by hand. It is six statements that usually find nothing, beside a hash that costs as much as some hundred.
func disinherit(ctx context.Context, tx *store.Tx, account string) error {
	friends, err := tx.FriendAccounts(ctx, account)
	if err != nil {
		return fmt.Errorf("former friends: %w", err)
	}
	for _, friend := range friends {
		if _, err := tx.DeleteFriend(ctx, friend, account); err != nil {
			return fmt.Errorf("former friends: %w", err)
		}
	}
	if len(friends) > 0 {
		if err := tx.DeleteFriendsOf(ctx, account); err != nil {
			return fmt.Errorf("former friends: %w", err)
		}
	}
	groups, err := tx.GroupsOf(ctx, account)
	if err != nil {
		return fmt.Errorf("former groups: %w", err)
	}
	for _, group := range groups {
		if _, err := tx.RemoveMember(ctx, group, account); err != nil {
			return fmt.Errorf("former groups: %w", err)
		}
		if err := tx.CountMembersAgain(ctx, group); err != nil {
			return fmt.Errorf("former groups: %w", err)
		}
	}
	for _, forget := range []func(context.Context) error{
		func(ctx context.Context) error {
			return tx.DisownGroups(ctx, sql.NullString{String: account, Valid: true})
		},
		func(ctx context.Context) error { return tx.DeleteParticipantsOf(ctx, account) },
		func(ctx context.Context) error { return tx.DeleteSessions(ctx, account) },
		func(ctx context.Context) error { return tx.ForgetPlaces(ctx, account) },
	} {
		if err := forget(ctx); err != nil {
			return fmt.Errorf("former traces: %w", err)
		}
	}
	return nil
}
