package chat

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"tim/gen/db"
	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Target names a conversation from one side: by the account opposite or by the group.
type Target struct {
	User  string
	Group int32 // 0 for a one-to-one conversation
}

// ToUser returns the target of a one-to-one conversation with an account, which it normalises.
func ToUser(account string) Target { return Target{User: accounts.Normal(account)} }

// ToGroup returns the target of a group's conversation.
func ToGroup(group int32) Target { return Target{Group: group} }

// Conversation returns the conversation's id, for one account's target: g<GroupID>, or d<hash of both accounts>. It is
// computed, so that every statement can name its conversation without a look-up.
func (t Target) Conversation(account string) string {
	if t.Group != 0 {
		return groupID(t.Group)
	}
	return directID(account, t.User)
}

func groupID(group int32) string { return "g" + strconv.Itoa(int(group)) }

func directID(a, b string) string {
	if b < a {
		a, b = b, a
	}
	// No account contains a NUL, so different pairs give different texts.
	sum := sha256.Sum256([]byte(a + "\x00" + b))
	return "d" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Opening is what a socket needs to know of the conversation that it opens.
type Opening struct {
	Conversation string
	// Delivered is the seq up to which the account's sockets of this conversation have confirmed messages.
	Delivered int64
}

// Open checks that an account may read and write a conversation, and creates its participant's row if need be. Members and
// friends may open; others get UnknownGroup, UnknownAccount, NotAMember or NotFriends.
func (s *Service) Open(ctx context.Context, caller string, t Target) (Opening, error) {
	if err := s.mayOpen(ctx, caller, t); err != nil {
		return Opening{}, err
	}
	o := Opening{Conversation: t.Conversation(caller)}
	var err error
	o.Delivered, err = s.DB.Read().Delivered(ctx, caller, o.Conversation)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.DB.Tx(ctx, func(tx *store.Tx) error {
			if _, err := lock(ctx, tx, o.Conversation); err != nil {
				return err
			}
			// The right is checked again under the lock. A member who has left meanwhile must not get a row: its marks would be
			// there when the account joins again.
			if err := s.mayWrite(ctx, tx.Queries, caller, t); err != nil {
				return err
			}
			return participate(ctx, tx, caller, o.Conversation, t)
		})
	}
	if err != nil {
		return Opening{}, fmt.Errorf("open conversation: %w", err)
	}
	return o, nil
}

func (s *Service) mayOpen(ctx context.Context, caller string, t Target) error {
	if t.Group != 0 {
		if _, err := s.DB.Read().GetGroup(ctx, t.Group); err != nil {
			return notFound(err, fault.UnknownGroup)
		}
	} else if _, err := s.account(ctx, s.DB.Read(), t.User); err != nil {
		return err
	}
	return s.mayWrite(ctx, s.DB.Read(), caller, t)
}

// MayWrite returns nil, or the fault UnknownGroup, UnknownAccount, NotAMember or NotFriends.
func (s *Service) MayWrite(ctx context.Context, caller string, t Target) error {
	return s.mayWrite(ctx, s.DB.Read(), caller, t)
}

// mayWrite refuses whoever is not a member, or not a friend. Only for a refusal it asks whether the group or the account exists,
// so that a state has the same reason wherever it is met.
func (s *Service) mayWrite(ctx context.Context, q *db.Queries, caller string, t Target) error {
	if t.Group != 0 {
		members, err := q.IsMember(ctx, t.Group, caller)
		if err != nil {
			return fmt.Errorf("membership: %w", err)
		}
		if members > 0 {
			return nil
		}
		if _, err := q.GetGroup(ctx, t.Group); err != nil {
			return notFound(err, fault.UnknownGroup)
		}
		return fault.New(fault.NotAMember)
	}
	if t.User == caller {
		return fault.New(fault.NotFriends)
	}
	if s.AllowStrangers {
		_, err := s.account(ctx, q, t.User)
		return err
	}
	err := s.mustBeFriends(ctx, q, caller, t.User)
	if fault.Is(err, fault.NotFriends) {
		if _, err := s.account(ctx, q, t.User); err != nil {
			return err
		}
	}
	return err
}

// participate creates an account's participant row with marks of 0, unless there is one. A member without a row comes from a
// database that was taken over, and was a member before the first message.
func participate(ctx context.Context, tx *store.Tx, account, conversation string, t Target) error {
	return tx.AddParticipant(ctx, db.AddParticipantParams{
		Account: account, Conversation: conversation, Peer: nullable(t.User),
		GroupID: sql.NullInt32{Int32: t.Group, Valid: t.Group != 0},
	})
}

// Missed returns the messages after a seq, in order, at most limit. It checks no right: the caller must have been admitted by
// Open, and no event may have ended its right since. The messages are the same for every reader (see Message.For).
func (s *Service) Missed(ctx context.Context, conversation string, after int64, limit int) ([]Message, error) {
	rows, err := s.DB.Read().MessagesAfter(ctx, conversation, after, rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("missed messages: %w", err)
	}
	messages := make([]Message, len(rows))
	for i, row := range rows {
		messages[i] = Message{Seq: row.Seq, Sender: row.Sender, ClientID: row.ClientID.String, Body: row.Body, SentAt: row.SentAt}
	}
	return messages, nil
}

// LastSeq returns the seq of a conversation's newest message, 0 before the first. It checks no right.
func (s *Service) LastSeq(ctx context.Context, conversation string) (int64, error) {
	last, err := s.DB.Read().LastSeq(ctx, conversation)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("last seq: %w", err)
	}
	return last, nil
}

// before returns the newest messages that come before one seq and after another, in order.
func (s *Service) before(ctx context.Context, conversation string, before, after int64, limit int) ([]Message, error) {
	rows, err := s.DB.Read().MessagesBefore(ctx, db.MessagesBeforeParams{
		Conversation: conversation, Before: before, After: after, Limit: rowLimit(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	messages := make([]Message, len(rows))
	for i, row := range rows {
		messages[i] = Message{Seq: row.Seq, Sender: row.Sender, ClientID: row.ClientID.String, Body: row.Body, SentAt: row.SentAt}
	}
	slices.Reverse(messages)
	return messages, nil
}
