package classic

import (
	"context"

	"tim/internal/chat"
)

// CatchUp asks the database for the rights and the newest messages of sockets of one conversation each, since the bus may have
// lost something. It closes those that have no right any more. The error says that the database can't be asked.
func (s *Service) CatchUp(ctx context.Context, sockets []*Conversation) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timing.StoreTimeout)
	defer cancel()
	sides := make([]chat.Side, len(sockets))
	names := make([]string, len(sockets))
	for i, c := range sockets {
		sides[i], names[i] = chat.Side{Account: c.account(), Target: c.target}, c.id
	}
	refusals, err := s.Chat.MayWriteAll(ctx, sides)
	if err != nil {
		return err
	}
	last, err := s.Chat.LastSeqs(ctx, names)
	if err != nil {
		return err
	}
	for i, c := range sockets {
		if refusals[i] != nil {
			c.Refuse(refusals[i])
			continue
		}
		c.reader.Learn(c.id, last[c.id])
	}
	return nil
}
