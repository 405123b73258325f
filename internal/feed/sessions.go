package feed

import (
	"context"
	"encoding/json"
	"fmt"
)

// sessionsTopic is for all nodes.
const sessionsTopic = "sessions"

// sessionEnded is what nodes tell each other on sessionsTopic.
type sessionEnded struct {
	Session string `json:"session"`
}

// SessionEnded tells every node that a session has ended. It never waits. For auth.Options.
func (f *Feed) SessionEnded(_ context.Context, _, session string) error {
	payload, err := json.Marshal(sessionEnded{session})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return f.bus.Publish(sessionsTopic, payload)
}

// OnSessionEnded has h called with every session that ends on any node. h runs on the bus's goroutine and must not block.
func (f *Feed) OnSessionEnded(ctx context.Context, h func(session string)) (cancel func(), err error) {
	cancel, err = f.bus.Subscribe(ctx, sessionsTopic, func(payload []byte) {
		defer f.survive(sessionsTopic)
		var e sessionEnded
		if err := json.Unmarshal(payload, &e); err != nil {
			f.log.Error("unreadable news of a session", "err", err)
			return
		}
		h(e.Session)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to sessions: %w", err)
	}
	return cancel, nil
}
