package realtime

import (
	"cmp"
	"context"
	"slices"

	"tim/internal/auth"
	"tim/internal/classic"
	"tim/internal/socket"
	"tim/internal/timv1"
)

// catchUpPage is how many sockets are looked after together: their sessions, rights and accounts are a question each.
const catchUpPage = 200

// CatchUp asks the database what the bus may have lost: sessions, rights and messages of this node's sockets, and then whom
// they see online. It asks by pages, and one question after the other, so that the database doesn't feel how many sockets
// there are. Where the database can't be asked either, the sockets are told to come back later, since nobody knows what they
// miss. Must not be called twice at the same time.
func (h *Hub) CatchUp(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.sockets.Life(), cancel)()
	faces := h.faces()
	slices.SortFunc(faces, func(a, b face) int { return cmp.Compare(a.Session().Account, b.Session().Account) })
	for page := range slices.Chunk(faces, catchUpPage) {
		if err := h.catchUp(ctx, page); err != nil {
			if ctx.Err() == nil {
				h.sendAway(err)
			}
			return
		}
	}
	h.timv1.PresenceLost()
}

// sendAway asks all sockets to come back later. On tim.v1 the bye says when, and spreads the clients over 2 seconds. The cache
// of sessions is emptied, so that a client that comes back meanwhile is refused as long as the database can't be asked.
func (h *Hub) sendAway(reason error) {
	h.Auth.ForgetAll()
	faces := h.faces()
	h.Log.Warn("neither the bus nor the database can be asked; all sockets are told to come back later", "sockets", len(faces), "err", reason)
	for _, f := range faces {
		f.Conn().Abort(socket.TryLater, "come back later")
	}
}

// catchUp looks after a page of sockets. It closes those that have no right any more. The error says that the database can't
// be asked.
func (h *Hub) catchUp(ctx context.Context, page []face) error {
	ended, err := h.checkSessions(ctx, page)
	if err != nil {
		return err
	}
	var conversations []*classic.Conversation
	var devices []*timv1.Session
	for i, f := range page {
		if ended[i] != nil {
			f.Refuse(ended[i])
			continue
		}
		switch f := f.(type) {
		case *timv1.Session:
			devices = append(devices, f)
		case interface{ Common() *classic.Conversation }:
			conversations = append(conversations, f.Common())
		}
	}
	if err := h.classic.CatchUp(ctx, conversations); err != nil {
		return err
	}
	return h.timv1.CatchUp(ctx, devices)
}

func (h *Hub) checkSessions(ctx context.Context, page []face) ([]error, error) {
	sessions := make([]auth.Session, len(page))
	for i, f := range page {
		sessions[i] = f.Session()
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timing.StoreTimeout)
	defer cancel()
	return h.Auth.CheckAll(ctx, sessions)
}
