// Package auth owns password hashes, tokens and sessions. The truth about sessions is in SQL; each node remembers for
// a few seconds which it has seen, and the bus tells it of those that end.
package auth

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/text/unicode/norm"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

const (
	issuer = "tim"
	// TokenLife is how long a token is good.
	TokenLife = time.Hour
	// SessionLife is how long a session lives after its last use.
	SessionLife = 30 * 24 * time.Hour
	// touchEvery is how exactly the last use is known; an UPDATE at every request would cost more than it tells.
	touchEvery = time.Hour
	// maxDevice bounds what is kept of a client's User-Agent, in characters.
	maxDevice = 200
)

// AccountKey is where a handler that authenticates for itself leaves the account, in echo's context, for the log.
const AccountKey = "tim.account"

// Session is an authenticated login.
type Session struct {
	Account string
	ID      string    // the token's jti
	Expires time.Time // the token's, not the session's
}

// Options of New. Every field is needed.
type Options struct {
	DB        *store.DB
	Passwords *Passwords
	Key       []byte // HS256, at least MinKeyBytes
	// Ended tells every node, this one included, that a session has ended. Called after the commit.
	Ended func(ctx context.Context, account, session string) error
	Log   *slog.Logger
	// FailuresPerAccount and FailuresPerAddress are the failed logins allowed at once; after them one more every
	// AccountRefill or AddressRefill. 0 for no limit.
	FailuresPerAccount int
	FailuresPerAddress int
}

// How fast failed logins are forgiven.
const (
	accountRefill = 30 * time.Second
	addressRefill = time.Second
)

// Auth logs accounts in and out and checks their tokens. Safe for concurrent use.
type Auth struct {
	Options
	perAccount *attempts
	perAddress *attempts
	seen       *seen
	parser     *jwt.Parser
	plain      *plainTokens
	asked      together
}

// New returns an Auth.
func New(o Options) *Auth {
	return &Auth{
		Options:    o,
		perAccount: newAttempts(o.FailuresPerAccount, accountRefill),
		perAddress: newAttempts(o.FailuresPerAddress, addressRefill),
		seen:       newSeen(),
		plain:      newPlainTokens(o.Key),
		asked: together{ask: func(ctx context.Context, keys []store.SessionKey) (map[store.SessionKey]int64, error) {
			return o.DB.SessionsUntil(ctx, keys)
		}},
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer),
			jwt.WithExpirationRequired()), // iat isn't compared: the clock of the node that signed may be ahead
	}
}

// Login checks a password and begins a session. It returns the session's token and when that expires. An unknown account and a wrong password are
// told apart neither by the answer nor by its time. address is the client's, device its User-Agent.
func (a *Auth) Login(ctx context.Context, account, password, address, device string) (token string, expires time.Time, err error) {
	account = norm.NFC.String(account)
	if err := a.checkCredentials(ctx, account, password, address); err != nil {
		return "", time.Time{}, err
	}
	return a.begin(ctx, account, device)
}

// checkCredentials refuses a wrong password, and an account or address that has failed too often.
func (a *Auth) checkCredentials(ctx context.Context, account, password, address string) error {
	if err := a.mayTry(account, address, time.Now()); err != nil {
		return err
	}
	user, err := a.DB.Read().GetUser(ctx, account)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("check credentials: %w", err)
	}
	if err := a.try(ctx, account, address, user.Password.String, password); err != nil {
		return fmt.Errorf("check credentials: %w", err)
	}
	return nil
}

// mayTry refuses an attempt of an account or an address with too many failures.
func (a *Auth) mayTry(account, address string, now time.Time) error {
	if wait := max(a.perAccount.wait(account, now), a.perAddress.wait(address, now)); wait > 0 {
		return fault.Retry(fault.TooManyAttempts, wait)
	}
	return nil
}

// try is one attempt at a password. Failures are asked for and counted while it has a processor: of many attempts at
// once, those that wait find out what became of those before them.
func (a *Auth) try(ctx context.Context, account, address, hash, password string) error {
	if err := a.Passwords.enter(ctx); err != nil {
		return err
	}
	defer a.Passwords.leave()
	now := time.Now()
	if err := a.mayTry(account, address, now); err != nil {
		return err
	}
	if !a.Passwords.match(hash, password) {
		a.perAccount.fail(account, now)
		a.perAddress.fail(address, now)
		return fault.New(fault.WrongCredentials)
	}
	return nil
}

// begin stores a new session, drops the account's expired ones, and returns the new one's token.
func (a *Auth) begin(ctx context.Context, account, device string) (token string, expires time.Time, err error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", time.Time{}, fmt.Errorf("begin session: %w", err)
	}
	id, now := base64.RawURLEncoding.EncodeToString(random), time.Now()
	device = strings.ToValidUTF8(device, "\uFFFD") // a header may hold any bytes, a column may not
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

// Authenticate checks a token and its session. A node that has seen the session a moment ago doesn't ask the database.
func (a *Auth) Authenticate(ctx context.Context, token string) (Session, error) {
	if token == "" {
		return Session{}, fault.New(fault.MissingToken)
	}
	session, ok := a.plain.read(token, time.Now())
	if !ok {
		var err error
		if session, err = a.parse(token); err != nil {
			return Session{}, err
		}
	}
	return session, a.Check(ctx, session)
}

// Check reports whether a session still lives: nil, the fault SessionEnded, or why it can't be told.
func (a *Auth) Check(ctx context.Context, s Session) error {
	now := time.Now()
	switch a.seen.state(s.ID, now) {
	case alive:
		return nil
	case ended:
		return fault.New(fault.SessionEnded)
	case unknown:
	}
	until, err := a.asked.until(ctx, store.SessionKey{Account: s.Account, ID: s.ID})
	if err != nil {
		return fmt.Errorf("check session: %w", err)
	}
	left := time.UnixMilli(until).Sub(now)
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

// CheckAll is Check for many sessions, of which it asks the database whatever this node remembers: for when the bus may
// have lost news. It asks once for every 200, and prolongs none: the next Check does. The errors are those of the
// sessions, in their order: nil or the fault SessionEnded; the last result is why it can't be told.
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

// Logout ends one session, here at once and on every node when the bus has told it.
func (a *Auth) Logout(ctx context.Context, s Session) error {
	if _, err := a.DB.Write().DeleteSession(ctx, s.Account, s.ID); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	a.tell(ctx, s.Account, s.ID)
	return nil
}

// Renew returns a fresh token for a session that lives, and when it expires, so that a client stays logged in as long as it comes back.
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

// Login is a session as its account sees it.
type Login struct {
	ID      string
	Device  string
	Created time.Time
	Used    time.Time
}

// Sessions lists an account's sessions, the one used last first.
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

// End ends one of an account's sessions; one that is not there has ended already. Nobody is told of an id that was none
// of the account's: it may be somebody else's.
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

// EndOthers ends all sessions of an account but the caller's.
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

// ChangePassword changes the caller's password, which it must know, and ends its other sessions. Failures count as
// failed logins.
func (a *Auth) ChangePassword(ctx context.Context, s Session, old, changed, address string) error {
	if err := CheckPassword(changed); err != nil {
		return fault.Invalid(fault.InvalidBody, "newPassword", passwordForm)
	}
	if err := a.checkCredentials(ctx, s.Account, old, address); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, changed)
	if err != nil {
		return err
	}
	var others []string
	err = a.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		if _, err = tx.SetPassword(ctx, sql.NullString{String: hash, Valid: true}, s.Account); err != nil {
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

// SetPassword gives an account a new password and ends all its sessions. For operators: it asks for no old password.
func (a *Auth) SetPassword(ctx context.Context, account, password string) error {
	account = norm.NFC.String(account)
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

// tell spreads the end of a session. Nodes that don't hear of it notice within rememberFor.
func (a *Auth) tell(ctx context.Context, account, id string) {
	a.Forget(id)
	if err := a.Ended(context.WithoutCancel(ctx), account, id); err != nil {
		a.Log.Warn("other nodes were not told of an ended session", "account", account, "err", err)
	}
}

// Forget makes this node refuse a session that has ended. Called when the bus brings the news.
func (a *Auth) Forget(id string) { a.seen.ended(id, time.Now()) }

// ForgetAll makes this node ask the database again about every session. Called when neither it nor the bus could be asked:
// who comes then is refused, and finds another node.
func (a *Auth) ForgetAll() { a.seen.clear() }

const passwordForm = "must have 6 characters to 72 bytes"

// CheckPassword refuses a new password that is too short or too long: 6 characters to 72 bytes.
func CheckPassword(password string) error {
	if len([]rune(password)) < 6 || len(password) > MaxPasswordBytes {
		return fault.Invalid(fault.InvalidBody, "password", passwordForm)
	}
	return nil
}
