package chat

import (
	"context"
	"database/sql"
	"math"
	"time"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// JoinPolicy says who may join a group by itself. The owner adds members under each of them.
type JoinPolicy string

// The policies.
const (
	JoinOpen   JoinPolicy = "open"   // anybody
	JoinInvite JoinPolicy = "invite" // nobody: the owner invites
	JoinClosed JoinPolicy = "closed" // nobody: the group takes no new members, unless the owner adds them
)

// condition is what must hold for an account that is to become a member or the owner, or what is done first.
type condition func(ctx context.Context, c *change, account string) error

// admit makes an account a member if the conditions hold, unless it is one. Its marks start at the conversation's newest message.
func (c *change) admit(ctx context.Context, account string, conditions ...condition) error {
	members, err := c.tx.IsMember(ctx, c.group, account)
	if err != nil || members > 0 {
		return err
	}
	for _, holds := range conditions {
		if err := holds(ctx, c, account); err != nil {
			return err
		}
	}
	if err := c.count(ctx); err != nil {
		return err
	}
	if err := c.tx.AddMember(ctx, c.group, account, time.Now().UnixMilli()); err != nil {
		return err
	}
	if err := c.resize(ctx, 1); err != nil {
		return err
	}
	if err := c.note(ctx, MemberJoined, account); err != nil {
		return err
	}
	return c.tx.AddParticipant(ctx, db.AddParticipantParams{
		Account: account, Conversation: c.conversation(), GroupID: sql.NullInt32{Int32: c.group, Valid: true}, JoinedSeq: c.last,
	})
}

// mayBan is the condition of banning an account that is no member: that it exists, and isn't banned yet. Otherwise who joins,
// writes and leaves at once could come again for ever.
func (s *Service) mayBan(ctx context.Context, c *change, account string) error {
	_, err := s.account(ctx, c.tx.Queries, account)
	if fault.Is(err, fault.UnknownAccount) {
		return fault.New(fault.NotInGroup)
	}
	if err != nil {
		return err
	}
	banned, err := c.tx.IsBanned(ctx, c.group, account, time.Now().UnixMilli())
	if err == nil && banned > 0 {
		return fault.New(fault.NotInGroup)
	}
	return err
}

// mayJoin is the condition of joining by oneself: the account isn't banned, and the group's policy is to let it in. A policy of a
// later version lets nobody in.
func mayJoin(ctx context.Context, c *change, account string) error {
	banned, err := c.tx.IsBanned(ctx, c.group, account, time.Now().UnixMilli())
	switch {
	case err != nil:
		return err
	case banned > 0:
		return fault.New(fault.BannedFromGroup)
	case c.policy == JoinInvite:
		return fault.New(fault.InviteRequired)
	case c.policy != JoinOpen:
		return fault.New(fault.GroupClosed)
	}
	return nil
}

// liftBan lets an account join by itself again, should it leave.
func liftBan(ctx context.Context, c *change, account string) error {
	return c.tx.LiftBan(ctx, c.group, account)
}

// hasRoom is the condition that the group has fewer members than it may.
func (s *Service) hasRoom(ctx context.Context, c *change, _ string) error {
	if s.MostMembers == 0 {
		return nil
	}
	if err := c.count(ctx); err != nil {
		return err
	}
	if int(c.members.Int32) >= s.MostMembers {
		return fault.New(fault.GroupFull)
	}
	return nil
}

// count counts the group's members if nobody has yet. From then on the group's row has their number, so that a large group is
// counted once and not at each joining.
func (c *change) count(ctx context.Context) error {
	if c.members.Valid {
		return nil
	}
	members, err := c.tx.CountMembers(ctx, c.group)
	c.members = sql.NullInt32{Int32: int32(min(members, math.MaxInt32)), Valid: err == nil} //nolint:gosec // it fits
	return err
}

// resize notes that the group's members have become more or fewer.
func (c *change) resize(ctx context.Context, by int32) error {
	c.members.Int32 = max(0, c.members.Int32+by)
	return c.tx.SetMembers(ctx, c.members, c.group)
}

// expel ends a membership. It returns NotInGroup for an account that isn't a member.
func (c *change) expel(ctx context.Context, account string) error {
	if err := c.count(ctx); err != nil {
		return err
	}
	removed, err := c.tx.RemoveMember(ctx, c.group, account)
	if err != nil {
		return err
	}
	if removed == 0 {
		return fault.New(fault.NotInGroup)
	}
	if err := c.resize(ctx, -1); err != nil {
		return err
	}
	if err := c.note(ctx, MemberLeft, account); err != nil {
		return err
	}
	if err := c.tx.EndRights(ctx, c.conversation()); err != nil {
		return err
	}
	return c.tx.RemoveParticipant(ctx, account, c.conversation())
}

// handToMember makes a member the owner if the conditions hold. It returns NotInGroup for an account that isn't a member.
func (c *change) handToMember(ctx context.Context, account string, conditions ...condition) error {
	members, err := c.tx.IsMember(ctx, c.group, account)
	if err != nil {
		return err
	}
	if members == 0 {
		return fault.New(fault.NotInGroup)
	}
	if account == c.owner {
		return nil
	}
	for _, holds := range conditions {
		if err := holds(ctx, c, account); err != nil {
			return err
		}
	}
	return c.handTo(ctx, account)
}

// mayOwn is the condition that an account owns fewer groups than it may. It locks the account's row, so that two groups that are
// handed to it at once are both counted.
func (s *Service) mayOwn(ctx context.Context, c *change, account string) error {
	if s.MostOwned == 0 {
		return nil
	}
	if err := c.tx.LockUser(ctx, account); err != nil {
		return err
	}
	return s.ownsFew(ctx, c.tx, account)
}

func (s *Service) ownsFew(ctx context.Context, tx *store.Tx, account string) error {
	if s.MostOwned == 0 {
		return nil
	}
	owned, err := tx.CountOwned(ctx, account)
	if err == nil && owned >= int64(s.MostOwned) {
		err = fault.New(fault.TooManyGroups)
	}
	return err
}

const dayLong = 24 * time.Hour

// mayCreate refuses an account that owns as many groups as it may, or that has created as many today, and counts the new one.
// A day begins at midnight, UTC. Groups that were dissolved count as well: each has used up a number and a name. It locks the
// account's row.
func (s *Service) mayCreate(ctx context.Context, tx *store.Tx, account string, now time.Time) error {
	if s.MostOwned == 0 && s.MostCreated == 0 {
		return nil
	}
	if err := tx.LockUser(ctx, account); err != nil {
		return err
	}
	if err := s.ownsFew(ctx, tx, account); err != nil || s.MostCreated == 0 {
		return err
	}
	made, err := tx.GroupsMade(ctx, account)
	if err != nil {
		return err
	}
	midnight := now.UTC().Truncate(dayLong)
	today := int32(midnight.Unix() / int64(dayLong.Seconds())) //nolint:gosec // some 20,000
	if made.GroupsDay != today {
		made.GroupsMade = 0
	}
	if int(made.GroupsMade) >= s.MostCreated {
		return fault.Retry(fault.TooManyGroupsToday, midnight.Add(dayLong).Sub(now))
	}
	return tx.SetGroupsMade(ctx, today, made.GroupsMade+1, account)
}
