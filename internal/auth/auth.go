// Package auth owns password hashes, tokens and sessions. The database decides which sessions live. Each node caches for 5
// seconds the sessions that it has checked, and drops one from the cache when it hears of its end over the bus.
//
//	auth.go      login, logout, renewal, change of password; the check of a session
//	token.go     verifying a token
//	seen.go      the cache of sessions
//	password.go  the spelling of passwords, and bcrypt
//	line.go      the line in which those who hash wait
//	attempts.go  the limits on failed logins, and registrations
//	places.go    the devices and addresses from which an account has logged in
//	key.go       the signing key, and keys derived from it
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tim/gen/db"
	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

const (
	issuer = "tim"
	// TokenLife is how long a token is valid.
	TokenLife = time.Hour
	// SessionLife is how long a session lives after its last use.
	SessionLife = 30 * 24 * time.Hour
	// touchEvery is the precision of a session's time of last use: an UPDATE for every request would cost more than the
	// precision is worth.
	touchEvery = time.Hour
	// maxDevice bounds the stored part of a client's User-Agent, in characters.
	maxDevice = 200
)

// AccountKey is the key of echo's context under which a handler that authenticates by itself stores the account, for the log.
const AccountKey = "tim.account"

// Session is an authenticated login, as its token describes it.
type Session struct {
	Account string
	ID      string    // the token's jti
	Expires time.Time // of the token, not of the session
}

// Options of New. Every field is needed.
type Options struct {
	DB        *store.DB
	Passwords *Passwords
	Key       []byte // HS256, at least MinKeyBytes
	// Ended tells every node, this one included, that a session has ended. It is called after the commit.
	Ended func(ctx context.Context, account, session string) error
	Log   *slog.Logger
	// Failures are the limits on failed logins. The zero value has none.
	Failures Failures
}

// Auth logs accounts in and out and checks their tokens. All its methods are safe for concurrent use.
type Auth struct {
	Options
	seen     *seen
	parser   *jwt.Parser
	placeKey []byte // hides the addresses and devices from which accounts have logged in
}

// New returns an Auth. It starts nothing and needs no closing.
func New(o Options) *Auth {
	placeKey := hmac.New(sha256.New, o.Key)
	placeKey.Write([]byte("tim known devices"))
	return &Auth{
		Options:  o,
		placeKey: placeKey.Sum(nil),
		seen:     newSeen(),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer),
			jwt.WithExpirationRequired()), // iat isn't compared: the clock of the node that signed may be ahead
	}
}

// Login checks a password and begins a session. It returns the session's token and when that expires. Neither the answer nor
// its time tells an unknown account from a wrong password: both are WrongCredentials. address is the client's, device its
// User-Agent. After too many failures Login returns TooManyAttempts, see [Failures], and Busy when it would wait too long for a
// processor.
func (a *Auth) Login(ctx context.Context, account, password, address, device string) (token string, expires time.Time, err error) {
	account = accounts.Normal(account)
	if err := a.checkCredentials(ctx, account, password, address, device); err != nil {
		return "", time.Time{}, err
	}
	return a.begin(ctx, account, device)
}

// checkCredentials refuses a wrong password, and an account or address that has failed too often. It renews the stored hash where
// that is due, and remembers the device of a right password.
func (a *Auth) checkCredentials(ctx context.Context, account, password, address, device string) error {
	place := a.place(account, address, device)
	known, err := a.known(ctx, place)
	if err != nil {
		return err
	}
	door := a.door(place, known)
	if err := door.mayTry(ctx); err != nil {
		return err
	}
	user, err := a.DB.Read().GetUser(ctx, account)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("check credentials: %w", err)
	}
	renewed, err := a.try(ctx, door, place.pair, user.Password.String, password)
	if err != nil {
		return fmt.Errorf("check credentials: %w", err)
	}
	if renewed != "" {
		// Only in the place of the hash that was compared: another request may have changed the password meanwhile.
		_, err := a.DB.Write().RenewPassword(ctx, sql.NullString{String: renewed, Valid: true}, account, user.Password)
		if err != nil {
			a.Log.Warn("a password's hash was not renewed", "account", account, "err", err)
		}
	}
	a.remember(ctx, place, known)
	return nil
}

// try makes one attempt at a password. It checks and counts the failures while it holds one of the slots for hashing, so that
// attempts that wait for a slot see the failures of those before them.
func (a *Auth) try(ctx context.Context, door door, flow, hash, password string) (renewed string, err error) {
	leave, err := a.Passwords.line.enter(ctx, ofLogin, flow)
	if err != nil {
		return "", err
	}
	defer leave()
	if err := door.mayTry(ctx); err != nil {
		return "", err
	}
	matches, renewed := a.Passwords.match(hash, password)
	if !matches {
		door.failed(ctx)
		return "", fault.New(fault.WrongCredentials)
	}
	return renewed, nil
}

// begin stores a new session, deletes the account's expired ones, and returns the new one's token.
func (a *Auth) begin(ctx context.Context, account, device string) (token string, expires time.Time, err error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", time.Time{}, fmt.Errorf("begin session: %w", err)
	}
	id, now := base64.RawURLEncoding.EncodeToString(random), time.Now()
	device = strings.ToValidUTF8(device, "\uFFFD") // a header may hold any bytes, a column only UTF-8
	if runes := []rune(device); len(runes) > maxDevice {
		device = string(runes[:maxDevice])
	}
	err = a.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteExpiredSessions(ctx, account, now.UnixMilli()); err != nil {
			return fmt.Errorf("delete expired sessions: %w", err)
		}
		return tx.CreateSession(ctx, db.CreateSessionParams{
			Account: account, ID: id, Device: device,
			CreatedAt: now.UnixMilli(), UsedAt: now.UnixMilli(), ExpiresAt: now.Add(SessionLife).UnixMilli(),
		})
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("begin session: %w", err)
	}
	return a.sign(account, id, now)
}

// sign makes a token of a session and says when it expires, which tokens have in whole seconds.
func (a *Auth) sign(account, id string, now time.Time) (token string, expires time.Time, err error) {
	claim := jwt.NewNumericDate(now.Add(TokenLife))
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		ID: id, Subject: account, Issuer: issuer,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: claim,
	})
	token, err = unsigned.SignedString(a.Key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token: %w", err)
	}
	return token, claim.Time, nil
}

// Authenticate verifies a token and checks its session. It returns a fault (MissingToken, InvalidToken, ExpiredToken,
// SessionEnded), or another error if the database can't be asked.
func (a *Auth) Authenticate(ctx context.Context, token string) (Session, error) {
	if token == "" {
		return Session{}, fault.New(fault.MissingToken)
	}
	session, err := a.parse(token)
	if err != nil {
		return Session{}, err
	}
	return session, a.Check(ctx, session)
}

// Check returns nil for a session that lives, the fault SessionEnded, or another error if the database can't be asked. It
// doesn't ask the database about a session that this node has checked within the last 5 seconds. Once an hour it prolongs the
// session.
func (a *Auth) Check(ctx context.Context, s Session) error {
	now := time.Now()
	switch a.seen.state(s.ID, now) {
	case alive:
		return nil
	case ended:
		return fault.New(fault.SessionEnded)
	case unknown:
	}
	key := store.SessionKey{Account: s.Account, ID: s.ID}
	until, err := a.DB.SessionsUntil(ctx, []store.SessionKey{key})
	if err != nil {
		return fmt.Errorf("check session: %w", err)
	}
	left := time.UnixMilli(until[key]).Sub(now) // some 50 years negative for a session that isn't there
	if left <= 0 {
		return fault.New(fault.SessionEnded)
	}
	if left < SessionLife-touchEvery {
		err := a.DB.Write().TouchSession(ctx, db.TouchSessionParams{
			UsedAt: now.UnixMilli(), ExpiresAt: now.Add(SessionLife).UnixMilli(), Account: s.Account, Session: s.ID,
		})
		if err != nil {
			return fmt.Errorf("touch session: %w", err)
		}
	}
	if !a.seen.note(s.ID, true, now) {
		return fault.New(fault.SessionEnded)
	}
	return nil
}

// CheckAll is Check for many sessions. It ignores the cache, for use after the bus may have lost messages, and it prolongs no
// session. It sends one statement for every 200 sessions. The first result has an element for each session, in the same order:
// nil or the fault SessionEnded. The second is the error of a database that can't be asked.
func (a *Auth) CheckAll(ctx context.Context, sessions []Session) ([]error, error) {
	now := time.Now()
	keys := make([]store.SessionKey, len(sessions))
	for i, s := range sessions {
		keys[i] = store.SessionKey{Account: s.Account, ID: s.ID}
	}
	until, err := a.DB.SessionsUntil(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("check sessions: %w", err)
	}
	errs := make([]error, len(sessions))
	for i, key := range keys {
		if !a.seen.note(key.ID, until[key] > now.UnixMilli(), now) {
			errs[i] = fault.New(fault.SessionEnded)
		}
	}
	return errs, nil
}

// Logout ends a session. This node refuses it when Logout returns, other nodes when they hear of it over the bus.
func (a *Auth) Logout(ctx context.Context, s Session) error {
	if _, err := a.DB.Write().DeleteSession(ctx, s.Account, s.ID); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	a.tell(ctx, s.Account, s.ID)
	return nil
}

// Renew returns a fresh token for a session that lives, and when it expires. It prolongs the session.
func (a *Auth) Renew(ctx context.Context, s Session) (token string, expires time.Time, err error) {
	if err := a.Check(ctx, s); err != nil {
		return "", time.Time{}, err
	}
	now := time.Now()
	err = a.DB.Write().TouchSession(ctx, db.TouchSessionParams{
		UsedAt: now.UnixMilli(), ExpiresAt: now.Add(SessionLife).UnixMilli(), Account: s.Account, Session: s.ID,
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("renew: %w", err)
	}
	return a.sign(s.Account, s.ID, now)
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
		if row.ExpiresAt > now {
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
		a.tell(ctx, account, id)
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
		a.tell(ctx, s.Account, id)
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

// ChangePassword replaces the caller's password and ends its other sessions. The caller must give its present password; a wrong
// one counts as a failed login.
func (a *Auth) ChangePassword(ctx context.Context, s Session, old, changed, address, device string) error {
	if _, problem := newPassword(changed); problem != "" {
		return fault.Invalid(fault.InvalidBody, "newPassword", problem)
	}
	if err := a.checkCredentials(ctx, s.Account, old, address, device); err != nil {
		return err
	}
	hash, err := a.Passwords.hashNew(ctx, changed, ofLogin, s.Account)
	if err != nil {
		return err
	}
	var others []string
	err = a.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		if _, err = tx.SetPassword(ctx, sql.NullString{String: hash, Valid: true}, s.Account); err != nil {
			return err
		}
		if err = tx.ForgetPlaces(ctx, s.Account); err != nil {
			return err
		}
		others, err = a.dropOthers(ctx, tx, s)
		return err
	})
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	for _, id := range others {
		a.tell(ctx, s.Account, id)
	}
	return nil
}

// SetPassword replaces an account's password and ends all its sessions. It asks for no present password, so only operators'
// commands may call it.
func (a *Auth) SetPassword(ctx context.Context, account, password string) error {
	account = accounts.Normal(account)
	if err := CheckPassword(password); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	var sessions []string
	err = a.DB.Tx(ctx, func(tx *store.Tx) error {
		user, err := tx.GetUser(ctx, account)
		if errors.Is(err, sql.ErrNoRows) || err == nil && user.Account != account {
			return fault.New(fault.UnknownAccount)
		}
		if err != nil {
			return err
		}
		if _, err := tx.SetPassword(ctx, sql.NullString{String: hash, Valid: true}, account); err != nil {
			return err
		}
		if err := tx.ForgetPlaces(ctx, account); err != nil {
			return err
		}
		if sessions, err = tx.SessionIDs(ctx, account); err != nil {
			return err
		}
		return tx.DeleteSessions(ctx, account)
	})
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	for _, id := range sessions {
		a.tell(ctx, account, id)
	}
	return nil
}

// tell announces the end of a session to all nodes. A node that doesn't hear it notices the end after rememberFor at the
// latest.
func (a *Auth) tell(ctx context.Context, account, id string) {
	a.Forget(id)
	if err := a.Ended(context.WithoutCancel(ctx), account, id); err != nil {
		a.Log.Warn("other nodes were not told of an ended session", "account", account, "err", err)
	}
}

// Forget makes this node refuse a session from now on. It is called when the bus announces the session's end.
func (a *Auth) Forget(id string) { a.seen.ended(id, time.Now()) }

// ForgetAll empties the cache of live sessions, so that this node asks the database about each again. It is called when neither
// the bus nor the database can be reached: requests are then refused, and clients turn to another node.
func (a *Auth) ForgetAll() { a.seen.clear() }
