package chat

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tim/gen/db"
	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Group is a group as its members see it.
type Group struct {
	ID    int32
	Name  string
	Owner string // "" if it has none
}

// CreateGroup creates a group and returns its id. The caller becomes its owner and first member. account must be the caller's.
func (s *Service) CreateGroup(ctx context.Context, caller, account, name string) (int32, error) {
	if err := own(caller, account); err != nil {
		return 0, err
	}
	name, problem := accounts.NewName(name, accounts.MaxGroupName)
	if problem != "" {
		return 0, fault.Invalid(fault.InvalidParameter, "GroupName", problem)
	}
	var c change
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayCreate(ctx, tx, caller, time.Now()); err != nil {
			return err
		}
		id, err := tx.CreateGroup(ctx, name, nullable(caller), cmp.Or(string(s.NewGroups), string(JoinOpen)))
		if err != nil {
			return err
		}
		if id < 1 || id > math.MaxInt32 {
			return fmt.Errorf("the database gave the group the id %d, which doesn't fit 32 bits", id)
		}
		c = change{tx: tx, group: int32(id), actor: caller, members: sql.NullInt32{Valid: true}}
		if err := c.lock(ctx); err != nil {
			return err
		}
		return c.admit(ctx, caller)
	})
	if store.IsDuplicate(err) {
		return 0, fault.New(fault.GroupNameTaken)
	}
	if err != nil {
		return 0, fmt.Errorf("create group: %w", err)
	}
	s.tellChange(ctx, c)
	return c.group, nil
}

// JoinGroup makes the caller a member. If it is one, nothing changes. It returns BannedFromGroup if the caller was removed,
// InviteRequired or GroupClosed as the group's policy says, and GroupFull. account must be the caller's.
func (s *Service) JoinGroup(ctx context.Context, caller, account string, group int32) error {
	return s.changeGroup(ctx, "join group", caller, account, group, func(c *change) error {
		return c.admit(ctx, caller, mayJoin, s.hasRoom)
	})
}

// AddMember makes a friend of the owner a member, whatever the group's policy, and lifts its ban. If it is a member, nothing
// changes. It returns GroupFull. Only the owner may call it; account must be the caller's.
func (s *Service) AddMember(ctx context.Context, caller, account string, group int32, member string) error {
	member = accounts.Normal(member)
	return s.changeGroup(ctx, "add member", caller, account, group, func(c *change) error {
		if err := c.mustOwn(); err != nil {
			return err
		}
		if _, err := s.account(ctx, c.tx.Queries, member); err != nil {
			return err
		}
		if member != caller && !s.AllowStrangers {
			if err := s.mustBeFriends(ctx, c.tx.Queries, caller, member); err != nil {
				return err
			}
		}
		return c.admit(ctx, member, s.hasRoom, liftBan)
	})
}

// LeaveGroup ends the caller's membership and closes its sockets of the group. If the owner leaves, the member with the longest
// membership becomes the owner. account must be the caller's.
func (s *Service) LeaveGroup(ctx context.Context, caller, account string, group int32) error {
	return s.changeGroup(ctx, "leave group", caller, account, group, func(c *change) error {
		if err := c.expel(ctx, caller); err != nil {
			return err
		}
		if c.owner != caller {
			return nil
		}
		heir, err := c.tx.OldestMember(ctx, c.conversation(), group)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return c.handTo(ctx, heir)
	})
}

// RemoveMember ends the membership of another account and closes that account's sockets of the group. It bans the account: it
// can't join by itself any more until the owner adds it. An account that has left, or never was a member, is banned, too; one that
// is banned already is NotInGroup. Only the owner may call it; account must be the caller's.
func (s *Service) RemoveMember(ctx context.Context, caller, account string, group int32, member string) error {
	member = accounts.Normal(member)
	return s.changeGroup(ctx, "remove member", caller, account, group, func(c *change) error {
		if err := c.mustOwn(); err != nil {
			return err
		}
		if member == caller {
			return fault.Invalid(fault.InvalidParameter, "MemberAccount", "must be another account; the owner leaves by leaveGroup")
		}
		if err := c.expel(ctx, member); err != nil {
			if !fault.Is(err, fault.NotInGroup) {
				return err
			}
			if err := s.mayBan(ctx, c, member); err != nil {
				return err
			}
		}
		return c.tx.Ban(ctx, db.BanParams{Groupid: group, Account: member, Actor: caller, At: time.Now().UnixMilli()})
	})
}

// HandOver makes a member the owner. If the member is the owner, nothing changes. It returns TooManyGroups if the member owns
// as many as it may. Only the owner may call it; account must be the caller's.
func (s *Service) HandOver(ctx context.Context, caller, account string, group int32, member string) error {
	member = accounts.Normal(member)
	return s.changeGroup(ctx, "hand over group", caller, account, group, func(c *change) error {
		if err := c.mustOwn(); err != nil {
			return err
		}
		return c.handToMember(ctx, member, s.mayOwn)
	})
}

// maxDeleted bounds the accounts in one statement: databases limit the number of arguments.
const maxDeleted = 1000

// Dissolve deletes a group and closes all its sockets. Its name becomes free, and nobody can read its history any more. Only
// the owner may call it; account must be the caller's.
func (s *Service) Dissolve(ctx context.Context, caller, account string, group int32) error {
	return s.changeGroup(ctx, "dissolve group", caller, account, group, func(c *change) error {
		if err := c.mustOwn(); err != nil {
			return err
		}
		members, err := c.tx.Members(ctx, group)
		if err != nil {
			return err
		}
		if err := c.note(ctx, GroupDissolved, ""); err != nil {
			return err
		}
		for some := range slices.Chunk(members, maxDeleted) {
			if err := c.tx.DeleteParticipants(ctx, c.conversation(), some); err != nil {
				return err
			}
		}
		if err := c.tx.DeleteMembers(ctx, group); err != nil {
			return err
		}
		if err := c.tx.DeleteBans(ctx, group); err != nil {
			return err
		}
		if _, err = c.tx.DeleteGroup(ctx, group); err != nil {
			return err
		}
		return c.tx.EndRights(ctx, c.conversation())
	})
}

// SetOwner makes a member the owner of a group, and returns ErrGroupOwner for an account that isn't a member. It checks no
// right: only operators' commands may call it. The notice names no actor.
func (s *Service) SetOwner(ctx context.Context, group int32, account string) error {
	account = accounts.Normal(account)
	return s.runChange(ctx, "set owner", "", group, func(c *change) error {
		err := c.handToMember(ctx, account)
		if fault.Is(err, fault.NotInGroup) {
			return ErrGroupOwner
		}
		return err
	})
}

// Groups lists a page of an account's groups, sorted by id, after one (0 for the first page). account must be the caller's.
func (s *Service) Groups(ctx context.Context, caller, account string, after int32, limit int) ([]Group, error) {
	if err := own(caller, account); err != nil {
		return nil, err
	}
	rows, err := s.DB.Read().Groups(ctx, caller, after, rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	groups := make([]Group, len(rows))
	for i, row := range rows {
		groups[i] = Group{ID: row.Groupid, Name: row.Groupname, Owner: row.Creator.String}
	}
	return groups, nil
}

// Members lists a page of a group's members, sorted by account, after one ("" for the first page). Only members may call it;
// account must be the caller's.
func (s *Service) Members(ctx context.Context, caller, account string, group int32, after string, limit int) ([]User, error) {
	if err := own(caller, account); err != nil {
		return nil, err
	}
	if err := s.mayOpen(ctx, caller, ToGroup(group)); err != nil {
		return nil, err
	}
	rows, err := s.DB.MemberUsers(ctx, group, accounts.Normal(after), rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	users := make([]User, len(rows))
	for i, row := range rows {
		users[i] = User{ID: int64(row.ID), Account: row.Account, Username: row.Username, Sex: sex(row.Sex), Age: row.Age.Int32}
	}
	s.showOnline(ctx, users)
	return users, nil
}

// change is one change of a group, in a transaction that holds the lock of the group's conversation. After the commit, news has
// the events to announce.
type change struct {
	tx      *store.Tx
	group   int32
	actor   string
	owner   string
	policy  JoinPolicy
	members sql.NullInt32 // NULL until they are counted
	last    int64         // the seq of the conversation's newest message
	news    []Event
}

func (c *change) conversation() string { return groupID(c.group) }

// changeGroup checks that account is the caller's and calls runChange.
func (s *Service) changeGroup(ctx context.Context, what, caller, account string, group int32, do func(*change) error) error {
	if err := own(caller, account); err != nil {
		return err
	}
	return s.runChange(ctx, what, caller, group, do)
}

// runChange makes one change of a group in one transaction and announces its events after the commit. actor is "" for an
// operator.
func (s *Service) runChange(ctx context.Context, what, actor string, group int32, do func(*change) error) error {
	var c change
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		c = change{tx: tx, group: group, actor: actor}
		if err := c.lock(ctx); err != nil {
			return err
		}
		row, err := tx.GetGroup(ctx, group)
		if err != nil {
			return notFound(err, fault.UnknownGroup)
		}
		c.owner, c.policy, c.members = row.Creator.String, JoinPolicy(row.JoinPolicy), row.Members
		return do(&c)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.tellChange(ctx, c)
	return nil
}

func (s *Service) tellChange(ctx context.Context, c change) {
	for _, e := range c.news {
		s.tell(ctx, e)
	}
}

func (c *change) lock(ctx context.Context) (err error) {
	c.last, err = lock(ctx, c.tx, c.conversation())
	return err
}

func (c *change) mustOwn() error {
	if c.owner != c.actor {
		return fault.New(fault.NotTheOwner)
	}
	return nil
}

// handTo makes an account the owner; with "", the group has none.
func (c *change) handTo(ctx context.Context, account string) error {
	if _, err := c.tx.SetGroupOwner(ctx, nullable(account), c.group); err != nil {
		return err
	}
	if account == "" {
		return nil
	}
	return c.note(ctx, OwnerChanged, account)
}

// note writes an event into the group's history, as a message of the actor, which moves the actor's own marks like any other
// message. It keeps the events to announce after the commit.
func (c *change) note(ctx context.Context, kind EventKind, account string) error {
	c.last++
	m := Message{
		Seq: c.last, Sender: c.actor, Body: noticeContent(string(kind), c.actor, account).encode(), SentAt: time.Now().UnixMilli(),
	}
	err := c.tx.InsertMessage(ctx, db.InsertMessageParams{
		Conversation: c.conversation(), Seq: m.Seq, Sender: m.Sender, Body: m.Body, SentAt: m.SentAt,
	})
	if err == nil {
		err = c.tx.SetLastSeq(ctx, c.last, c.conversation())
	}
	if err == nil { // an actor who isn't a member (not yet, no longer, or an operator) has no marks
		_, err = c.tx.MoveMarks(ctx, db.MoveMarksParams{Received: c.last, Seen: c.last, Account: c.actor, Conversation: c.conversation()})
	}
	if err != nil {
		return fmt.Errorf("note in the history: %w", err)
	}
	c.news = append(c.news,
		Event{Kind: MessageStored, Conversation: c.conversation(), Group: c.group, Message: &m},
		Event{Kind: kind, Conversation: c.conversation(), Group: c.group, Account: account, Actor: c.actor, Seq: c.last})
	return nil
}

// lock locks a conversation's row until the transaction ends, creating it if need be, and returns its last seq. Seqs and rights
// change only under this lock.
func lock(ctx context.Context, tx *store.Tx, conversation string) (int64, error) {
	locked, err := tx.LockConversation(ctx, conversation)
	if err == nil && locked == 0 {
		if err = tx.EnsureConversation(ctx, conversation, time.Now().UnixMilli()); err == nil {
			_, err = tx.LockConversation(ctx, conversation)
		}
	}
	if err != nil {
		return 0, err
	}
	return tx.LastSeq(ctx, conversation)
}
