package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// Message is a stored message.
type Message struct {
	Seq    int64  `json:"seq"`
	Sender string `json:"sender"`
	Body   string `json:"body"`   // JSON, see TextBody
	SentAt int64  `json:"sentAt"` // ms since 1970
}

type textBody struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// TextBody is the body of a message that is plain text.
func TextBody(text string) string {
	body, err := json.Marshal(textBody{Kind: "text", Text: text})
	if err != nil {
		panic(err) // two strings always marshal
	}
	return string(body)
}

// Text is the message as plain text: its text, or, for bodies of another kind, their JSON.
func (m Message) Text() string {
	var body textBody
	if err := json.Unmarshal([]byte(m.Body), &body); err != nil || body.Kind != "text" {
		return m.Body
	}
	return body.Text
}

// Send stores a message and, once it is committed, tells the sockets. When it returns without an error the message
// will be read; with one, whether it was stored is not known unless the error is a fault of the request. For members
// and friends.
func (s *Service) Send(ctx context.Context, caller string, t Target, body string) (Message, error) {
	return s.writer.submit(ctx, &draft{sender: caller, target: t, conversation: t.Conversation(caller), body: body})
}

// draft is a message on its way into the database.
type draft struct {
	sender       string
	target       Target
	conversation string
	body         string

	message Message
	err     error // refused: the others of its batch are stored nonetheless
	done    chan struct{}
}

// commit stores a batch in one transaction: it locks the conversations in one order, checks rights, numbers, and
// inserts the messages together. On return every draft has its message or its error.
func (s *Service) commit(ctx context.Context, batch []*draft) {
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		last, err := lockAll(ctx, tx, batch)
		if err != nil {
			return err
		}
		var rows []db.InsertMessageParams
		for _, d := range batch {
			refused, err := s.refusal(ctx, tx, d)
			if err != nil {
				return err
			}
			if d.err = refused; refused != nil {
				continue
			}
			if err := begin(ctx, tx, d, last[d.conversation]); err != nil {
				return err
			}
			last[d.conversation]++
			d.message = Message{Seq: last[d.conversation], Sender: d.sender, Body: d.body, SentAt: time.Now().UnixMilli()}
			rows = append(rows, db.InsertMessageParams{
				Conversation: d.conversation, Seq: d.message.Seq, Sender: d.sender, Body: d.body, SentAt: d.message.SentAt,
			})
		}
		return s.insert(ctx, tx, rows, last)
	})
	for _, d := range batch {
		if err != nil {
			d.err = fmt.Errorf("store messages: %w", err)
		}
		close(d.done)
	}
	for _, d := range batch {
		if d.err == nil {
			s.tell(ctx, Event{Kind: MessageStored, Conversation: d.conversation, Message: &d.message})
		}
	}
}

// refusal is the fault for which a draft alone isn't stored, nil if it may be; an error concerns the whole batch.
func (s *Service) refusal(ctx context.Context, tx *store.Tx, d *draft) (refused, err error) {
	err = s.mayWrite(ctx, tx.Queries, d.sender, d.target)
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err, nil
	}
	return nil, err
}

func lockAll(ctx context.Context, tx *store.Tx, batch []*draft) (map[string]int64, error) {
	conversations := make([]string, len(batch))
	for i, d := range batch {
		conversations[i] = d.conversation
	}
	slices.Sort(conversations)
	last := make(map[string]int64, len(batch))
	for _, c := range slices.Compact(conversations) {
		seq, err := lock(ctx, tx, c)
		if err != nil {
			return nil, fmt.Errorf("lock conversation: %w", err)
		}
		last[c] = seq
	}
	return last, nil
}

// begin makes both sides of a one-to-one conversation with its first message.
func begin(ctx context.Context, tx *store.Tx, d *draft, last int64) error {
	if last > 0 || d.target.Group != 0 {
		return nil
	}
	for _, side := range bothWays(d.sender, d.target.User) {
		if err := participate(ctx, tx, side[0], d.conversation, ToUser(side[1])); err != nil {
			return fmt.Errorf("begin conversation: %w", err)
		}
	}
	return nil
}

func (s *Service) insert(ctx context.Context, tx *store.Tx, rows []db.InsertMessageParams, last map[string]int64) error {
	if len(rows) == 0 {
		return nil
	}
	if err := tx.InsertMessages(ctx, rows); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	written := make(map[string]bool, len(last))
	for _, row := range rows {
		written[row.Conversation] = true
	}
	for conversation := range written {
		if err := tx.SetLastSeq(ctx, last[conversation], conversation); err != nil {
			return fmt.Errorf("number messages: %w", err)
		}
	}
	return nil
}
