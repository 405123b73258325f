package chat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tim/internal/fault"
)

// Conversation is one of an account's conversations, as the list of them shows it.
type Conversation struct {
	ID           string
	Target       Target
	LastSeq      int64
	JoinedSeq    int64 // the seq of the newest message when the account joined; 0 one to one
	ReceivedSeq  int64 // the account's own mark
	ReadSeq      int64
	PeerReceived int64 // one to one: the mark of the other account; its newest message's seq while the two may not write
	PeerRead     int64
	Last         *Message // nil before the first message, and for a member who joined after it
}

// FirstSeq is the seq of the first message that the account may read.
func (c Conversation) FirstSeq() int64 { return c.JoinedSeq + 1 }

// Unread returns the number of messages that the account has not read. Sending a message marks those before it as read.
func (c Conversation) Unread() int64 { return max(0, c.LastSeq-c.ReadSeq) }

// Conversations lists a page of an account's conversations, sorted by id, after one ("" for the first page). account must be
// the caller's.
func (s *Service) Conversations(ctx context.Context, caller, account, after string, limit int) ([]Conversation, error) {
	if err := own(caller, account); err != nil {
		return nil, err
	}
	rows, err := s.DB.Conversations(ctx, caller, after, rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("conversations: %w", err)
	}
	out := make([]Conversation, len(rows))
	for i, row := range rows {
		mine, theirs := sides(caller, row.Peer.String, row.FirstSent, row.SecondSent)
		out[i] = Conversation{
			ID: row.Conversation, Target: Target{User: row.Peer.String, Group: row.GroupID.Int32}, LastSeq: row.LastSeq, JoinedSeq: row.JoinedSeq,
			ReceivedSeq: max(row.ReceivedSeq, mine), ReadSeq: max(row.ReadSeq, mine),
			PeerReceived: theirs, PeerRead: theirs,
		}
		if row.Friend.Valid || s.AllowStrangers { // who may write to each other see what the other has read
			out[i].PeerReceived, out[i].PeerRead = max(row.PeerReceived.Int64, theirs), max(row.PeerRead.Int64, theirs)
		}
		if row.Sender.Valid && row.LastSeq > row.JoinedSeq {
			last := Message{
				Seq: row.LastSeq, Sender: row.Sender.String, ClientID: row.ClientID.String, Body: row.Body.String, SentAt: row.SentAt.Int64,
			}.For(caller)
			out[i].Last = &last
		}
	}
	return out, nil
}

// Page says which messages of a conversation are wanted. They always come in the order of their seqs.
type Page struct {
	Forward bool  // true: the first messages after From; false: the last messages before From
	From    int64 // a seq; if Forward is false, 0 means the end of the conversation
	Limit   int
}

// Excerpt is a page of a conversation's messages, in the order of their seqs, as one account is shown them.
type Excerpt struct {
	Messages []Message
	First    int64 // the seq of the first message that the account may read
	Last     int64 // the seq of the conversation's newest message
}

// History returns a page of a conversation's messages. Friends, and accounts that were friends, may
// read a one-to-one conversation. Members may read a group's messages that came after they joined.
func (s *Service) History(ctx context.Context, caller string, t Target, p Page) (Excerpt, error) {
	floor, err := s.mayRead(ctx, caller, t)
	for err == nil {
		var e Excerpt
		if e, err = s.page(ctx, caller, t.Conversation(caller), p, floor); err != nil {
			break
		}
		if t.Group == 0 { // nobody loses the right to read a one-to-one conversation
			return e, nil
		}
		// The right is checked again after reading: meanwhile the member may have been removed, and even have joined again.
		read := floor
		if floor, err = s.mayRead(ctx, caller, t); err == nil && floor == read {
			return e, nil
		}
	}
	return Excerpt{}, err
}

// page reads a page of the messages after the seq floor, as the caller is shown them.
func (s *Service) page(ctx context.Context, caller, conversation string, p Page, floor int64) (Excerpt, error) {
	last, err := s.LastSeq(ctx, conversation)
	if err != nil {
		return Excerpt{}, err
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
		last = max(last, messages[len(messages)-1].Seq) // a message may have come since LastSeq
	}
	for i, m := range messages {
		messages[i] = m.For(caller)
	}
	return Excerpt{Messages: messages, First: floor + 1, Last: last}, err
}

// MayRead returns nil, or the fault for a stranger or a former member. Sockets call it after the bus may have lost events.
func (s *Service) MayRead(ctx context.Context, caller string, t Target) error {
	_, err := s.mayRead(ctx, caller, t)
	return err
}

// mayRead refuses strangers and former members. It returns the seq after which the caller may read.
func (s *Service) mayRead(ctx context.Context, caller string, t Target) (floor int64, err error) {
	joined, err := s.DB.Read().JoinedSeq(ctx, caller, t.Conversation(caller))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, s.mayOpen(ctx, caller, t) // a friend with whom no message was exchanged yet
	}
	if err != nil {
		return 0, fmt.Errorf("look up participant: %w", err)
	}
	if t.Group != 0 { // the participant's row ends with the membership, but the membership is what counts
		members, err := s.DB.Read().IsMember(ctx, t.Group, caller)
		if err == nil && members == 0 {
			err = fault.New(fault.NotAMember)
		}
		return joined, err
	}
	return joined, nil
}

// Marks say up to which seq an account has received and read a conversation. They only ever grow.
type Marks struct {
	Read     int64
	Received int64
}

// Mark moves an account's own marks to a seq, or to the newest message if that is earlier. Reading includes receiving. It
// returns the marks afterwards. Members and friends may call it.
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

// ConfirmDelivered moves the mark up to which an account's sockets of a conversation have confirmed messages, and with it the
// account's own marks, which the others and the account's other devices are told: whoever has such a socket open is looking at
// the conversation, so what it has confirmed counts as read. It never moves a mark back. For an account that has left the group
// meanwhile it does nothing. It checks no right.
func (s *Service) ConfirmDelivered(ctx context.Context, account string, t Target, seq int64) error {
	_, err := s.move(ctx, t, &mark{account: account, conversation: t.Conversation(account), marks: Marks{Read: seq, Received: seq}, delivered: seq})
	return err
}

// move stores a mark and, if the mark has moved, announces it.
func (s *Service) move(ctx context.Context, t Target, m *mark) (Marks, error) {
	result, err := s.marks.submit(ctx, m.conversation, m)
	if err == nil && result.told {
		s.tellSides(ctx, m.account, t, Event{Kind: MarksMoved, Conversation: m.conversation, Account: m.account, Marks: &result.now})
	}
	return result.now, err
}
