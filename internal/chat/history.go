package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tim/internal/fault"
)

// Conversation is one of an account's conversations, as its list shows it.
type Conversation struct {
	ID           string
	Target       Target
	LastSeq      int64
	JoinedSeq    int64 // where the account joined
	ReceivedSeq  int64 // the account's own marks
	ReadSeq      int64
	PeerReceived int64 // one to one: the other's
	PeerRead     int64
	Last         *Message // nil before the first, and for a member who joined after it
}

// Unread is how many messages the account has not read. Sending reads what came before.
func (c Conversation) Unread() int64 { return max(0, c.LastSeq-c.ReadSeq) }

// Conversations lists a page of an account's conversations, by id, after one ("" for the first page). For account
// itself.
func (s *Service) Conversations(ctx context.Context, caller, account, after string, limit int) ([]Conversation, error) {
	if err := own(caller, account); err != nil {
		return nil, err
	}
	rows, err := s.DB.Read().Conversations(ctx, caller, after, rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("conversations: %w", err)
	}
	out := make([]Conversation, len(rows))
	for i, row := range rows {
		mine, theirs := sides(caller, row.Peer.String, row.FirstSent, row.SecondSent)
		out[i] = Conversation{
			ID: row.Conversation, Target: Target{User: row.Peer.String, Group: row.GroupID.Int32}, LastSeq: row.LastSeq, JoinedSeq: row.JoinedSeq,
			ReceivedSeq: max(row.ReceivedSeq, mine), ReadSeq: max(row.ReadSeq, mine),
			PeerReceived: max(row.PeerReceived.Int64, theirs), PeerRead: max(row.PeerRead.Int64, theirs),
		}
		if row.Sender.Valid && row.LastSeq > row.JoinedSeq {
			out[i].Last = &Message{Seq: row.LastSeq, Sender: row.Sender.String, Body: row.Body.String, SentAt: row.SentAt.Int64}
		}
	}
	return out, nil
}

// Page says which messages of a conversation are wanted. Either way they come in order.
type Page struct {
	Forward bool  // those after From, oldest first; else the last ones before From
	From    int64 // a seq; not Forward, 0 is the end
	Limit   int
}

// History returns a page of a conversation's messages and the seq of its newest. For friends and those who were, and for
// members, who see what came after they joined.
func (s *Service) History(ctx context.Context, caller string, t Target, p Page) ([]Message, int64, error) {
	floor, err := s.mayRead(ctx, caller, t)
	for err == nil {
		var messages []Message
		var last int64
		if messages, last, err = s.page(ctx, t.Conversation(caller), p, floor); err != nil {
			break
		}
		if t.Group == 0 { // nobody loses the right to read these
			return messages, last, nil
		}
		// Asked again afterwards, since a member may have been removed meanwhile, and even have come back.
		read := floor
		if floor, err = s.mayRead(ctx, caller, t); err == nil && floor == read {
			return messages, last, nil
		}
	}
	return nil, 0, err
}

// page reads a page of the messages after a floor, and the seq of the newest.
func (s *Service) page(ctx context.Context, conversation string, p Page, floor int64) ([]Message, int64, error) {
	last, err := s.LastSeq(ctx, conversation)
	if err != nil {
		return nil, 0, err
	}
	var messages []Message
	if p.Forward {
		messages, err = s.Missed(ctx, conversation, max(p.From, floor), p.Limit)
	} else {
		if p.From == 0 {
			p.From = last + 1
		}
		messages, err = s.before(ctx, conversation, p.From, floor, p.Limit)
	}
	if len(messages) > 0 {
		last = max(last, messages[len(messages)-1].Seq) // it may be newer
	}
	return messages, last, err
}

// MayRead refuses strangers and former members. For connections that the bus may have left without news.
func (s *Service) MayRead(ctx context.Context, caller string, t Target) error {
	_, err := s.mayRead(ctx, caller, t)
	return err
}

// mayRead refuses strangers and former members, and returns the seq after which the caller may read.
func (s *Service) mayRead(ctx context.Context, caller string, t Target) (floor int64, err error) {
	joined, err := s.DB.Read().JoinedSeq(ctx, caller, t.Conversation(caller))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, s.mayOpen(ctx, caller, t) // a friend to whom nothing was ever written
	}
	if err != nil {
		return 0, fmt.Errorf("look up participant: %w", err)
	}
	if t.Group != 0 { // a participant's row ends with the membership; the membership itself is the right
		members, err := s.DB.Read().IsMember(ctx, t.Group, caller)
		if err == nil && members == 0 {
			err = fault.New(fault.NotAMember)
		}
		return joined, err
	}
	return joined, nil
}

// Marks are where an account stands in a conversation; they only ever grow.
type Marks struct {
	Read     int64 `json:"read"`
	Received int64 `json:"received"`
}

// Mark moves an account's own marks: received up to a seq, and read, which includes received. What is beyond the newest
// message counts up to it. It returns where they stand then. For friends and members.
func (s *Service) Mark(ctx context.Context, caller string, t Target, m Marks) (Marks, error) {
	if _, err := s.Open(ctx, caller, t); err != nil {
		return Marks{}, err
	}
	conversation := t.Conversation(caller)
	last, err := s.LastSeq(ctx, conversation)
	if err != nil {
		return Marks{}, err
	}
	m.Read = min(m.Read, last)
	m.Received = max(min(m.Received, last), m.Read)
	return s.move(ctx, t, &mark{account: caller, conversation: conversation, marks: m})
}

// ConfirmDelivered moves an account's mark of what its sockets of a conversation have confirmed, and with it what it has
// received, of which the others hear. It only ever grows; for one who has left meanwhile it does nothing.
func (s *Service) ConfirmDelivered(ctx context.Context, account string, t Target, seq int64) error {
	_, err := s.move(ctx, t, &mark{account: account, conversation: t.Conversation(account), marks: Marks{Received: seq}, delivered: seq})
	return err
}

// move stores a mark and tells where the account stands now, if that is news.
func (s *Service) move(ctx context.Context, t Target, m *mark) (Marks, error) {
	result, err := s.marks.submit(ctx, m.conversation, m)
	if err == nil && result.told {
		s.tellSides(ctx, m.account, t, Event{Kind: MarksMoved, Conversation: m.conversation, Account: m.account, Marks: &result.now})
	}
	return result.now, err
}
