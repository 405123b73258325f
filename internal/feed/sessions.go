package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"tim/internal/fault"
)

// sessionsTopic is for all nodes.
const sessionsTopic = "sessions"

// sessionEnded is what nodes tell each other on sessionsTopic.
type sessionEnded struct {
	Session string       `json:"session"`
	Why     fault.Reason `json:"why,omitempty"` // not of nodes of a version before
}

// SessionEnded tells every node that a session has ended, and why. If one of its tokens was used after its renewal, the account's
// other connections are told, too. It never waits. For auth.Options.
func (f *Feed) SessionEnded(_ context.Context, account, session string, why fault.Reason) error {
	payload, err := json.Marshal(sessionEnded{session, why})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if why == fault.TokenReused {
		f.Publish(&SessionMoved{Account: account, Session: session, Reused: true})
	}
	return f.bus.Publish(sessionsTopic, payload)
}

// TokenRenewed tells a session's connections that its token was renewed, except the connection that did it, "" for none. It
// never waits. For auth.Options.
func (f *Feed) TokenRenewed(account, session, connection string) {
	f.Publish(&SessionMoved{Account: account, Session: session, Connection: connection})
}

// OnSessionEnded has h called with every session that ends on any node, and why. h runs on the bus's goroutine and must not
// block.
func (f *Feed) OnSessionEnded(ctx context.Context, h func(session string, why fault.Reason)) (cancel func(), err error) {
	cancel, err = f.bus.Subscribe(ctx, sessionsTopic, func(payload []byte) {
		defer f.survive(sessionsTopic)
		var e sessionEnded
		if err := json.Unmarshal(payload, &e); err != nil {
			f.log.Error("unreadable news of a session", "err", err)
			return
		}
		h(e.Session, cmp.Or(e.Why, fault.SessionEnded))
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to sessions: %w", err)
	}
	return cancel, nil
}
