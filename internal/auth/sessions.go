package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"tim/gen/db"
	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Lives are how long tokens and sessions are good for. Its zero value means the defaults.
type Lives struct {
	Token    time.Duration // of a token
	Grace    time.Duration // of a token after its renewal; no longer than Token
	Idle     time.Duration // of a session after its last use
	Lifetime time.Duration // of a session after its login
}

// The defaults of Lives.
const (
	TokenLife       = time.Hour
	TokenGrace      = time.Minute
	SessionIdle     = 30 * 24 * time.Hour
	SessionLifetime = 365 * 24 * time.Hour
)

const (
	// mostUntouched and touches are the precision of a session's time of last use, the shorter of an hour and a share of
	// Lives.Idle: an UPDATE for every request would cost more than the precision is worth.
	mostUntouched = time.Hour
	touches       = 32
	// maxDevice bounds the stored part of a client's User-Agent, in characters.
	maxDevice = 200
	// maxDropped is how many sessions one login ends at most, so that its transaction stays short. An account has more than
	// that over the limit only where the limit is new.
	maxDropped = 1000
)

func (l Lives) withDefaults() Lives {
	token := cmp.Or(l.Token, TokenLife)
	return Lives{
		Token: token, Grace: min(cmp.Or(l.Grace, TokenGrace), token),
		Idle: cmp.Or(l.Idle, SessionIdle), Lifetime: cmp.Or(l.Lifetime, SessionLifetime),
	}
}

// until returns when a session ends that is used now, in ms since 1970: created is when it began.
func (l Lives) until(created int64, now time.Time) int64 {
	return min(now.Add(l.Idle).UnixMilli(), l.ends(created))
}

// ends returns when a session ends at the latest, however it is used, in ms since 1970.
func (l Lives) ends(created int64) int64 { return created + l.Lifetime.Milliseconds() }

// Session is an authenticated login, as its token describes it.
type Session struct {
	Account    string
	ID         string    // the token's jti
	Generation int64     // of the token: how many times it was renewed since the login
	Expires    time.Time // of the token
	Ends       time.Time // of the session, at the latest; the zero time where that isn't known
	Renewed    bool      // the token was renewed already, a moment ago

	old bool // see claims
}

// begin stores a new session, deletes the account's expired ones, and returns the new one's token.
func (a *Auth) begin(ctx context.Context, account, device string) (token string, expires time.Time, err error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", time.Time{}, fmt.Errorf("begin session: %w", err)
	}
	id, now := base64.RawURLEncoding.EncodeToString(random), time.Now()
	device = accounts.Label(device, maxDevice) // a header may hold any bytes
	var dropped []string
	err = a.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		if err := tx.LockUser(ctx, account); err != nil { // so that logins at once keep to MaxSessions
			return err
		}
		if err := tx.DeleteExpiredSessions(ctx, account, now.UnixMilli()); err != nil {
			return fmt.Errorf("delete expired sessions: %w", err)
		}
		if dropped, err = a.dropOldest(ctx, tx, account); err != nil {
			return fmt.Errorf("end the oldest sessions: %w", err)
		}
		return tx.CreateSession(ctx, db.CreateSessionParams{
			Account: account, ID: id, Device: device,
			CreatedAt: now.UnixMilli(), UsedAt: now.UnixMilli(), ExpiresAt: a.Lives.until(now.UnixMilli(), now),
		})
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("begin session: %w", err)
	}
	for _, ended := range dropped {
		a.tell(ctx, account, ended, fault.SessionEnded)
	}
	return a.sign(account, id, 0, time.UnixMilli(a.Lives.ends(now.UnixMilli())), now)
}

// dropOldest deletes an account's sessions that leave no room for one more, those first that were used longest ago, and returns
// their ids.
func (a *Auth) dropOldest(ctx context.Context, tx *store.Tx, account string) ([]string, error) {
	if a.MaxSessions <= 0 {
		return nil, nil
	}
	ids, err := tx.SessionIDsByUse(ctx, account)
	if err != nil || len(ids) < a.MaxSessions {
		return nil, err
	}
	ids = ids[:min(len(ids)-a.MaxSessions+1, maxDropped)]
	for some := range slices.Chunk(ids, store.MostPairs) {
		if err := tx.DeleteSomeSessions(ctx, account, some); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Authenticate verifies a token and checks its session. It returns a fault (MissingToken, InvalidToken, ExpiredToken,
// SessionEnded, TokenReused), or another error if the database can't be asked.
func (a *Auth) Authenticate(ctx context.Context, token string) (Session, error) {
	if token == "" {
		return Session{}, fault.New(fault.MissingToken)
	}
	s, err := a.parse(token, a.parser)
	if err != nil {
		return Session{}, err
	}
	return a.admit(ctx, s)
}

// Check returns nil for a session that lives, the fault SessionEnded or TokenReused, or another error if the database can't be
// asked. It is for connections: whose token was good when they were opened, they are good while their session lives. It doesn't
// ask the database about a session that this node has checked within the last 5 seconds. Once an hour it prolongs the session.
func (a *Auth) Check(ctx context.Context, s Session) error {
	switch was := a.seen.look(s.ID, time.Now()); was.state {
	case alive:
		return nil
	case ended, reused:
		return was.refusal()
	case unknown:
	}
	_, err := a.ask(ctx, s)
	return err
}

// ask asks the database about a session that lives, and prolongs it if that is due.
func (a *Auth) ask(ctx context.Context, s Session) (standing, error) {
	now := time.Now()
	key := store.SessionKey{Account: s.Account, ID: s.ID}
	rows, err := a.DB.SessionRows(ctx, []store.SessionKey{key})
	if err != nil {
		return standing{}, fmt.Errorf("check session: %w", err)
	}
	row := rows[key]
	if !a.lives(row, now) {
		return standing{}, a.seen.missing(s.ID, now).refusal()
	}
	due := min(mostUntouched, a.Lives.Idle/touches).Milliseconds()
	if until := a.Lives.until(row.CreatedAt, now); row.ExpiresAt < until-due || row.UsedAt < now.UnixMilli()-due {
		err := a.DB.Write().TouchSession(ctx, db.TouchSessionParams{
			UsedAt: now.UnixMilli(), ExpiresAt: until, Account: s.Account, Session: s.ID,
		})
		if err != nil {
			return standing{}, fmt.Errorf("touch session: %w", err)
		}
	}
	was := a.seen.note(s.ID, a.standingOf(row), now)
	if was.state != alive {
		return standing{}, was.refusal()
	}
	return was.standing, nil
}

// lives tells whether a session lives that has this row, the zero value for none.
func (a *Auth) lives(row store.SessionRow, now time.Time) bool {
	return min(row.ExpiresAt, a.Lives.ends(row.CreatedAt)) > now.UnixMilli()
}

// standingOf returns where a session stands by its row.
func (a *Auth) standingOf(row store.SessionRow) standing {
	return standing{
		generation: row.Generation, renewed: row.RenewedAt, confirmed: row.ConfirmedAt != 0, ends: a.Lives.ends(row.CreatedAt),
	}
}

// CheckAll is Check for many sessions. It ignores the cache, for use after the bus may have lost messages, and it prolongs no
// session. It sends one statement for every 200 sessions. The first result has an element for each session, in the same order:
// nil, or the fault SessionEnded or TokenReused. The second is the error of a database that can't be asked.
func (a *Auth) CheckAll(ctx context.Context, sessions []Session) ([]error, error) {
	now := time.Now()
	keys := make([]store.SessionKey, len(sessions))
	for i, s := range sessions {
		keys[i] = store.SessionKey{Account: s.Account, ID: s.ID}
	}
	rows, err := a.DB.SessionRows(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("check sessions: %w", err)
	}
	errs := make([]error, len(sessions))
	for i, key := range keys {
		row := rows[key]
		if !a.lives(row, now) {
			errs[i] = a.seen.missing(key.ID, now).refusal()
			continue
		}
		if was := a.seen.note(key.ID, a.standingOf(row), now); was.state != alive {
			errs[i] = was.refusal()
		}
	}
	return errs, nil
}

// Logout ends a session. This node refuses it when Logout returns, other nodes when they hear of it over the bus.
func (a *Auth) Logout(ctx context.Context, s Session) error {
	if _, err := a.DB.Write().DeleteSession(ctx, s.Account, s.ID); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	a.tell(ctx, s.Account, s.ID, fault.SessionEnded)
	return nil
}

// Login is a session as its account sees it in the list of its sessions.
type Login struct {
	ID      string
	Device  string
	Created time.Time
	Used    time.Time
}

// Sessions lists an account's sessions that live, the one used last first.
func (a *Auth) Sessions(ctx context.Context, account string) ([]Login, error) {
	rows, err := a.DB.Read().Sessions(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	now := time.Now().UnixMilli()
	var logins []Login
	for _, row := range rows {
		if min(row.ExpiresAt, a.Lives.ends(row.CreatedAt)) > now {
			logins = append(logins, Login{row.ID, row.Device, time.UnixMilli(row.CreatedAt), time.UnixMilli(row.UsedAt)})
		}
	}
	return logins, nil
}

// End ends one of an account's sessions. It succeeds for a session that isn't there. In that case it notifies no node, since
// the id may be a session of another account.
func (a *Auth) End(ctx context.Context, account, id string) error {
	deleted, err := a.DB.Write().DeleteSession(ctx, account, id)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if deleted > 0 {
		a.tell(ctx, account, id, fault.SessionEnded)
	}
	return nil
}

// EndOthers ends all sessions of an account except the caller's.
func (a *Auth) EndOthers(ctx context.Context, s Session) error {
	var others []string
	err := a.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		others, err = a.dropOthers(ctx, tx, s)
		return err
	})
	if err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	for _, id := range others {
		a.tell(ctx, s.Account, id, fault.SessionEnded)
	}
	return nil
}

func (a *Auth) dropOthers(ctx context.Context, tx *store.Tx, s Session) ([]string, error) {
	others, err := tx.OtherSessionIDs(ctx, s.Account, s.ID)
	if err != nil {
		return nil, err
	}
	return others, tx.DeleteOtherSessions(ctx, s.Account, s.ID)
}

// tell announces the end of a session to all nodes. A node that doesn't hear it notices the end after rememberFor at the
// latest.
func (a *Auth) tell(ctx context.Context, account, id string, why fault.Reason) {
	a.Forget(id, why)
	if err := a.Ended(context.WithoutCancel(ctx), account, id, why); err != nil {
		a.Log.Warn("other nodes were not told of an ended session", "account", account, "err", err)
	}
}

// Forget makes this node refuse a session from now on, for SessionEnded or TokenReused. It is called when the bus announces the
// session's end.
func (a *Auth) Forget(id string, why fault.Reason) { a.seen.ended(id, why, time.Now()) }

// ForgetAll empties the cache of live sessions, so that this node asks the database about each again. It is called when neither
// the bus nor the database can be reached: requests are then refused, and clients turn to another node.
func (a *Auth) ForgetAll() { a.seen.clear() }

const (
	// sweepBatch is how many expired sessions one transaction deletes, sweepBatches how many of those there are in a sweep.
	sweepBatch   = 200
	sweepBatches = 50
	// sweepPause is the time between two transactions of a sweep, which are for others.
	sweepPause = 50 * time.Millisecond
)

// Sweep deletes sessions that have expired, also those of accounts that never log in again, 10,000 at most. It returns how many
// it has deleted.
func (a *Auth) Sweep(ctx context.Context) (deleted int64, err error) {
	for range sweepBatches {
		found, gone, err := a.sweep(ctx, time.Now().UnixMilli())
		deleted += gone
		if err != nil {
			return deleted, fmt.Errorf("delete expired sessions: %w", err)
		}
		if found < sweepBatch {
			return deleted, nil
		}
		select {
		case <-ctx.Done():
			return deleted, ctx.Err()
		case <-time.After(sweepPause):
		}
	}
	return deleted, nil
}

// sweep deletes one batch of sessions that expired before a time, in ms since 1970. It says how many it has found: other nodes
// sweep as well.
func (a *Auth) sweep(ctx context.Context, before int64) (found int, deleted int64, err error) {
	rows, err := a.DB.Read().ExpiredSessions(ctx, before, sweepBatch)
	if err != nil || len(rows) == 0 {
		return 0, 0, err
	}
	err = a.DB.Tx(ctx, func(tx *store.Tx) error {
		deleted = 0
		for _, row := range rows {
			n, err := tx.DeleteExpiredSession(ctx, row.Account, row.ID, before)
			if err != nil {
				return err
			}
			deleted += n
		}
		return nil
	})
	return len(rows), deleted, err
}

// EndText is what a connection is told that is closed since its session has ended, as Check says it.
func EndText(err error) string {
	if fault.Is(err, fault.TokenReused) {
		return "a token of the session was used after its renewal; the session has ended"
	}
	return "the session has ended"
}

// HasEnded tells whether Check has found that a session has ended.
func HasEnded(err error) bool {
	return fault.Is(err, fault.SessionEnded) || fault.Is(err, fault.TokenReused)
}
