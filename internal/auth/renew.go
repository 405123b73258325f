package auth

import (
	"context"
	"fmt"
	"time"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// A session's tokens have generations. A renewal begins a new one, and the session's row has the number of the newest. So no
// list of tokens is needed:
//
//   - A token of the newest generation is good.
//   - One of the generation before is good for Lives.Grace after the renewal, for requests that are under way. Then it is refused.
//     It can still be renewed as long as nobody has used a token of the newest generation: the answer may have been lost.
//   - Any other token was renewed before, by somebody who has used what came of it. Two hold tokens of the session, and one may be
//     a thief: the session ends.
//
// Several pages of a browser share a session. Within Lives.Grace of a renewal, others get further tokens of the generation that it
// began, and a connection always does when another has renewed. So all of them arrive at the same generation.

// verdict is what the generation of a token means.
type verdict int

const (
	current    verdict = iota // the newest
	graced                    // renewed a moment ago
	unanswered                // renewed, but nobody has used what came of it
	stale                     // renewed, by a version that knew no generations
	again                     // renewed, and used after that
)

// judge returns what a token's generation means, where its session stands so.
func (a *Auth) judge(s Session, at standing, now time.Time) verdict {
	behind := at.generation - s.Generation
	switch {
	case behind <= 0: // less than 0 where the database is a backup
		return current
	case s.old && now.Before(s.Expires), behind == 1 && now.UnixMilli() < at.renewed+a.Lives.Grace.Milliseconds():
		return graced
	case behind == 1 && !at.confirmed:
		return unanswered
	case s.old:
		return stale
	default:
		return again
	}
}

// admit checks the session of a token that is valid, and the token's generation. It doesn't ask the database about a session
// that this node has checked within the last 5 seconds, unless the token would be refused or is the first of its generation.
func (a *Auth) admit(ctx context.Context, s Session) (Session, error) {
	now := time.Now()
	was := a.seen.look(s.ID, now)
	if was.state == ended || was.state == reused {
		return s, was.refusal()
	}
	at := was.standing
	is := a.judge(s, at, now)
	if was.state == unknown || is > graced || is == current && (s.Generation > at.generation || !at.settled()) {
		var err error
		if at, err = a.ask(ctx, s); err != nil {
			return s, err
		}
		is = a.judge(s, at, now)
	}
	s.Ends = time.UnixMilli(at.ends)
	switch is {
	case current:
		return s, a.confirm(ctx, s, at)
	case again:
		return s, a.endReused(ctx, s)
	case unanswered, stale:
		return s, fault.New(fault.ExpiredToken)
	default:
		s.Renewed = true
		return s, nil
	}
}

// settled tells whether there is nothing to note when a token of the newest generation is used.
func (at standing) settled() bool { return at.generation == 0 || at.confirmed }

// confirm notes that a token of the newest generation was used: the one before it can't be renewed any more.
func (a *Auth) confirm(ctx context.Context, s Session, at standing) error {
	if s.Generation != at.generation || at.settled() {
		return nil
	}
	now := time.Now()
	err := a.DB.Write().ConfirmSession(ctx, db.ConfirmSessionParams{
		ConfirmedAt: now.UnixMilli(), Account: s.Account, Session: s.ID, Generation: s.Generation,
	})
	if err != nil {
		return fmt.Errorf("confirm a renewal: %w", err)
	}
	at.confirmed = true
	a.seen.note(s.ID, at, now)
	return nil
}

// AuthenticateToRenew verifies a token that may have expired. Whether its session lives, and may have another token, Exchange
// says.
func (a *Auth) AuthenticateToRenew(token string) (Session, error) {
	if token == "" {
		return Session{}, fault.New(fault.MissingToken)
	}
	return a.parse(token, a.expired)
}

// Exchange returns a fresh token for the one that s describes, which may have expired, and when it expires. It prolongs the
// session. The token before is refused after Lives.Grace. It returns the fault SessionEnded, or TokenReused for a token that
// was exchanged before, which ends the session.
func (a *Auth) Exchange(ctx context.Context, s Session) (token string, expires time.Time, err error) {
	token, next, err := a.renew(ctx, s, "")
	return token, next.Expires, err
}

// Renew returns a fresh token for a connection, which the token of s opened or which got it from Renew, and the session as that
// token describes it. It prolongs the session. If somebody else has renewed the token meanwhile, the connection gets another
// token of the same generation. connection isn't told of the renewal.
func (a *Auth) Renew(ctx context.Context, s Session, connection string) (token string, next Session, err error) {
	if err := a.Check(ctx, s); err != nil {
		return "", s, err
	}
	return a.renew(ctx, s, connection)
}

// renew is Exchange for the connection "", otherwise Renew.
func (a *Auth) renew(ctx context.Context, s Session, connection string) (token string, next Session, err error) {
	now := time.Now()
	var at standing
	var began bool // a generation
	err = a.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		var is verdict
		if at, is, err = a.lockAndJudge(ctx, tx, s, now); err != nil {
			return err
		}
		began = false
		switch {
		case is == current:
			began = now.UnixMilli() >= at.renewed+a.Lives.Grace.Milliseconds()
		case connection != "" || is == graced || is == unanswered:
		case is == again:
			return fault.New(fault.TokenReused)
		default:
			return fault.New(fault.ExpiredToken)
		}
		until := min(now.Add(a.Lives.Idle).UnixMilli(), at.ends)
		if !began {
			return tx.TouchSession(ctx, db.TouchSessionParams{UsedAt: now.UnixMilli(), ExpiresAt: until, Account: s.Account, Session: s.ID})
		}
		at = standing{generation: max(at.generation, s.Generation) + 1, renewed: now.UnixMilli(), ends: at.ends}
		return tx.RenewSession(ctx, db.RenewSessionParams{
			Generation: at.generation, RenewedAt: at.renewed, UsedAt: now.UnixMilli(), ExpiresAt: until, Account: s.Account, Session: s.ID,
		})
	})
	if fault.Is(err, fault.TokenReused) {
		return "", s, a.endReused(ctx, s)
	}
	if err != nil {
		return "", s, fmt.Errorf("renew: %w", err)
	}
	if was := a.seen.note(s.ID, at, now); was.state != alive {
		return "", s, was.refusal()
	}
	if began {
		a.Renewed(s.Account, s.ID, connection)
	}
	next = Session{Account: s.Account, ID: s.ID, Generation: at.generation, Ends: time.UnixMilli(at.ends)}
	token, next.Expires, err = a.sign(s.Account, s.ID, at.generation, next.Ends, now)
	return token, next, err
}

// lockAndJudge locks a session's row until the transaction ends, and judges a token by it. It returns the fault SessionEnded for
// a session that doesn't live.
func (a *Auth) lockAndJudge(ctx context.Context, tx *store.Tx, s Session, now time.Time) (standing, verdict, error) {
	if err := tx.LockSession(ctx, s.Account, s.ID); err != nil {
		return standing{}, stale, err
	}
	key := store.SessionKey{Account: s.Account, ID: s.ID}
	rows, err := tx.SessionRows(ctx, []store.SessionKey{key})
	if err != nil {
		return standing{}, stale, err
	}
	row := rows[key]
	if !a.lives(row, now) {
		return standing{}, stale, a.seen.missing(s.ID, now).refusal()
	}
	at := a.standingOf(row)
	return at, a.judge(s, at, now), nil
}

// endReused ends the session of a token that is used although it was renewed. It returns the fault TokenReused.
func (a *Auth) endReused(ctx context.Context, s Session) error {
	now := time.Now()
	err := a.DB.Tx(ctx, func(tx *store.Tx) error {
		_, is, err := a.lockAndJudge(ctx, tx, s, now)
		if err != nil {
			return err
		}
		if is != again {
			return fault.New(fault.ExpiredToken)
		}
		_, err = tx.DeleteSession(ctx, s.Account, s.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("end the session of a token that was used again: %w", err)
	}
	a.Log.Warn("a token was used after its renewal; its session is ended", "account", s.Account, "generation", s.Generation)
	a.tell(ctx, s.Account, s.ID, fault.TokenReused)
	return fault.New(fault.TokenReused)
}
