package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// CreateGroup makes a group, whose owner and first member is its creator, and returns its id. For account itself.
func (s *Service) CreateGroup(ctx context.Context, caller, account, name string) (int32, error) {
	if err := own(caller, account); err != nil {
		return 0, err
	}
	name = strings.TrimSpace(norm.NFC.String(name)) // which some databases would overlook in comparing
	if name == "" {
		return 0, fault.Invalid(fault.InvalidParameter, "GroupName", "must not be blank")
	}
	var group int32
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		id, err := tx.CreateGroup(ctx, name, nullable(caller))
		if err != nil {
			return err
		}
		if id < 1 || id > math.MaxInt32 {
			return fmt.Errorf("the database gave the group the number %d, which is none of 32 bits", id)
		}
		group = int32(id)
		return admit(ctx, tx, group, caller)
	})
	if store.IsDuplicate(err) {
		return 0, fault.New(fault.GroupNameTaken)
	}
	if err != nil {
		return 0, fmt.Errorf("create group: %w", err)
	}
	return group, nil
}

// JoinGroup makes an account a member. Repeating it changes nothing. For account itself.
func (s *Service) JoinGroup(ctx context.Context, caller, account string, group int32) error {
	if err := own(caller, account); err != nil {
		return err
	}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.GetGroup(ctx, group); err != nil {
			return notFound(err, fault.UnknownGroup)
		}
		return admit(ctx, tx, group, caller)
	})
	if err != nil {
		return fmt.Errorf("join group: %w", err)
	}
	return nil
}

// admit makes an account a member whose marks start where the conversation stands, unless it is one already.
func admit(ctx context.Context, tx *store.Tx, group int32, account string) error {
	conversation := groupID(group)
	last, err := lock(ctx, tx, conversation)
	if err != nil {
		return err
	}
	members, err := tx.IsMember(ctx, group, account)
	if err != nil || members > 0 {
		return err
	}
	if err := tx.AddMember(ctx, group, account, time.Now().UnixMilli()); err != nil {
		return err
	}
	return tx.AddParticipant(ctx, db.AddParticipantParams{
		Account: account, Conversation: conversation, GroupID: sql.NullInt32{Int32: group, Valid: true}, JoinedSeq: last,
	})
}

// LeaveGroup ends a membership and closes the account's sockets of the group. When the owner leaves, the oldest member
// inherits. For account itself.
func (s *Service) LeaveGroup(ctx context.Context, caller, account string, group int32) error {
	if err := own(caller, account); err != nil {
		return err
	}
	conversation := groupID(group)
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.GetGroup(ctx, group); err != nil {
			return notFound(err, fault.UnknownGroup)
		}
		if _, err := lock(ctx, tx, conversation); err != nil {
			return err
		}
		removed, err := tx.RemoveMember(ctx, group, caller)
		if err != nil {
			return err
		}
		if removed == 0 {
			return fault.New(fault.NotInGroup)
		}
		if err := tx.RemoveParticipant(ctx, caller, conversation); err != nil {
			return err
		}
		return inherit(ctx, tx, group, caller)
	})
	if err != nil {
		return fmt.Errorf("leave group: %w", err)
	}
	s.tell(ctx, Event{Kind: MemberLeft, Conversation: conversation, Account: caller})
	return nil
}

// inherit hands a group on to its oldest member if the one who left was its owner.
func inherit(ctx context.Context, tx *store.Tx, group int32, left string) error {
	row, err := tx.GetGroup(ctx, group)
	if err != nil || row.Creator.String != left {
		return err
	}
	heir, err := tx.OldestMember(ctx, group)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = tx.SetGroupOwner(ctx, nullable(heir), group)
	return err
}

// lock takes a conversation's lock until the transaction ends, making the conversation if need be, and returns its
// last seq. Numbers and rights change under this lock alone.
func lock(ctx context.Context, tx *store.Tx, conversation string) (int64, error) {
	last, err := tx.LockConversation(ctx, conversation)
	if !errors.Is(err, sql.ErrNoRows) {
		return last, err
	}
	if err := tx.EnsureConversation(ctx, conversation, time.Now().UnixMilli()); err != nil {
		return 0, err
	}
	return tx.LockConversation(ctx, conversation)
}
